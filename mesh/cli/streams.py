"""Standard streams: a process may be started without them, and what is written to one may find no room."""

import os
import sys
from contextlib import suppress

__all__ = ["finish_output", "open_missing_streams"]


def open_missing_streams() -> None:
    """Open the streams that are closed: there is nothing to read, errors go nowhere, and to write output fails."""
    # Else a file that is opened later takes the place of the stream, and our output.
    for number, (name, way) in enumerate((("stdin", os.O_RDONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY))):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, way)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def finish_output() -> None:
    """Write what is still to be written.

    Raises:
        OSError: If that cannot be done; the rest is then lost, and nothing tries again.
    """
    try:
        sys.stdout.flush()
    except OSError:
        # At its end, Python would try again and print a trace.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise
