"""Commands inside a virtual machine by qemu's guest agent, which needs no network there, no sshd and no login."""

import base64
import json
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["Agent", "AgentSilentError", "connect_in"]

_LONGEST = 0.5


class AgentSilentError(RuntimeError):
    """No agent answers: the guest boots, is off, or has too much to do."""


class _RefusedError(RuntimeError):
    """The agent answers that it cannot."""


class Agent:
    """The agent of one guest; `folder` is where qemu has its end of the line."""

    def __init__(self, folder: Path) -> None:
        """Describe the line; nothing is sent."""
        self._folder = folder
        # The line has room for one.
        self._lock = threading.Lock()

    def ask(self, command: str, seconds: float = 10, **arguments: Any) -> Any:
        """Return what the agent answers to one of its commands.

        Raises:
            AgentSilentError: If it has not answered after `seconds`.
        """
        with self._lock, socket.socket(socket.AF_UNIX) as line:
            line.settimeout(seconds)
            try:
                connect_in(line, self._folder, "agent.sock")
                number = time.monotonic_ns() % 2**31
                # What an earlier question left unread ends with the mark of this one.
                line.sendall(b"\xff" + _text("guest-sync-delimited", {"id": number}))
                answers = line.makefile("rb")
                while json.loads(answers.readline().rpartition(b"\xff")[2] or "{}").get("return") != number:
                    pass
                line.sendall(_text(command, arguments))
                answer = json.loads(answers.readline() or "{}")
            except (OSError, ValueError) as error:
                raise AgentSilentError(f"no answer to {command}: {error}") from error
        if "return" not in answer:
            raise _RefusedError(f"{command}: {answer}")
        return answer["return"]

    def wait(self, seconds: float) -> None:
        """Wait until it answers.

        Raises:
            AgentSilentError: If it has not after `seconds`.
        """
        until = time.monotonic() + seconds
        while True:
            try:
                self.ask("guest-ping", 2)
                return
            except AgentSilentError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)

    def run(self, command: str, data: bytes = b"", seconds: float = 600) -> tuple[int, str, str]:
        """Run a shell command as root; return its exit code, output and errors. The code is -1 if the guest went down.

        Raises:
            AgentSilentError: If it is not over after `seconds`.
        """
        given = {"input-data": base64.b64encode(data).decode()} if data else {}
        process = self.ask(
            "guest-exec", path="/bin/sh", arg=["-c", command], **given, **{"capture-output": True}, seconds=60
        )
        until = time.monotonic() + seconds
        pause = 0.05
        while time.monotonic() < until:
            # A silent agent is one whose guest reboots, and then knows the process no more.
            with suppress(AgentSilentError):
                try:
                    state = self.ask("guest-exec-status", **process)
                except _RefusedError:
                    return -1, "", "the guest went down meanwhile"
                if state["exited"]:
                    return state.get("exitcode", -1), _clear(state, "out-data"), _clear(state, "err-data")
            time.sleep(pause)
            pause = min(_LONGEST, pause * 1.5)
        raise AgentSilentError(f"not over after {seconds:.0f} seconds: {command}")


def connect_in(line: socket.SocketType, folder: Path, name: str) -> None:
    """Connect to the socket of this name in a folder, whose own path may be longer than the 107 bytes of a socket's."""
    opened = os.open(folder, os.O_PATH)
    try:
        line.connect(f"/proc/self/fd/{opened}/{name}")
    finally:
        os.close(opened)


def _text(command: str, arguments: dict[str, Any]) -> bytes:
    return json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"


def _clear(state: dict[str, Any], name: str) -> str:
    return base64.b64decode(state.get(name, "")).decode(errors="replace")
