"""Print lines for the person at `pulumi up`; the engine shows them at once, on the resource's line.

Never a secret: callers have only public data and host names.
"""

import sys
from collections.abc import Iterable
from contextlib import suppress

from mesh.errors import visible

__all__ = ["announce"]


def announce(title: str, lines: Iterable[str]) -> None:
    """Print `lines`, under a title if there is one and any line; control characters are shown as text."""
    text = [visible(line) for line in lines]
    if title and text:
        text = [f"{title}:", *(f"  {line}" for line in text)]
    # Nobody reads this after the engine was killed, and the hosts still have to be told to roll back.
    with suppress(OSError):
        for line in text:
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
