"""What Pulumi users do to a stack and its state: rename, move, export, delete from it, and run two at once."""

import json
import os
import signal
import subprocess
import time
from itertools import count

import pytest

from tests.engine.conftest import Maker
from tests.engine.stack import Stack
from tests.lab.stack import wait_until

HOSTS = ["h1", "h2", "h3"]
_OTHER = "another one"


@pytest.fixture(scope="module")
def shared(make_stack: Maker) -> Stack:
    """Return a stack of three hosts."""
    return make_stack(3)


@pytest.fixture
def stack(shared: Stack) -> Stack:
    """Return that stack with a running mesh and nothing pending."""
    if not shared.resources():
        rotate(shared)
    shared.settle()
    return shared


_ROTATIONS = count(1)


def rotate(stack: Stack) -> None:
    """Write one mesh of all hosts, each with another key than before."""
    stack.write({"testwg": {"hosts": HOSTS, "deadline": 10, "rotation": next(_ROTATIONS)}})


def orders(stack: Stack) -> list[str]:
    """Return all that hosts were told but to be enrolled, which switches nothing."""
    return [order for host in stack.hosts.by_name.values() for order in host.orders if order not in {"enrol", "audit"}]


def kernels(stack: Stack) -> dict[str, str | None]:
    """Return the public key that each host runs."""
    return {name: host.public_key("testwg") for name, host in stack.hosts.by_name.items()}


def test_a_stack_that_was_exported_goes_on_where_it_is_imported(stack: Stack) -> None:
    """Also after everything that the backend had was lost."""
    told, file = orders(stack), stack.folder / "export.json"
    stack.must("stack", "export", "--file", str(file))
    stack.must("stack", "rm", "--force", "--yes", "--preserve-config")
    stack.must("stack", "init", "test")
    stack.must("stack", "import", "--file", str(file))
    stack.up("--expect-no-changes")
    assert orders(stack) == told


def test_a_renamed_stack_changes_nothing(stack: Stack) -> None:
    """Its hosts know the mesh by an identity of its own."""
    told = orders(stack)
    stack.must("stack", "rename", "office")
    try:
        stack.must("up", "--yes", "--skip-preview", "--expect-no-changes")
        assert orders(stack) == told
    finally:
        stack.must("stack", "rename", "test")


def test_another_passphrase_changes_nothing(stack: Stack) -> None:
    """And the state opens with the new one only."""
    told, former = orders(stack), stack.environment["PULUMI_CONFIG_PASSPHRASE"]
    command = ["pulumi", "stack", "change-secrets-provider", "passphrase"]
    subprocess.run(
        command, cwd=stack.folder, env=stack.environment, input=f"{_OTHER}\n{_OTHER}\n", text=True, check=True,
        capture_output=True,
    )  # fmt: skip
    assert stack.run("preview").code != 0
    stack.environment["PULUMI_CONFIG_PASSPHRASE"] = _OTHER
    stack.up("--expect-no-changes")
    assert orders(stack) == told
    assert former not in stack.files()


@pytest.mark.parametrize("name", ["rollout", "h2/enrol", "survey"])
def test_what_is_deleted_from_the_state_comes_again_and_no_key_changes(stack: Stack, name: str) -> None:
    """A rollout that the state forgot is proven once more."""
    keys = kernels(stack)
    stack.must("state", "delete", stack.resources()[f"testwg/{name}"]["urn"], "--yes", "--target-dependents", "--force")
    stack.up()
    assert kernels(stack) == keys == stack.public_keys()
    assert stack.changed() == {}


def test_a_key_that_is_deleted_from_the_state_is_replaced_on_its_host_alone(stack: Stack) -> None:
    """With all that depends on it; hosts that were known to it go on with theirs."""
    keys = kernels(stack)
    urn = stack.resources()["testwg/h2/key"]["urn"]
    stack.must("state", "delete", urn, "--yes", "--target-dependents", "--force")
    stack.up()
    assert {name for name, key in kernels(stack).items() if key != keys[name]} == {"h2"}
    assert kernels(stack) == stack.public_keys()
    assert all("wipe" not in host.orders for host in stack.hosts.by_name.values())
    assert stack.changed() == {}


def pause(stack: Stack, order: str) -> "subprocess.Popen[str]":
    """Start to rotate every key, and return the run once h2 has been given `order`, which it does not answer."""
    rotate(stack)
    host = stack.hosts["h2"]
    host.hang_at = order
    seen = host.orders.count(order)
    process = stack.start("up", "--yes", "--skip-preview")
    wait_until(lambda: host.orders.count(order) > seen)
    return process


def test_a_second_operator_is_told_who_holds_the_lock(stack: Stack) -> None:
    """And changes nothing."""
    process = pause(stack, "stage")
    told = orders(stack)
    outcome = stack.run("up", "--yes", "--skip-preview")
    assert outcome.code != 0
    assert "the stack is currently locked by 1 lock(s)" in outcome.text
    assert f"(pid {process.pid})" in outcome.text
    assert orders(stack) == told
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    stack.hosts["h2"].hang_at = ""
    stack.end_orphans()
    stack.must("cancel", "--yes")
    stack.up()
    assert kernels(stack) == stack.public_keys()


