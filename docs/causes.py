"""The troubleshooting pages as data: messages in a block, and below it the cause that they have in common."""

import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Entry", "Page", "read_pages"]

PAGES = Path(__file__).parent / "troubleshooting"


@dataclass
class Entry:
    """Messages that have one cause, and that cause, as Markdown."""

    messages: list[str]
    cause: str = ""

    def text(self) -> str:
        """Return the entry as it stands on its page."""
        lines = [
            textwrap.fill(m, 116, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
            for m in self.messages
        ]
        return "```text\n" + "\n".join(lines) + "\n```\n\n" + self.cause


@dataclass
class Page:
    """A troubleshooting page: texts, and entries between them, in their order."""

    path: Path
    parts: list[str | Entry] = field(default_factory=list)

    @property
    def entries(self) -> list[Entry]:
        """The entries alone."""
        return [part for part in self.parts if isinstance(part, Entry)]

    def text(self) -> str:
        """Return the page."""
        return "\n\n".join(part.text() if isinstance(part, Entry) else part for part in self.parts).rstrip() + "\n"


def _read_page(path: Path) -> Page:
    page = Page(path)
    for number, piece in enumerate(
        re.split(r"^```text\n(.*?)^```\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    ):
        if number % 2:
            page.parts.append(Entry([" ".join(m.split()) for m in re.split(r"\n(?! )", piece.strip())]))
        elif number == 0:
            page.parts.append(piece.strip())
        else:
            # What follows up to the next heading is the cause.
            cause, heading, rest = re.split(r"(^#)", f"{piece.strip()}\n#", maxsplit=1, flags=re.MULTILINE)
            page.entries[-1].cause = cause.strip()
            if rest := rest.removesuffix("\n#").strip():
                page.parts.append(heading + rest)
    return page


def read_pages() -> dict[str, Page]:
    """Return the pages by name."""
    return {path.stem: _read_page(path) for path in sorted(PAGES.glob("*.md")) if path.stem != "README"}
