"""A run that is stopped as by Ctrl-Z, or killed, beside a second one: what the second says, and that it works."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import Maker
from tests.engine.stack import Stack
from tests.lab.stack import wait_until

HOSTS = ["h1", "h2"]
_LOCKED = "the stack is currently locked by 1 lock(s)"


@pytest.fixture(scope="module")
def shared(make_stack: Maker) -> Stack:
    """Return a stack of two hosts."""
    return make_stack(2)


@pytest.fixture
def stack(shared: Stack) -> Iterator[Stack]:
    """Return that stack with a running mesh and nothing pending; its hosts answer again afterwards."""
    if not shared.is_settled:
        write(shared, 1)
        shared.up()
    yield shared
    shared.hosts["h2"].slowness, shared.hosts["h2"].hang_at = 0.0, ""
    shared.end_orphans()


def write(stack: Stack, rotation: int) -> None:
    """Write one mesh of all hosts."""
    stack.write({"testwg": {"hosts": HOSTS, "deadline": 10, "rotation": rotation}})


def kernels(stack: Stack) -> dict[str, str | None]:
    """Return the public key that each host runs."""
    return {name: host.public_key("testwg") for name, host in stack.hosts.by_name.items()}


def is_refused(stack: Stack, first: int) -> str:
    """Run a second up beside the first process, see that it begins nothing, and return what it says."""
    outcome = stack.run("up", "--yes", "--skip-preview")
    assert outcome.code != 0
    assert _LOCKED in outcome.text
    assert f"(pid {first})" in outcome.text
    assert "testwg" not in outcome.text
    return outcome.text


def states_of_group(leader: int) -> set[str]:
    """Return in which states the processes of a group are, as `ps` names them."""
    found = set()
    for process in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = process.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(group) == leader:
            found.add(state)
    return found


def test_beside_a_run_that_is_stopped_a_second_one_waits_and_the_first_goes_on_to_its_end(stack: Stack) -> None:
    """As Ctrl-Z does it, which stops all that the shell has started as one job, and `fg` after it."""
    old, slow = kernels(stack), stack.hosts["h2"]
    write(stack, 2)
    slow.slowness = 1.0
    staged = slow.orders.count("stage")
    # As a shell with job control starts it: Ctrl-Z stops no group whose parents are all of another session.
    words = ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--color", "never"]
    with subprocess.Popen(
        words, cwd=stack.folder, env=stack.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, process_group=0,
    ) as first:  # fmt: skip
        wait_until(lambda: slow.orders.count("stage") > staged)
        os.killpg(first.pid, signal.SIGTSTP)
        wait_until(lambda: states_of_group(first.pid) == {"T"})
        assert "wait for the other process(es) to end" in is_refused(stack, first.pid)
        slow.slowness = 0.0
        os.killpg(first.pid, signal.SIGCONT)
        output, _ = first.communicate(timeout=120)
    assert first.returncode == 0, output
    assert kernels(stack) == stack.public_keys()
    assert set(kernels(stack).values()).isdisjoint(old.values())
    stack.up("--expect-no-changes")


def test_after_a_run_that_was_killed_what_the_second_one_tells_brings_the_mesh_up(stack: Stack) -> None:
    """As the message and the page name it; nobody ends by hand what the killed one has left running."""
    old, hanging = kernels(stack), stack.hosts["h2"]
    write(stack, 3)
    hanging.hang_at = "stage"
    staged = hanging.orders.count("stage")
    first = stack.start("up", "--yes", "--skip-preview")
    wait_until(lambda: hanging.orders.count("stage") > staged)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    for stream in (first.stdout, first.stderr):
        if stream:
            stream.close()
    hanging.hang_at = ""
    (told,) = set(re.findall(r"`(pulumi cancel\b[^`]*)`", is_refused(stack, first.pid)))
    page = (Path(__file__).parents[2] / "docs/troubleshooting/README.md").read_text()
    (cancel, up) = re.findall(r"\*\*`pulumi` was killed.*?Run `(.*?)`, then `(.*?)`", page, re.DOTALL)[0]
    assert cancel == told
    for line in (told, up):
        done = stack.shell(line)
        assert done.code == 0, f"{line}\n{done.text}"
    assert kernels(stack) == stack.public_keys()
    assert set(kernels(stack).values()).isdisjoint(old.values())
    stack.up("--expect-no-changes")
