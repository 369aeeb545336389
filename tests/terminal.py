"""A terminal for one command: keys reach it as from a keyboard, and it can be made wider and narrower as a window."""

import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

__all__ = ["Terminal"]

_LINES = 200
_LOG_IN = "import os, sys; os.login_tty(int(sys.argv[1])); os.execvp(sys.argv[2], sys.argv[2:])"
# What a test may have been given, and a terminal says itself.
_OF_TERMINALS = {"COLUMNS", "LINES", "TERM", "NO_COLOR", "FORCE_COLOR"}


class Terminal:
    """A command whose controlling terminal this is, from its start to its end; `said` is all that it has shown."""

    def __init__(self, words: Sequence[str], folder: Path, environment: Mapping[str, str], columns: int = 120) -> None:
        """Start it."""
        self._screen, own = pty.openpty()
        self.resize(columns)
        self.said = b""
        kept = {name: value for name, value in environment.items() if name not in _OF_TERMINALS}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LOG_IN, str(own), *words],
            cwd=folder, env={**kept, "TERM": "xterm-256color"}, pass_fds=(own,),
        )  # fmt: skip
        os.close(own)

    def __enter__(self) -> "Terminal":
        """Use it."""
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """End what still runs."""
        self._process.kill()
        self._process.wait()
        os.close(self._screen)

    @property
    def settings(self) -> list[object]:
        """How it treats keys and lines, as `stty` shows it."""
        return termios.tcgetattr(self._screen)

    def resize(self, columns: int) -> None:
        """Give it another width, of which the kernel tells the command."""
        termios.tcsetwinsize(self._screen, (_LINES, columns))

    def press(self, keys: bytes) -> None:
        """Send keys."""
        os.write(self._screen, keys)

    def wait_until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        """Read what is shown until the condition holds; fail if it does not in time."""
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, self.said.decode(errors="replace")
            assert self._read(0.1), f"the command has ended: {self.said.decode(errors='replace')}"

    def end(self, seconds: float = 30) -> int:
        """Read all the rest, and return the exit status; fail if the command goes on for longer."""
        until = time.monotonic() + seconds
        while self._read(0.1):
            assert time.monotonic() < until, self.said.decode(errors="replace")
        return self._process.wait(seconds)

    def _read(self, seconds: float) -> bool:
        """Read what comes in time, if anything; return whether more may come."""
        if select.select([self._screen], [], [], seconds)[0]:
            # Once nobody has it open any more, Linux has this fail.
            with suppress(OSError):
                self.said += os.read(self._screen, 1 << 16)
                return True
            return False
        return True
