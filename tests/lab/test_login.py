"""The ways in which operators log in, with the real engine on booted hosts."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.stack import Stack, wait_until


@pytest.fixture
def stack(engine_stack: Stack) -> Stack:
    """Return a stack of the engine: its command plugin logs in beside the program."""
    return engine_stack


@contextmanager
def agent(socket: Path, *keys: Path) -> Iterator[None]:
    """Run an ssh-agent at `socket` that holds `keys`, in their order."""
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        wait_until(socket.exists)
        for key in keys:
            subprocess.run(["ssh-add", "-q", str(key)], env={**os.environ, "SSH_AUTH_SOCK": str(socket)}, check=True)
        yield
    finally:
        process.terminate()
        process.wait()


def test_an_agent_alone_takes_a_mesh_through_its_whole_life(stack: Stack, tmp_path: Path) -> None:
    """Scan, preview, up, refresh, status and destroy, with nothing in the environment but SSH_AUTH_SOCK."""
    socket = tmp_path / "agent.socket"
    del stack.environment["MESH_SSH_KEY_FILE"]
    stack.environment["SSH_AUTH_SOCK"] = str(socket)
    with agent(socket, stack.lab.ssh_key):
        stack.write({"testwg": {"hosts": ["bernard", "edgeworth"], "port": 51825}})
        stack.companion("scan", str(stack.file), "--yes")
        stack.run("preview")
        stack.up()
        assert stack.silent("testwg") == []
        stack.run("preview", "--refresh", "--expect-no-changes")
        stack.companion("status")
        stack.destroy()
    assert str(socket) not in "".join(
        path.read_text(errors="replace") for path in (stack.folder / "state").rglob("*") if path.is_file()
    )
