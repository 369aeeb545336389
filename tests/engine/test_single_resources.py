"""A run of, or without, any single resource ends in words, and leaves a state that the next run can read."""

import pytest

from tests.documents import shell_of
from tests.engine.conftest import Maker
from tests.engine.stack import Outcome, Stack

HOSTS = ["h1", "h2"]
NAMES = (
    "testwg", "testwg/identity", "testwg/preshared-key", "testwg/h1/key", "testwg/h1/enrol", "testwg/survey",
    "testwg/roster", "testwg/rollout",
)  # fmt: skip


def write(stack: Stack, hosts: list[str], rotation: int = 1) -> None:
    """Write a mesh of these hosts."""
    stack.write({"testwg": {"hosts": hosts, "deadline": 10, "rotation": rotation}})


def ends_in_words(outcome: Outcome) -> None:
    """See that nothing of Python's is shown, nor of a state that is broken."""
    for word in ("Traceback", "KeyError", "TypeError", "AttributeError", "integrity", "failed: '", "Unknown object"):
        assert word not in outcome.text, outcome.text
    if outcome.code:
        assert "error: " in outcome.text


def run_part(stack: Stack, option: str, name: str) -> None:
    """Preview and run a part; what comes next reads the state."""
    words = ("up", "--yes", f"--{option}", f"**::{name}")
    whole = stack.run(*words)
    ends_in_words(whole)
    if whole.code:
        # The preview has ended it, maybe.
        ends_in_words(stack.run(*words, "--skip-preview"))


@pytest.fixture(scope="module")
def empty(make_stack: Maker) -> Stack:
    """Return a stack of two hosts and no mesh."""
    return make_stack(2)


@pytest.fixture(scope="module")
def running(make_stack: Maker) -> Stack:
    """Return a stack whose mesh runs."""
    stack = make_stack(3)
    write(stack, HOSTS)
    stack.up()
    return stack


@pytest.mark.parametrize(
    ("option", "name"),
    # A component that is excluded, and none of what is in it, is no run of ours: see the next test.
    [("target", "testwg"), *((option, name) for option in ("exclude", "target") for name in NAMES[1:])],
)
def test_a_new_mesh_comes_up_after_a_part_of_it(empty: Stack, option: str, name: str) -> None:
    """Whatever that part did."""
    write(empty, HOSTS)
    run_part(empty, option, name)
    # Where the engine has refused it, the stack is as empty as before, and the next of these runs reads its state.
    if empty.resources():
        if name in {"testwg/preshared-key", "testwg/survey", "testwg/identity"}:
            empty.up()
            keys = {*empty.public_keys().values()}
            assert {host.public_key("testwg") for host in empty.hosts.by_name.values()} == keys
            empty.must("preview", "--expect-no-changes")
        empty.must("destroy", "--yes", "--skip-preview")
        assert empty.resources() == {}
    # A host that was given its key, and that no roster names, keeps it until the next run.
    assert not any(state.kernel for host in empty.hosts.by_name.values() for state in host.interfaces.values())


def test_a_state_that_pulumi_cannot_read_is_repaired_as_the_page_tells(empty: Stack) -> None:
    """The engine breaks it when a new component is excluded and what is in it is not, in any program."""
    write(empty, HOSTS)
    assert "snapshot integrity failure" in empty.run("up", "--yes", "--skip-preview", "--exclude", "**::testwg").text
    assert "integrity" in empty.run("preview").text
    [command] = [line for line in shell_of("docs/tasks/state.md", "The state cannot be read").splitlines() if line]
    assert empty.shell(command).code == 0
    empty.up()
    empty.must("preview", "--expect-no-changes")
    empty.must("destroy", "--yes", "--skip-preview")
    assert empty.resources() == {}


@pytest.mark.parametrize("name", [name for name in NAMES if "/h1/" not in name])
@pytest.mark.parametrize("option", ["exclude", "target"])
def test_a_running_mesh_gets_the_rest_after_a_part_of_a_change(running: Stack, option: str, name: str) -> None:
    """All keys are rotated, and a host joins that was none, or leaves."""
    hosts = HOSTS if "h3" in running.public_keys() else [*HOSTS, "h3"]
    write(running, hosts, rotation=len(running.hosts.orders))
    run_part(running, option, name)
    running.up()
    keys = {host: running.hosts[host].public_key("testwg") for host in hosts}
    assert keys == {host: key for host, key in running.public_keys().items() if host in hosts}