def end(stack: Stack, process: "subprocess.Popen[str]") -> str:
    """Wait for a run that was interrupted, clear away what it left, and return what it printed."""
    output, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    stack.hosts["h2"].hang_at = ""
    stack.end_orphans()
    # Only what was cut off leaves a lock.
    stack.run("cancel", "--yes")
    return output + errors


def test_after_one_ctrl_c_the_rollout_that_has_begun_ends_whole(stack: Stack) -> None:
    """Pulumi begins nothing new; the rollout goes on to its end, which is all old or all new."""
    old = kernels(stack)
    rotate(stack)
    host = stack.hosts["h2"]
    seen = host.orders.count("stage")
    process = stack.start("up", "--yes", "--skip-preview")
    wait_until(lambda: host.orders.count("stage") > seen)
    os.killpg(process.pid, signal.SIGINT)
    assert "Traceback" not in end(stack, process)
    made = stack.public_keys()
    wait_until(lambda: kernels(stack) in (old, made))
    stack.up("--refresh")
    assert kernels(stack) == stack.public_keys() == made


@pytest.mark.parametrize("order", ["stage", "own", "facts"])
def test_ctrl_c_twice_leaves_all_old_and_the_next_run_goes_on(stack: Stack, order: str) -> None:
    """In each phase before the mesh is proven; no key is lost or made again."""
    old = kernels(stack)
    process = pause(stack, order)
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.5)
    assert "Traceback" not in end(stack, process)
    wait_until(lambda: kernels(stack) == old)
    made = stack.public_keys()
    stack.up("--refresh")
    assert kernels(stack) == stack.public_keys() == made
    assert set(made.values()).isdisjoint(old.values())


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
def test_a_run_without_checkpoints_that_ctrl_c_ends_writes_the_keys_that_it_made(stack: Stack, times: int) -> None:
    """As the page of large meshes says: only a kill leaves the state without them."""
    old = stack.public_keys()
    rotate(stack)
    host = stack.hosts["h2"]
    host.hang_at = "stage" if times > 1 else ""
    seen = host.orders.count("stage")
    process = stack.start_up("--no-checkpoints")
    wait_until(lambda: host.orders.count("stage") > seen)
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.5)
    assert "Traceback" not in end(stack, process)
    made = stack.public_keys()
    assert set(made.values()).isdisjoint(old.values())
    wait_until(lambda: kernels(stack) in (old, made))
    stack.up("--refresh")
    assert kernels(stack) == stack.public_keys() == made


def test_a_run_without_checkpoints_that_fails_writes_the_keys_that_it_made(stack: Stack) -> None:
    """And the next run brings these to the hosts."""
    old = kernels(stack)
    rotate(stack)
    stack.hosts["h2"].fail_at = "stage"
    outcome = stack.companion("up", "--no-checkpoints", "--", "--yes", "--skip-preview", "--color", "never")
    stack.hosts["h2"].fail_at = ""
    assert outcome.code != 0
    assert "nothing was changed" in outcome.text
    assert kernels(stack) == old
    made = stack.public_keys()
    assert set(made.values()).isdisjoint(old.values())
    stack.up()
    assert kernels(stack) == stack.public_keys() == made


def test_a_state_that_was_imported_holds_no_key_in_clear(stack: Stack) -> None:
    """Neither does its export."""
    exported = json.dumps(stack.export())
    secrets = {secret for host in stack.hosts.by_name.values() for secret in host.secrets}
    assert secrets
    assert not [secret for secret in secrets if secret in exported or secret in stack.files()]


def test_a_state_that_a_killed_engine_left_with_an_empty_file_is_read_again_as_the_message_says(stack: Stack) -> None:
    """The backend of files keeps attributes beside each file, and reads them first."""
    keys = stack.public_keys()
    for path in stack.state.rglob("test.json.attrs"):
        path.write_text("")
    assert "failed to load checkpoint: EOF" in stack.run("cancel", "--yes").text
    said = " ".join(stack.companion("status", "test").text.split())
    command = "find .pulumi/stacks -name '*.attrs' -empty -delete"
    assert said.endswith(f"failed to load checkpoint: EOF; in the backend's folder: {command}")
    subprocess.run(command, shell=True, cwd=stack.state, check=True)  # noqa: S602 - as a user does
    assert stack.public_keys() == keys


def test_a_state_that_is_compressed_is_the_same_state_and_can_be_had_back(make_stack: Maker) -> None:
    """As the page of large meshes tells of a first up: by a variable of Pulumi's, and a fifth of the size."""
    # One that has rotated no key yet: keys that were before are ciphertext, which takes as much space compressed.
    stack = make_stack(3)
    rotate(stack)
    stack.up()
    folder, file = stack.state / ".pulumi/stacks/mesh", stack.stack_file
    before = file.read_text()
    whole, keys = (folder / "test.json").stat().st_size, stack.public_keys()
    stack.environment["PULUMI_DIY_BACKEND_ZSTD"] = "true"
    file.write_text(before.replace("deadline: 10", "mtu: 1400"))
    stack.up()
    del stack.environment["PULUMI_DIY_BACKEND_ZSTD"]
    assert not (folder / "test.json").exists()
    assert (folder / "test.json.zst").stat().st_size < whole / 4
    assert stack.companion("status", "--no-ping").code == 0
    file.write_text(before)
    stack.up()
    assert stack.public_keys() == keys
    assert not (folder / "test.json.zst").exists()
