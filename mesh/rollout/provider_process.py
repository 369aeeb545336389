"""The process in which the engine runs the providers: what about it a provider has to know.

It outlives an engine that was killed, and its parent is a shell; so it asks the address at which the engine serves it,
the last argument of `python -m pulumi.dynamic`. It serves one run, and ends with it. What a provider raises is shown as
the text of `traceback.format_exc`.
"""

import json
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import Any

from mesh.errors import MeshError

__all__ = ["engine_is_alive", "errors_are_one_line", "import_ahead", "read_section"]

_SECONDS = 5


def engine_is_alive(arguments: Sequence[str] | None = None) -> bool:
    """Tell whether anybody listens at the engine's address; True where the arguments name none, as in a test."""
    host, _, port = (arguments or sys.argv)[-1].rpartition(":")
    if not port.isdigit():
        return True
    try:
        socket.create_connection((host or "127.0.0.1", int(port)), timeout=_SECONDS).close()
    except OSError:
        return False
    return True


@contextmanager
def errors_are_one_line() -> Iterator[None]:
    """Let the engine show a MeshError without a traceback.

    Only this limit leaves the frames out, and it holds for the process. The run fails with the error, and the process
    ends with the run, so that no other traceback is cut.
    """
    try:
        yield
    except MeshError as error:
        sys.tracebacklimit = 0
        # What it came of would be shown before it.
        raise error from None


def read_section(text: str | None) -> dict[str, Any] | None:
    """Return what the stack file says in a section; None for what is no mapping, since the program tells of that."""
    try:
        section = json.loads(text or "null")
    except ValueError:
        return None
    return section if isinstance(section, dict) else None


def import_ahead(module: str = "mesh.rollout.apply") -> Thread:
    """Import what reaches hosts while other resources work, since that takes a quarter of a second; return its thread.

    Whoever imports the module meanwhile waits for it, as always.
    """
    thread = Thread(target=__import__, args=(module,), daemon=True, name=f"import {module}")
    thread.start()
    return thread
