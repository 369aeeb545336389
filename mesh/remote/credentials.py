"""Find what SSH authenticates with: the key file that the environment names, else the operator's agent.

Credentials are never inputs of resources, so the state does not depend on who runs `pulumi up`. Connecting belongs
to `fanout` and, for commands, to the engine's command plugin.
"""

import fcntl
import os
import subprocess
import tempfile
from pathlib import Path
from typing import IO

from mesh.errors import MeshError
from mesh.progress import announce

__all__ = ["AGENT_LINK", "KEY_FILE_VARIABLE", "agent_for_commands", "agent_path", "key_file"]

KEY_FILE_VARIABLE = "MESH_SSH_KEY_FILE"

# The command plugin authenticates by an agent's socket whose path is an input, hence in the state. A constant link
# in the project's folder, where the engine starts the plugin, keeps the operator's own path out of it.
AGENT_LINK = ".mesh/agent"


def key_file() -> str | None:
    """Return the private key file that the environment names, or None."""
    name = os.environ.get(KEY_FILE_VARIABLE)
    if name and not Path(name).expanduser().is_file():
        raise MeshError(f"{KEY_FILE_VARIABLE}: {name!r} is not a file; name an SSH private key, or use ssh-agent")
    return str(Path(name).expanduser()) if name else None


def agent_path() -> str | None:
    """Return the socket of the operator's ssh-agent, or None."""
    return os.environ.get("SSH_AUTH_SOCK") or None


def agent_for_commands() -> None:
    """Point `AGENT_LINK` at an agent that lives as long as this process, starting one for the key file if need be.

    Raises:
        MeshError: If there is neither an agent nor a key file, or the key file cannot be loaded.
    """
    link = Path(AGENT_LINK)
    link.parent.mkdir(mode=0o700, exist_ok=True)
    key = key_file()
    if key:
        _wait_for_turn(link.with_name("agent.lock"))
        socket = _start_agent(key)
    else:
        socket = _operators_agent()
    fresh = link.with_name(f"agent.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(socket)
    fresh.replace(link)


def _wait_for_turn(lock: Path) -> None:
    # The agent of a key file ends with its run, and another run of this checkout may not be using it then.
    held = lock.open("w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        announce("SSH", ["another pulumi up in this checkout uses its key file; waiting for it to end"])
        fcntl.flock(held, fcntl.LOCK_EX)
    _HELD.append(held)


def _operators_agent() -> str:
    path = agent_path()
    if path is None:
        raise MeshError(
            "SSH: no ssh-agent and no key file; start one with `eval $(ssh-agent) && ssh-add`, "
            f"or set {KEY_FILE_VARIABLE} to a private key file"
        )
    return path


def _start_agent(key: str) -> str:
    socket = str(Path(tempfile.mkdtemp(prefix="mesh-agent-")) / "socket")
    # ssh-agent ends with the command it was given, and that command ends when our end of its input closes: no agent
    # is left behind, however this process ends.
    script = (
        'ssh-add -q "$0" </dev/null && echo ready || echo failed; cat >/dev/null; rm -rf "$(dirname "$SSH_AUTH_SOCK")"'
    )
    agent = subprocess.Popen(
        ["ssh-agent", "-a", socket, "sh", "-c", script, key],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "SSH_ASKPASS_REQUIRE": "never"},
        # Without a terminal ssh-add asks for no passphrase, which nobody would see below the engine's own display.
        start_new_session=True,
    )
    if agent.stdout is None or agent.stdout.readline().strip() != "ready":
        agent.communicate()
        raise MeshError(
            f"{KEY_FILE_VARIABLE}: {key!r} could not be loaded; check that it is a private key without a passphrase, "
            "or load it into ssh-agent"
        )
    _AGENTS.append(agent)
    return socket


# Kept so that the agent's input and the lock stay open as long as this process.
_AGENTS: list[subprocess.Popen[str]] = []
_HELD: list[IO[str]] = []
