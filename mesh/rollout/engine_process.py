"""Whether the engine that asked a provider for something still runs.

A provider's process outlives an engine that was killed, and its own parent is a shell. What it knows of the engine is
the address at which the engine serves it: the last argument of `python -m pulumi.dynamic`.
"""

import socket
import sys
from collections.abc import Sequence

__all__ = ["engine_is_alive"]

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
