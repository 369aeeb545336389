"""What the commands print on a terminal: texts as they are, never as markup or as control characters.

All that a person sees of `python -m mesh` passes here. JSON documents and files do not, since they hold values exactly.
"""

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from mesh.errors import visible

__all__ = ["Grid", "Screen"]


class Screen(Console):
    """A console that shows every text literally: markup, emoji codes and control characters included."""

    def __init__(self, *, stderr: bool = False, **options: Any) -> None:
        """Print on standard output, or on standard error; what is in between is for a log, which has no width."""
        # A fingerprint has to be comparable in a log too.
        width = None if stderr or (sys.stdout and sys.stdout.isatty()) else 140
        super().__init__(
            **{"stderr": stderr, "width": width, "highlight": False, "markup": False, "emoji": False, **options}
        )

    def render_str(self, text: str, **options: Any) -> Text:
        """Return `text` as it is shown, line by line, so that its width is known before a table is laid out."""
        return super().render_str(_shown(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of whatever is printed; those of our own styles and lines pass as they are."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(_shown(segment.text), segment.style)


class Grid(Table):
    """A table that folds what is too long for a cell: cut off, two hosts or fingerprints may look alike."""

    def add_column(self, *header: Any, **options: Any) -> None:
        """Add a column."""
        super().add_column(*header, **{"overflow": "fold", **options})


def _shown(text: str) -> str:
    return "\n".join(map(visible, text.split("\n")))
