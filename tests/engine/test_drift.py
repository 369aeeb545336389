"""What the real engine shows and repairs of drift, and when a preview is an alarm."""

import pytest

from tests.engine.conftest import Maker
from tests.engine.stack import Outcome, Stack

HOSTS = ["h1", "h2", "h3", "h4"]


def write(stack: Stack, **more: object) -> None:
    """Write a mesh of all hosts."""
    stack.write({"testwg": {"hosts": HOSTS, "deadline": 10, **more}})


@pytest.fixture(scope="module")
def shared(make_stack: Maker) -> Stack:
    """Return a stack of four hosts."""
    return make_stack(len(HOSTS))


def settle(stack: Stack) -> None:
    """Bring the mesh to where each test begins, and forget the orders so far."""
    for host in stack.hosts.by_name.values():
        if host.mode != "well":
            stack.hosts.become(host.name, "well")
    write(stack)
    stack.up("--refresh")
    for host in stack.hosts.by_name.values():
        host.orders.clear()


@pytest.fixture
def stack(shared: Stack) -> Stack:
    """Return that stack with well hosts and nothing left to do."""
    settle(shared)
    return shared


def alarm(stack: Stack) -> Outcome:
    """Return how the alarm of a CI ends."""
    return stack.run("preview", "--refresh", "--expect-no-changes")


def test_drift_is_named_and_the_alarm_ends_with_7(stack: Stack) -> None:
    """Nothing is changed by looking, however often; the repair involves the others in the proof only."""
    stack.hosts["h2"].interfaces["testwg"].differs = ["edited /etc/wireguard/testwg.conf"]
    for _ in range(2):
        outcome = alarm(stack)
        assert outcome.code == 7
        assert "h2: /etc/wireguard/testwg.conf was edited by hand; pulumi up --refresh writes it again" in outcome.text
        assert stack.updated(outcome) == {"testwg/rollout"}
    assert stack.changed("--refresh") == {"update": 1}
    changing = {name for name, host in stack.hosts.by_name.items() if set(host.orders) & {"stage", "finish", "confirm"}}
    assert changing == {"h2"}
    assert alarm(stack).code == 0


def test_a_faulty_stack_file_is_neither_drift_nor_silence(stack: Stack) -> None:
    """It ends with another status than drift does."""
    stack.write({"testwg": {"hosts": ["nobody"]}})
    outcome = alarm(stack)
    assert outcome.code not in {0, 7}
    assert "nobody" in outcome.text
