"""A host that does not answer: left out and caught up, removed and wiped later, forgotten."""

import json

import pytest

from tests.engine.test_dead_host import HOSTS, REST, begin, kernels, write
from tests.rehearsed.conftest import Maker
from tests.rehearsed.stack import RehearsedStack


@pytest.fixture(scope="module")
def shared(make_stack: Maker) -> RehearsedStack:
    """Return a stack of four hosts."""
    return make_stack(4)


@pytest.fixture
def stack(shared: RehearsedStack) -> RehearsedStack:
    """Return that stack with its mesh running and h4 about to be dead."""
    begin(shared)
    return shared


@pytest.mark.parametrize("mode", ["dead", "silent"])
def test_a_run_can_go_on_without_a_host_and_the_next_one_brings_it(stack: RehearsedStack, mode: str) -> None:
    """For that run alone: neither file nor state says so, and the next `up` shows only the host's own work."""
    old = kernels(stack)
    stack.hosts.become("h4", mode)
    write(stack, HOSTS, rotation=2)
    stack.environment["MESH_SKIP_UNREACHABLE"] = "true"
    outcome = stack.up()
    del stack.environment["MESH_SKIP_UNREACHABLE"]
    assert "host 'h4'" in outcome.text
    assert "gets its change in the first up after its return" in outcome.text
    new = stack.public_keys()
    assert {host for host in HOSTS if kernels(stack)[host] == new[host]} == set(REST)
    assert kernels(stack)["h4"] == old["h4"]
    assert stack.plan()["pending"] == ["h4"]
    assert stack.resources()["testwg/roster"]["outputs"]["roster"]["unreachable"] == "stop"
    stopped = stack.run("up", "--yes", "--skip-preview")
    assert stopped.code != 0
    assert "host 'h4'" in stopped.text
    stack.hosts.become("h4", "well")
    assert "~ h4 was left out of an earlier run" in stack.must("preview").text
    assert stack.changed() == {"create": 1, "update": 1}
    assert kernels(stack) == new == stack.public_keys()
    assert stack.changed() == {}


def test_a_dead_host_that_is_removed_is_tried_in_every_run_until_it_is_wiped(stack: RehearsedStack) -> None:
    """The run does not stop for it; the others drop it, and the preview says what it can still do."""
    stack.hosts.become("h4", "silent")
    write(stack, REST)
    preview = stack.must("preview")
    assert "- h4 leaves: its peers drop it, then it is wiped; the preshared key is regenerated" in preview.text
    assert "keeps its key and the old preshared key; no member with the change accepts it" in preview.text
    outcome = stack.up()
    assert outcome.seconds < 60
    assert "h4 is not wiped" in outcome.text
    assert stack.plan()["notWiped"] == ["h4"]
    assert set(stack.plan()["hosts"]) == set(REST)
    assert "- h4 has left and is not wiped yet" in stack.must("preview").text
    assert "h4 is not wiped" in stack.up().text
    stack.hosts.become("h4", "well")
    assert stack.changed() == {"update": 1}
    assert stack.hosts["h4"].interfaces == {}
    assert stack.plan()["notWiped"] == []
    assert stack.changed() == {}


def test_a_host_that_is_gone_for_good_is_forgotten(stack: RehearsedStack) -> None:
    """It is not tried again, not even by `destroy`; a name that is not waited for is refused, with those that are."""
    early = stack.companion("forget", "h4")
    assert early.code == 1
    assert early.text.strip() == "error: forget: h4 is a host of testwg; take it out of hosts and run pulumi up first"
    stack.hosts.become("h4", "dead")
    write(stack, REST)
    stack.up()
    wrong = stack.companion("forget", "h5")
    assert wrong.code == 1
    assert "hosts that are: h4" in wrong.text
    assert stack.companion("forget", "h4").code == 0
    stack.hosts.become("h4", "well")
    orders = len(stack.hosts["h4"].orders)
    assert "- h4 is forgotten: runs no longer try to wipe it" in stack.must("preview").text
    assert stack.changed() == {"update": 2}
    assert stack.plan()["notWiped"] == []
    write(stack, REST)
    assert stack.changed() == {"update": 2}
    assert stack.changed() == {}
    assert len(stack.hosts["h4"].orders) == orders


def test_a_forgotten_host_that_is_a_member_again_has_to_be_remembered(stack: RehearsedStack) -> None:
    """Else nobody would wipe it when it leaves the next time."""
    write(stack, HOSTS, forgotten=["h4"])
    outcome = stack.run("preview")
    assert outcome.code != 0
    assert "mesh:interfaces.testwg.forgotten: 'h4' is a host of this interface again" in outcome.text


def test_the_public_plan_is_that_of_the_members_who_were_verified(stack: RehearsedStack) -> None:
    """A failed run leaves the plan as it was."""
    before = stack.plan()
    stack.hosts["h1"].fail_at = "prove"
    write(stack, HOSTS, rotation=9)
    assert stack.run("up", "--yes", "--skip-preview").code != 0
    stack.hosts["h1"].fail_at = ""
    assert json.dumps(stack.plan()) == json.dumps(before)


@pytest.mark.parametrize("order", ["facts", "confirm"])
def test_a_host_that_left_and_came_back_in_a_failed_run_is_wiped_when_it_leaves_again(
    stack: RehearsedStack, order: str
) -> None:
    """That it was wiped the first time says nothing about what the failed run left there."""
    write(stack, REST)
    stack.up()
    assert stack.hosts["h4"].interfaces == {}
    write(stack, HOSTS)
    stack.hosts["h2"].fail_at = order
    assert stack.run("up", "--yes", "--skip-preview").code != 0
    stack.hosts["h2"].fail_at = ""
    assert stack.hosts["h4"].interfaces
    write(stack, REST)
    assert "wiping h4" in stack.up().text
    assert stack.hosts["h4"].interfaces == {}
    assert stack.changed() == {}


def test_destroy_does_not_try_hosts_that_were_wiped_when_they_left(stack: RehearsedStack) -> None:
    """Nor does a machine that is gone since then count as one that may still have the interface."""
    write(stack, REST)
    stack.up()
    orders = len(stack.hosts["h4"].orders)
    stack.hosts.become("h4", "dead")
    outcome = stack.must("destroy", "--yes")
    assert "h4" not in outcome.text
    assert len(stack.hosts["h4"].orders) == orders
