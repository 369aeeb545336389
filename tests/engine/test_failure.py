"""What the real engine keeps and says when hosts fail, vanish or hang."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.conftest import Maker
from tests.engine.stack import Stack
from tests.own_agent import run_agent

HOSTS = ["h1", "h2", "h3"]


def write(stack: Stack, rotation: int = 1, **more: object) -> None:
    """Write a mesh of all hosts."""
    stack.write({"testwg": {"hosts": HOSTS, "deadline": 10, "rotation": rotation, **more}})


def wait_until(condition: Callable[[], bool], seconds: float = 40) -> None:
    """Wait until `condition` is true; fail if it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)


def kernels(stack: Stack) -> dict[str, str | None]:
    """Return the public key that each host runs."""
    return {name: host.public_key("testwg") for name, host in stack.hosts.by_name.items()}


@pytest.fixture(scope="module")
def shared(make_stack: Maker) -> Stack:
    """Return a stack of three hosts."""
    return make_stack(len(HOSTS))


def settle(stack: Stack) -> None:
    """Bring the mesh to where each test begins."""
    for host in stack.hosts.by_name.values():
        host.fail_at = host.hang_at = ""
        if host.mode != "well":
            stack.hosts.become(host.name, "well")
    write(stack)
    stack.settle()


@pytest.fixture
def stack(shared: Stack) -> Stack:
    """Return that stack with well hosts and nothing left to do, whatever the rotation of the test before."""
    if not shared.is_settled:
        settle(shared)
    return shared


def test_a_failed_rollout_is_tried_again_alone_and_with_the_same_keys(stack: Stack) -> None:
    """The state holds the digest that the hosts rolled back to, and the keys that they will get."""
    before = stack.resources()["testwg/rollout"]["outputs"]["digest"]
    old = kernels(stack)
    write(stack, rotation=2)
    stack.hosts["h2"].fail_at = "finish"
    outcome = stack.run("up", "--yes", "--skip-preview")
    assert outcome.code != 0
    assert "host 'h2': told to fail at finish" in outcome.text
    assert kernels(stack) == old
    assert stack.resources()["testwg/rollout"]["outputs"]["digest"] == before
    made = stack.public_keys()
    stack.hosts["h2"].fail_at = ""
    # The roster has the new keys already; what the hosts lack is told all the same, and told once.
    told = f"~ h1 key: {str(old['h1'])[:8]}… becomes {made['h1'][:8]}…"
    assert outcome.text.count("an earlier run did not bring this") == 0
    preview = stack.must("preview").text
    assert "an earlier run did not bring this to the hosts:" in preview
    assert told in preview
    assert stack.changed() == {"update": 1}
    assert kernels(stack) == made == stack.public_keys()


def test_a_failure_is_told_without_a_traceback(stack: Stack) -> None:
    """Neither the provider's nor that of the interrupted program buries the reason."""
    write(stack, rotation=4)
    stack.hosts["h1"].fail_at = "stage"
    outcome = stack.run("up", "--yes", "--skip-preview")
    assert outcome.code != 0
    assert "nothing was changed" in outcome.text
    assert "Traceback" not in outcome.text
    assert "KeyboardInterrupt" not in outcome.text


def test_another_host_key_is_refused_before_any_host_changes(stack: Stack) -> None:
    """The host is named, and nothing was sent to it."""
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
    old, told = kernels(stack), len(stack.hosts["h2"].orders)
    interfaces = {"testwg": {"hosts": HOSTS, "deadline": 10, "rotation": 6}}
    stack.write(interfaces, h2={"hostKey": other})
    outcome = stack.run("up", "--yes", "--skip-preview")
    assert outcome.code != 0
    assert outcome.seconds < 60
    assert "host 'h2': has another SSH host key than the stack file says" in outcome.text
    assert kernels(stack) == old
    assert len(stack.hosts["h2"].orders) == told


def test_a_bad_stack_file_tells_all_faults_and_registers_nothing(stack: Stack) -> None:
    """One run, every fault, no traceback."""
    before = stack.resources()
    stack.write({"testwg": {"hosts": [*HOSTS, "nobody"], "port": 99999}, "bad name": {"hosts": ["h1"]}})
    for verb in (("preview",), ("up", "--yes", "--skip-preview")):
        outcome = stack.run(*verb)
        assert outcome.code != 0
        for fault in ("nobody", "testwg.port", "bad name"):
            assert fault in outcome.text
        assert "Traceback" not in outcome.text
    assert stack.resources().keys() == before.keys()


