"""What the real engine shows and repairs of drift, and when a preview is an alarm."""

import re

import pytest

from tests.engine.conftest import Maker
from tests.engine.ssh_hosts import Interface
from tests.engine.stack import Outcome, Stack

HOSTS = ["h1", "h2", "h3", "h4"]


def write(stack: Stack, **more: object) -> None:
    """Write a mesh of all hosts."""
    stack.write({"testwg": {"hosts": HOSTS, "deadline": 10, **more}})


@pytest.fixture(scope="module")
def shared(make_stack: Maker) -> Stack:
    """Return a stack of four hosts whose mesh runs."""
    stack = make_stack(4)
    write(stack)
    stack.up()
    return stack


@pytest.fixture
def stack(shared: Stack) -> Stack:
    """Return that stack with well hosts and nothing left to do."""
    for host in shared.hosts.by_name.values():
        if host.mode != "well":
            shared.hosts.become(host.name, "well")
    write(shared)
    shared.up("--refresh")
    for host in shared.hosts.by_name.values():
        host.orders.clear()
    return shared


def alarm(stack: Stack) -> Outcome:
    """Return how the alarm of a CI ends."""
    return stack.run("preview", "--refresh", "--expect-no-changes")


def updated(outcome: Outcome) -> set[str]:
    """Return the names of the resources that a preview would update."""
    # The dots by which the engine shows that it waits may stand before a line.
    return set(re.findall(r" ~ +\S+ (\S+/\S+) update\b", outcome.output))


def test_without_drift_the_alarm_is_silent(stack: Stack) -> None:
    """Exit status 0, and no host is told to change."""
    assert alarm(stack).code == 0
    assert set(stack.hosts.orders) == {"audit"}


def test_drift_is_named_and_the_alarm_ends_with_7(stack: Stack) -> None:
    """Nothing is changed by looking, however often; the repair involves the others in the proof only."""
    stack.hosts["h2"].interfaces["testwg"].differs = ["edited /etc/wireguard/testwg.conf"]
    for _ in range(2):
        outcome = alarm(stack)
        assert outcome.code == 7
        assert "h2: /etc/wireguard/testwg.conf was edited by hand; pulumi up --refresh writes it again" in outcome.text
        assert updated(outcome) == {"testwg/rollout"}
    assert stack.changed("--refresh") == {"update": 1}
    changing = {name for name, host in stack.hosts.by_name.items() if set(host.orders) & {"stage", "finish", "confirm"}}
    assert changing == {"h2"}
    assert alarm(stack).code == 0


def test_a_reinstalled_host_is_enrolled_again_and_no_other(stack: Stack) -> None:
    """The preview shows its enrolment, up --refresh makes it, and the next up has nothing to do; by a file of hosts."""
    stack.hosts_file = "hosts.yaml"
    stack.must("config", "rm", "mesh:hosts")
    write(stack)
    stack.up()
    stack.hosts["h3"].interfaces["testwg"] = Interface()
    outcome = alarm(stack)
    assert outcome.code == 7
    assert updated(outcome) == {"testwg/h3/enrol", "testwg/rollout"}
    assert "h3: was reinstalled" in outcome.text
    assert stack.changed("--refresh") == {"update": 2}
    assert [name for name, host in stack.hosts.by_name.items() if "enrol" in host.orders] == ["h3"]
    assert stack.hosts["h3"].public_key("testwg") == stack.public_keys()["h3"]
    assert stack.changed() == {}
    assert alarm(stack).code == 0
    stack.hosts_file = ""
    stack.must("config", "rm", "mesh:hostsFile")


def test_a_host_joins_after_a_reinstallation_without_another_enrolment(stack: Stack) -> None:
    """What the survey counted is known in a preview, also of hosts that it has never seen."""
    stack.hosts["h3"].interfaces["testwg"] = Interface()
    stack.up("--refresh")
    if "h5" not in stack.hosts.by_name:
        stack.hosts.add("h5")
    stack.write({"testwg": {"hosts": [*HOSTS, "h5"], "deadline": 10}})
    outcome = stack.must("preview")
    assert updated(outcome) == {"testwg/preshared-key", "testwg/roster", "testwg/rollout"}, outcome.text
    stack.up()
    assert stack.changed() == {}
    assert alarm(stack).code == 0


def test_a_host_that_does_not_answer_is_an_alarm(stack: Stack) -> None:
    """Nobody knows what it runs."""
    stack.hosts.become("h4", "dead")
    outcome = alarm(stack)
    assert outcome.code == 7
    assert "h4: cannot be reached" in outcome.text


def test_a_pending_host_is_said_and_no_alarm_until_it_is_back(stack: Stack) -> None:
    """Its change is then due, and the first up makes it."""
    write(stack, unreachable="skip")
    stack.up()
    stack.hosts.become("h4", "dead")
    assert alarm(stack).code == 7
    write(stack, unreachable="skip", mtu=1400)
    stack.up()
    quiet = alarm(stack)
    assert quiet.code == 0, quiet.text
    assert "h4: its change is pending until it is back" in quiet.text
    assert stack.changed() == {}
    stack.hosts.become("h4", "well")
    assert alarm(stack).code == 7
    assert "testwg: changing h4 only" in stack.up().text
    assert alarm(stack).code == 0


def test_a_faulty_stack_file_is_neither_drift_nor_silence(stack: Stack) -> None:
    """It ends with another status than drift does."""
    stack.write({"testwg": {"hosts": ["nobody"]}})
    outcome = alarm(stack)
    assert outcome.code not in {0, 7}
    assert "nobody" in outcome.text
