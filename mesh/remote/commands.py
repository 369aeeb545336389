"""Run a command on a host and read what it answers: one rule, for whatever is asked of any host.

The login shell sees one constant text that every shell takes for the same, be it bash, fish, tcsh or zsh. It starts
`sh`, which says a marker of this connection alone: what came before is the start-up files' and is passed over. The
command itself travels on standard input, so that no shell but `sh` ever reads it. An answer is bounded in bytes, lines,
the length of a line and the total, and its bytes are decoded with replacement. `replies` reads what the lines mean.
"""

import asyncio
import re
import secrets
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncssh

from mesh.config.connection import Connection
from mesh.errors import HostError, UnreachableHostError
from mesh.remote.ssh import COMMAND_SECONDS, CONNECT_SECONDS, connected
from mesh.remote.ssh_errors import explain_words

__all__ = ["Stream", "ask", "run_command", "start", "try_command"]

# Of a mesh of 5000 hosts, one says a line of 200 bytes for each peer.
REPLY_BYTES = 4 << 20
REPLY_LINES = 50_000
LINE_BYTES = 256 << 10
SESSION_BYTES = 64 << 20
_NOISE_BYTES = 1 << 10
_PIECE = 1 << 18
_NOISE_SECONDS = 2
_TERMINAL_SECONDS = 10

_NO_UTF8 = (
    "its start-up files (.bashrc and the like) print bytes that are not UTF-8, which Pulumi cannot keep; let them "
    "print nothing where there is no terminal"
)

# Without `!`, backslash or newline, which csh and fish read in quotes too.
_LOGIN = "sh -c 'echo; echo {marker}; IFS= read -r line && eval \"$line\"'"


class Stream:
    """A command that runs on a host: what it is sent and what it says, as far as it has a right to."""

    def __init__(self, host: str, process: asyncssh.SSHClientProcess[bytes], marker: str) -> None:
        """Read from a process that will say `marker`, and that alone in a line, when it begins and with its status."""
        self.host = host
        self.marker = marker
        # What start-up files said before the first marker.
        self.greeting = ""
        self._process = process
        self._unread = bytearray()
        self._total = 0

    def write(self, text: str | bytes, *, ends: bool = False) -> None:
        """Send `text`, the last one if it `ends`; to a host that has hung up it is lost, and reading tells why."""
        with suppress(BrokenPipeError):
            self._process.stdin.write(text.encode() if isinstance(text, str) else text)
            if ends:
                self._process.stdin.write_eof()

    def forget(self) -> None:
        """Drop what was said before the next order."""
        self._unread.clear()

    async def read_to(self, end: re.Pattern[bytes], what: str) -> tuple[str, re.Match[bytes] | None]:
        """Return what is said before a line that `end` matches, and the match; None if the host hangs up instead.

        Raises:
            HostError: If the host says more than one answer may be; it is cut off. `what` names the answer.
        """
        searched = lines = 0
        while not (found := end.search(self._unread, searched)):
            # A line that is not whole yet is searched again with what follows.
            searched = self._unread.rfind(b"\n") + 1
            is_long = len(self._unread) > REPLY_BYTES or len(self._unread) - searched > LINE_BYTES
            if is_long or lines > REPLY_LINES or self._total > SESSION_BYTES:
                raise self.cut_off(what)
            piece = await self._process.stdout.read(_PIECE)
            if not piece:
                return self._take(len(self._unread))[0], None
            self._unread += piece
            self._total += len(piece)
            lines += piece.count(b"\n")
        size = found.start()
        said, last = self._take(size, found.end() - size)
        if any(len(line) > LINE_BYTES for line in said.split("\n")):
            raise self.cut_off(what)
        return said, end.search(last)

    def _take(self, size: int, more: int = 0) -> tuple[str, bytes]:
        said, last = bytes(self._unread[:size]), bytes(self._unread[size : size + more])
        del self._unread[: size + more]
        return said.decode("utf-8", "replace").replace("\r\n", "\n"), last

    def cut_off(self, what: str) -> HostError:
        """Close the command, and return the failure that this is."""
        self._process.close()
        self._unread.clear()
        return HostError(self.host, f"says without end where {what} is due, and was cut off; check what runs there")

    async def noise(self) -> str:
        """Return the last line that the command printed as an error, empty for none."""
        return _last_line((await self.errors())[-_NOISE_BYTES:].decode("utf-8", "replace"))

    async def errors(self) -> bytes:
        """Return the end of what was printed as errors, as far as it comes soon."""
        said = b""
        try:
            async with asyncio.timeout(_NOISE_SECONDS):
                while piece := await self._process.stderr.read(_PIECE):
                    said = (said + piece)[-_PIECE:]
        except (TimeoutError, OSError, asyncssh.Error):
            pass
        return said


def _last_line(text: str) -> str:
    return next((line.strip()[:300] for line in reversed(text.split("\n")) if line.strip()), "")


def _marked(marker: str, more: str = "") -> re.Pattern[bytes]:
    return re.compile(rb"^%s%s\r?\n" % (marker.encode(), more.encode()), re.MULTILINE)


@asynccontextmanager
async def _within(host: str, seconds: float, fault: str, remedy: str) -> AsyncIterator[None]:
    # A host that lets us in and then says nothing is not unreachable.
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise HostError(host, f"{fault} within {seconds:.0f} seconds; {remedy}") from None