@pytest.mark.parametrize("name", ["h1/key", "h1/enrol", "roster", "rollout", "preshared-key", "identity"])
def test_replacing_a_resource_never_wipes_a_running_host(stack: Stack, name: str) -> None:
    """A taint or `--replace` changes a key at most."""
    stack.up("--replace", stack.resources()[f"testwg/{name}"]["urn"])
    assert all(host.confirmed("testwg") for host in stack.hosts.by_name.values())
    assert kernels(stack) == stack.public_keys()


def test_after_a_kill_in_the_switch_nothing_is_confirmed_and_the_next_up_heals(stack: Stack) -> None:
    """The provider outlives the engine and must not confirm; `cancel` and `up --refresh` go on with the same keys."""
    old = kernels(stack)
    write(stack, rotation=7)
    stack.hosts["h2"].hang_at = "own"
    seen = stack.hosts["h2"].orders.count("own")
    process = stack.start("up", "--yes", "--skip-preview")
    wait_until(lambda: stack.hosts["h2"].orders.count("own") > seen)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    confirmed = sum(host.orders.count("confirm") for host in stack.hosts.by_name.values())
    wait_until(lambda: kernels(stack) == old)
    assert sum(host.orders.count("confirm") for host in stack.hosts.by_name.values()) == confirmed
    stack.hosts["h2"].hang_at = ""
    stack.end_orphans()
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()
    stack.must("cancel", "--yes")
    stack.up("--refresh")
    assert kernels(stack) == stack.public_keys()
    assert set(kernels(stack).values()).isdisjoint(old.values())


def test_an_agent_alone_brings_a_change_to_the_hosts_and_is_no_difference(stack: Stack) -> None:
    """The first way that the README names; an operator with a key file then sees an empty preview."""
    key = stack.environment.pop("MESH_SSH_KEY_FILE")
    socket = f"{key}.agent"
    with run_agent(Path(socket)):
        subprocess.run(["ssh-add", "-q", key], env={**os.environ, "SSH_AUTH_SOCK": socket}, check=True)
        stack.environment["SSH_AUTH_SOCK"] = socket
        try:
            assert stack.changed() == {}
            stack.write({"testwg": {"hosts": ["h1", "h2", "h3"], "rotation": 3}})
            stack.up()
            assert kernels(stack) == stack.public_keys()
            assert "drift" not in stack.must("preview", "--refresh", "--expect-no-changes").text
            assert stack.companion("status", "--no-ping").code == 0
            assert socket not in stack.files()
        finally:
            stack.environment.pop("SSH_AUTH_SOCK", None)
            stack.environment["MESH_SSH_KEY_FILE"] = key
    assert stack.changed() == {}


@pytest.mark.parametrize("place", [".mesh", ".mesh/agent.lock"])
def test_a_run_that_cannot_write_its_sockets_ends_in_words_and_changes_nothing(stack: Stack, place: str) -> None:
    """Instead of waiting for ever: the folder is somebody else's, or a file of it is."""
    folder, orders = stack.folder / ".mesh", len(stack.hosts.orders)
    shutil.rmtree(folder, ignore_errors=True)
    in_the_way = stack.folder / place
    if place == ".mesh":
        in_the_way.touch()
    else:
        in_the_way.mkdir(parents=True)
    outcome = stack.run("up", "--yes", "--skip-preview", seconds=120)
    assert outcome.code != 0
    assert f"{place}: cannot be written (" in outcome.text
    assert "Traceback" not in outcome.text
    assert len(stack.hosts.orders) == orders
    if place == ".mesh":
        folder.unlink()
    else:
        shutil.rmtree(folder)
    assert stack.changed() == {}


def test_a_dead_host_does_not_block_destroy_and_is_named(stack: Stack) -> None:
    """The last test on this stack: the others are wiped, and the state is empty."""
    stack.hosts.become("h2", "dead")
    outcome = stack.must("destroy", "--yes")
    assert "h2 is not wiped" in outcome.text
    assert stack.hosts["h1"].interfaces == stack.hosts["h3"].interfaces == {}
    assert stack.resources() == {}
