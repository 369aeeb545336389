"""What is seen and repaired of drift, and when a preview is an alarm."""

import pytest

from tests.engine.ssh_hosts import Interface
from tests.engine.test_drift import HOSTS, alarm, settle, write
from tests.rehearsed.conftest import Maker
from tests.rehearsed.stack import RehearsedStack


@pytest.fixture(scope="module")
def shared(make_stack: Maker) -> RehearsedStack:
    """Return a stack of four hosts."""
    return make_stack(len(HOSTS))


@pytest.fixture
def stack(shared: RehearsedStack) -> RehearsedStack:
    """Return that stack with well hosts and nothing left to do."""
    settle(shared)
    return shared


def test_without_drift_the_alarm_is_silent(stack: RehearsedStack) -> None:
    """Exit status 0, and no host is told to change."""
    assert alarm(stack).code == 0
    assert set(stack.hosts.orders) == {"audit"}


def test_a_reinstalled_host_is_enrolled_again_and_no_other(stack: RehearsedStack) -> None:
    """The preview shows its enrolment, up --refresh makes it, and the next up has nothing to do; by a file of hosts."""
    stack.hosts_file = "hosts.yaml"
    write(stack)
    stack.up()
    stack.hosts["h3"].interfaces["testwg"] = Interface()
    outcome = alarm(stack)
    assert outcome.code == 7
    assert stack.updated(outcome) == {"testwg/h3/enrol", "testwg/rollout"}
    assert "h3: was reinstalled" in outcome.text
    assert stack.changed("--refresh") == {"update": 2}
    assert [name for name, host in stack.hosts.by_name.items() if "enrol" in host.orders] == ["h3"]
    assert stack.hosts["h3"].public_key("testwg") == stack.public_keys()["h3"]
    assert stack.changed() == {}
    assert alarm(stack).code == 0
    stack.hosts_file = ""


def test_a_host_joins_after_a_reinstallation_without_another_enrolment(stack: RehearsedStack) -> None:
    """What the survey counted is known in a preview, also of hosts that it has never seen."""
    stack.hosts["h3"].interfaces["testwg"] = Interface()
    stack.up("--refresh")
    if "h5" not in stack.hosts.by_name:
        stack.hosts.add("h5")
    stack.write({"testwg": {"hosts": [*HOSTS, "h5"], "deadline": 10}})
    outcome = stack.must("preview")
    assert stack.updated(outcome) == {"testwg/preshared-key", "testwg/roster", "testwg/rollout"}, outcome.text
    stack.up()
    assert stack.changed() == {}
    assert alarm(stack).code == 0


def test_a_host_that_does_not_answer_is_an_alarm(stack: RehearsedStack) -> None:
    """Nobody knows what it runs."""
    stack.hosts.become("h4", "dead")
    outcome = alarm(stack)
    assert outcome.code == 7
    assert "h4: cannot be reached" in outcome.text


def test_a_pending_host_is_said_and_no_alarm_until_it_is_back(stack: RehearsedStack) -> None:
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
