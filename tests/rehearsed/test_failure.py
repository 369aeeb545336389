"""What is kept and said when hosts fail or vanish."""

import pytest

from tests.engine.test_failure import HOSTS, kernels, settle, wait_until, write
from tests.rehearsed.conftest import Maker
from tests.rehearsed.stack import RehearsedStack


@pytest.fixture(scope="module")
def shared(make_stack: Maker) -> RehearsedStack:
    """Return a stack of three hosts."""
    return make_stack(len(HOSTS))


@pytest.fixture
def stack(shared: RehearsedStack) -> RehearsedStack:
    """Return that stack with well hosts and nothing left to do."""
    settle(shared)
    return shared


def test_another_change_after_a_failed_one_tells_both(stack: RehearsedStack) -> None:
    """What the hosts do not have yet, and what the file says besides."""
    write(stack, mtu=1400)
    stack.hosts["h2"].fail_at = "finish"
    assert stack.run("up", "--yes", "--skip-preview").code != 0
    stack.hosts["h2"].fail_at = ""
    write(stack, mtu=1400, unreachable="skip", names=True)
    preview = stack.must("preview").text
    missing = preview.partition("an earlier run did not bring this to the hosts:")[2]
    assert "~ every host, MTU: 1420 becomes 1400" in missing
    assert "~ every host, names in /etc/hosts: written" in preview
    write(stack)
    preview = stack.must("preview").text
    assert "~ every host, MTU: 1400 becomes 1420" in preview
    assert "an earlier run did not bring that to the hosts, and this takes it back" in preview
    assert "~ every host, MTU: 1420 becomes 1400" not in preview


def test_reverting_the_file_after_a_failed_rotation_brings_the_running_keys_back(stack: RehearsedStack) -> None:
    """No host changes its key, because it never left the old one."""
    old = kernels(stack)
    write(stack, rotation=3)
    stack.hosts["h3"].fail_at = "prove"
    assert stack.run("up", "--yes", "--skip-preview").code != 0
    stack.hosts["h3"].fail_at = ""
    write(stack)
    stack.up()
    assert stack.public_keys() == old == kernels(stack)


def test_reverting_the_file_after_a_rollout_that_some_hosts_confirmed_takes_these_back(stack: RehearsedStack) -> None:
    """The state still says what was there before, which is what the file asks for again."""
    old = kernels(stack)
    write(stack, rotation=4)
    stack.hosts["h2"].fail_at = "confirm"
    assert "not confirmed on all hosts" in stack.run("up", "--yes", "--skip-preview").text
    stack.hosts["h2"].fail_at = ""
    write(stack)
    stack.up()
    assert kernels(stack) == old == stack.public_keys()
    assert stack.changed("--refresh") == {}


def test_hosts_roll_back_one_key_after_another(stack: RehearsedStack) -> None:
    """All take the old preshared key, then each its own and that of its two peers in turn, and then the rest."""
    old = kernels(stack)
    write(stack, rotation=7)
    stack.hosts["h2"].fail_at = "facts"
    assert stack.run("up", "--yes", "--skip-preview").code != 0
    for host in stack.hosts.by_name.values():
        assert host.orders[-5:] == ["back", "back", "back", "back", "abort"]
    assert kernels(stack) == old


def test_a_host_that_cannot_roll_back_does_not_keep_the_others_from_it(stack: RehearsedStack) -> None:
    """It is not asked again, and rolls back at once with the last order."""
    old = kernels(stack)
    write(stack, rotation=8)
    stack.hosts["h2"].fail_at = "back"
    stack.hosts["h3"].fail_at = "facts"
    assert stack.run("up", "--yes", "--skip-preview").code != 0
    wait_until(lambda: kernels(stack) == old)
    assert stack.hosts["h2"].orders[-2:] == ["back", "abort"]
    assert stack.hosts["h1"].orders[-4:] == ["back", "back", "back", "abort"]


def test_a_host_that_hangs_up_when_it_is_told_to_hold_goes_back_with_the_others(stack: RehearsedStack) -> None:
    """Nobody knows whether it heard that; else it would hold for 15 minutes what no other host runs any more."""
    old = kernels(stack)
    write(stack, rotation=9)
    stack.hosts["h2"].hang_up_at = "renew 900"
    outcome = stack.run("up", "--yes", "--skip-preview")
    assert outcome.code != 0
    assert kernels(stack) == old
    assert stack.hosts["h2"].orders[-1] == "abort"
    assert "failed; every host rolls back" in outcome.text
    assert "no word from" not in outcome.text


@pytest.mark.parametrize("mode", ["dead", "silent"])
def test_a_host_that_does_not_answer_stops_the_run_before_anything_changes(stack: RehearsedStack, mode: str) -> None:
    """Within seconds and by name, also where it accepts connections and never speaks."""
    old, orders = kernels(stack), len(stack.hosts.orders)
    write(stack, rotation=5)
    stack.hosts.become("h2", mode)
    outcome = stack.run("up", "--yes", "--skip-preview")
    assert outcome.code != 0
    assert outcome.seconds < 60
    assert "nothing was changed" in outcome.text
    assert "host 'h2'" in outcome.text
    assert (kernels(stack), len(stack.hosts.orders)) == (old, orders)
    assert set(stack.public_keys().values()) == set(old.values())
