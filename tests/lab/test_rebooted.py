"""A host reboots in each step of a switch: all hosts end old or new, and the next run completes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.lab.conftest import leave_nothing
from tests.lab.failures import MEMBERS, PORT, ask_for_change
from tests.lab.lab import Lab
from tests.lab.rehearsed import RehearsedStack
from tests.lab.stack import Stack, wait_until
from tests.rehearsal.verbs import TELLS_ORDERS

# By the order that is about to be given when the host is told to reboot; carol's own key is the second that changes.
_STEPS = ["preshared", "own carol", "peer carol", "finish", "wake", "prove", "confirm"]


@pytest.fixture(scope="module")
def stack(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return the one stack of these tests, since each of them leaves its mesh running."""
    stack = RehearsedStack(lab, tmp_path_factory.mktemp("rebooted"))
    stack.environment[TELLS_ORDERS] = "yes"
    stack.write({"testwg": {"hosts": MEMBERS, "port": PORT, "deadline": 10, "rotation": 1}})
    yield stack
    leave_nothing(lab)


@pytest.mark.parametrize("step", _STEPS)
def test_a_host_that_reboots_in_a_step_of_the_switch_ends_as_all_others(step: str, stack: Stack, lab: Lab) -> None:
    """It boots the confirmed state, whatever it ran; a reboot that comes after its confirmation boots the new one."""
    ask_for_change(stack)
    old = stack.running_public_keys("testwg")
    with ThreadPoolExecutor(1) as aside:
        run = stack.start("up")
        run.wait_for(f"order: {step}")
        rebooted = aside.submit(lab.hosts["carol"].reboot)
        run.end()
        rebooted.result()
    stack.wait_until_settled(100)
    new = {name: stack.public_keys()[f"testwg/{name}/key"] for name in MEMBERS}

    def all_as_one() -> bool:
        runs = stack.running_public_keys("testwg")
        # Told to confirm while it reboots, it may not have heard that, and nothing leads the others back from there on.
        return runs in (old, new) or (step == "confirm" and runs == {**new, "carol": old["carol"]})

    wait_until(all_as_one, 20)
    stack.up("--refresh")
    assert stack.running_public_keys("testwg") == new
    # A peer goes on with the session that the reboot ended until it has waited in vain for answers, some 15 seconds.
    wait_until(lambda: stack.silent("testwg", 5) == [], 40)
