"""A host that does not answer: left out and caught up, removed and wiped later, forgotten."""

import pytest

from tests.engine.conftest import Maker
from tests.engine.stack import Stack

HOSTS = ["h1", "h2", "h3", "h4"]
REST = HOSTS[:3]


def write(stack: Stack, hosts: list[str], rotation: int = 1, **more: object) -> None:
    """Write a mesh; every host is described, member or not."""
    stack.write({"testwg": {"hosts": hosts, "deadline": 10, "rotation": rotation, **more}})


def kernels(stack: Stack) -> dict[str, str | None]:
    """Return the public key that each host runs."""
    return {name: host.public_key("testwg") for name, host in stack.hosts.by_name.items()}


@pytest.fixture(scope="module")
def shared(make_stack: Maker) -> Stack:
    """Return a stack of four hosts."""
    return make_stack(4)


def begin(stack: Stack) -> None:
    """Bring the mesh of all hosts up, h4 included."""
    if stack.hosts["h4"].mode != "well":
        stack.hosts.become("h4", "well")
    write(stack, HOSTS)
    stack.settle()


@pytest.fixture
def stack(shared: Stack) -> Stack:
    """Return that stack with its mesh running and h4 about to be dead."""
    begin(shared)
    return shared


def test_a_run_can_go_on_without_a_host_and_the_next_one_brings_it(stack: Stack) -> None:
    """By the option of `mesh up`, for that run alone; what it does beside that is told without an engine."""
    stack.hosts.become("h4", "dead")
    write(stack, HOSTS, rotation=2)
    outcome = stack.companion("up", "--skip-unreachable", "--", "--yes", "--skip-preview", "--color", "never")
    assert outcome.code == 0
    assert "warning: host 'h4'" in outcome.text
    assert stack.run("up", "--yes", "--skip-preview").code != 0
    stack.hosts.become("h4", "well")
    assert stack.changed() == {"create": 1, "update": 1}
    assert kernels(stack) == stack.public_keys()


def test_only_one_word_of_the_environment_skips_and_another_stops(stack: Stack) -> None:
    """As Pulumi reads its own variables."""
    stack.hosts.become("h4", "dead")
    write(stack, HOSTS, mtu=1400)
    for word, goes_on in (("perhaps", False), ("1", True)):
        stack.environment["MESH_SKIP_UNREACHABLE"] = word
        assert (stack.run("up", "--yes", "--skip-preview").code == 0) == goes_on
    del stack.environment["MESH_SKIP_UNREACHABLE"]


def test_skipping_in_the_stack_file_names_the_host_at_the_end_also_with_nothing_to_do(stack: Stack) -> None:
    """At its return its enrolment is recorded again, and it is brought to the plan if it is not there."""
    write(stack, HOSTS, unreachable="skip")
    stack.up()
    stack.hosts.become("h4", "dead")
    orders = len(stack.hosts.orders)
    outcome = stack.up()
    assert outcome.text.rindex("warning: host 'h4'") > outcome.text.index("Diagnostics:")
    assert len(stack.hosts.orders) == orders
    stack.hosts.become("h4", "well")
    assert stack.changed() == {"create": 1, "update": 1}
    assert stack.changed() == {}


def test_a_host_whose_enrolment_is_left_out_twice_leaves_a_readable_state(stack: Stack) -> None:
    """First since it is dead, then by `--exclude`: its enrolment is new to the engine then."""
    write(stack, HOSTS, unreachable="skip")
    stack.up()
    stack.hosts.become("h4", "dead")
    stack.up()
    stack.hosts.become("h4", "well")
    stack.up("--exclude", "**/h4/**")
    assert stack.changed() == {"create": 1, "update": 1}


def test_a_host_that_left_twice_is_wiped_twice_and_not_tried_again_by_destroy(stack: Stack) -> None:
    """It came back in a run that failed, whose end the state does not know; at last it is gone for good."""
    write(stack, REST)
    stack.up()
    stack.hosts["h2"].fail_at = "confirm"
    write(stack, HOSTS)
    assert stack.run("up", "--yes", "--skip-preview").code != 0
    stack.hosts["h2"].fail_at = ""
    assert stack.hosts["h4"].interfaces
    write(stack, REST)
    stack.up()
    assert stack.hosts["h4"].interfaces == {}
    stack.hosts.become("h4", "dead")
    said = stack.must("destroy", "--yes", "--skip-preview").text
    assert "not wiped" not in said
    assert "may still be on" not in said
    assert stack.resources() == {}
