"""What SSH servers of the tests need to stand for a host whose login shell runs what it is told."""

import re
import shlex
from dataclasses import dataclass
from typing import Any

import asyncssh

__all__ = ["Asked", "hear"]


@dataclass(frozen=True)
class Asked:
    """A script that a host is to run for `sh`, as root or not, and the marker before and after what it prints.

    An earlier version of the program asks without a marker, and reads what is printed as it comes.
    """

    script: str
    sudo: bool
    marker: str
    process: asyncssh.SSHServerProcess[Any]

    def write(self, said: bytes) -> None:
        """Print, in the form in which the server writes."""
        _write(self.process, said)

    def end(self, said: bytes = b"", status: int = 0) -> None:
        """Print the rest and end with an exit status."""
        self.write(said + (f"\n{self.marker} {status}\n".encode() if self.marker else b""))
        self.process.exit(0 if self.marker else status)


def _write(process: asyncssh.SSHServerProcess[Any], said: bytes) -> None:
    process.stdout.write(said if process.channel.get_encoding()[0] is None else said.decode())


async def hear(process: asyncssh.SSHServerProcess[Any], noise: bytes = b"") -> Asked:
    """Begin as a login shell that prints `noise` first, and return what is asked of it."""
    command = process.command or ""
    marker = re.fullmatch(r"sh -c 'echo; echo ([0-9a-f]{32}); .*'", command)
    if not marker:
        return Asked(command, command.startswith("sudo"), "", process)
    _write(process, noise + f"\n{marker[1]}\n".encode())
    line = await process.stdin.readline()
    words = shlex.split(line.decode() if isinstance(line, bytes) else line)
    script = words[words.index("-c") + 1].removesuffix(";").removeprefix(f"echo; echo {marker[1]}; ")
    asked = Asked(script, words[0] == "sudo", marker[1], process)
    asked.write(f"\n{marker[1]}\n".encode())
    return asked
