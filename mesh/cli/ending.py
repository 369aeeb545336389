"""How a command ends: in a word if that is by Ctrl-C, and at once, whatever a thread of it still waits for."""

import os
import sys
import threading
from contextlib import suppress
from typing import NoReturn

from rich.console import Console

__all__ = ["end_command"]

# What typer makes of Ctrl-C, without a word.
_INTERRUPTED = 130


def end_command(end: SystemExit | KeyboardInterrupt, errors: Console) -> NoReturn:
    """End this process as a command wants it to, or as Ctrl-C does beside the command itself, where typer sees none.

    Raises:
        SystemExit: That of the command.
    """
    if isinstance(end, KeyboardInterrupt):
        end = SystemExit(_INTERRUPTED)
    if end.code == _INTERRUPTED:
        with suppress(OSError):
            # A terminal has shown the key, and goes on behind it.
            errors.print("\ninterrupted" if errors.is_terminal else "interrupted")
    if isinstance(end.code, int) and _has_left_threads():
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(end.code)
    raise end from None


def _has_left_threads() -> bool:
    """Tell whether Python would wait for a thread, such as one that looks up a name of which no resolver tells."""
    return any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())