async def start(host: str, connection: asyncssh.SSHClientConnection, script: str, *, sudo: bool) -> Stream:
    """Begin `script`, one line for `sh`, and return its stream; with `sudo`, it is root's.

    At its end stands the line `MARKER STATUS`.

    Raises:
        HostError: If the host runs no commands, or not as root.
        OSError, TimeoutError, asyncssh.Error: As they come; `ssh.explain` words them.
    """
    if "\n" in script:
        raise ValueError("a script for a host is one line")
    marker = secrets.token_hex(16)
    async with _within(host, CONNECT_SECONDS, "logs in, but runs no command", "see what its login shell waits for"):
        process: asyncssh.SSHClientProcess[Any] = await connection.create_process(
            _LOGIN.format(marker=marker), encoding=None
        )
        stream = Stream(host, process, marker)
        said, begun = await stream.read_to(_marked(marker), "a login")
    stream.greeting = said
    if not begun:
        noise = await stream.noise()
        if known := explain_words(f"{said}\n{noise}"):
            raise HostError(host, known)
        words = _last_line(said) or noise or "without a word"
        raise HostError(
            host, f"logs in, but runs no command ({words}); give ssh.user a login shell and no forced command"
        )
    inner = shlex.quote(f"echo; echo {marker}; {script}")
    stream.write(f"{'sudo -n ' if sudo else ''}sh -c {inner}; status=$?; echo; echo {marker} $status\n")
    async with _within(host, COMMAND_SECONDS, "begins no command", f"try {'sudo -n true' if sudo else 'sh'} there"):
        _, begun = await stream.read_to(_marked(marker, r"(?: (\d{1,3}))?"), "a command")
    if begun and begun[1] is None:
        return stream
    words = await stream.noise()
    if not (begun and sudo):
        raise UnreachableHostError(host, f"ended the session ({words or 'without a word'}); run it again")
    raise HostError(host, await _explain_sudo(connection, int(begun[1]), words))


async def _explain_sudo(connection: asyncssh.SSHClientConnection, status: int, words: str) -> str:
    """Return why `sudo -n sh` ran nothing, told by statuses, since its words are in the language of the host."""
    said = f" ({words})" if words else ""
    if status == 127:
        return f"has no sudo{said}; install it, or use root as ssh.user"
    if await _works_on_a_terminal(connection):
        return f"sudo works on terminals only{said}; take requiretty for ssh.user out of its sudoers, or use root"
    return f"sudo wants a password or refuses{said}; let ssh.user run sudo without a password, or use root"


async def _works_on_a_terminal(connection: asyncssh.SSHClientConnection) -> bool:
    try:
        async with asyncio.timeout(_TERMINAL_SECONDS):
            process: asyncssh.SSHClientProcess[Any] = await connection.create_process(
                "sudo -n true", term_type="dumb", stdin=asyncssh.DEVNULL, stdout=asyncssh.DEVNULL,
                stderr=asyncssh.DEVNULL, encoding=None,
            )  # fmt: skip
            await process.wait_closed()
            return process.exit_status == 0
    except (OSError, TimeoutError, asyncssh.Error):
        return False


async def ask(
    host: str,
    connection: asyncssh.SSHClientConnection,
    script: str,
    *,
    sudo: bool = False,
    payload: str = "",
    what: str = "a command",
) -> str:
    """Run `script`, one line for `sh`, with `payload` as its input, and return what it printed, exactly.

    Raises:
        HostError: If it fails, says too much or is cut short; `what` names what was asked for.
        OSError, TimeoutError, asyncssh.Error: As they come; `ssh.explain` words them.
    """
    stream = await start(host, connection, script, sudo=sudo)
    stream.write(payload, ends=True)
    async with _within(host, COMMAND_SECONDS, f"did not tell {what}", "try again"):
        said, ended = await stream.read_to(_marked(stream.marker, r" (\d{1,3})"), what)
    if not ended:
        words = await stream.noise()
        raise HostError(host, f"broke off its answer about {what} ({words or 'without a word'}); try again")
    if int(ended[1]):
        words = await stream.noise()
        raise HostError(
            host, f"could not tell {what} ({words or f'exit status {int(ended[1])}'}); run it again when that is mended"
        )
    # The line feed before the marker is ours.
    return said.removesuffix("\n")


async def run_command(
    host: str, connection: Connection, script: str, payload: str = "", *, sudo: bool = False, what: str = "a command"
) -> str:
    """Log in to `host` and do as `ask` does.

    Raises:
        UnreachableHostError: If it, or its bastion, does not let us in.
        HostError: If the command fails; with the last line that it printed as an error.
    """
    async with connected(host, connection) as opened:
        return await ask(host, opened, script, sudo=sudo, payload=payload, what=what)


async def try_command(host: str, connection: Connection, *, sudo: bool) -> None:
    """Log in to `host` and run nothing, to learn why a command of the command plugin would fail there.

    Raises:
        UnreachableHostError: If it, or its bastion, does not let us in.
        HostError: If it runs no command, or not as root, or ends none, or prints around it what a state cannot keep.
    """
    async with connected(host, connection) as opened:
        stream = await start(host, opened, "true", sudo=sudo)
        stream.write("", ends=True)
        async with _within(host, COMMAND_SECONDS, "ends no command", "see what sudo or its login shell waits for"):
            said, _ = await stream.read_to(_marked(stream.marker, r" (\d{1,3})"), "a command")
        said += stream.greeting + (await stream.errors()).decode("utf-8", "replace")
    if "\ufffd" in said:
        raise HostError(host, _NO_UTF8)
