"""Read the documents of the project: pages, code blocks, commands, headings."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

__all__ = ["FENCE", "PAGES", "ROOT", "anchors", "blocks", "commands", "label", "lines", "read", "shell_of"]

ROOT = Path(__file__).parents[1]
_FOUND = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "tests/lab/README.md"]
PAGES = sorted(page for page in _FOUND if "_build" not in page.parts)
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def label(path: Path) -> str:
    """Return the path from the root."""
    return path.relative_to(ROOT).as_posix()


@cache
def read(page: Path) -> str:
    """Return the text of a page."""
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """Return the code blocks of a page in one of the languages, without their indentation."""
    return _blocks(read(page), languages)


def _blocks(text: str, languages: tuple[str, ...]) -> Iterator[str]:
    for indent, language, block in FENCE.findall(text):
        if language in languages:
            yield re.sub(rf"^{indent}", "", block, flags=re.MULTILINE)


def shell_of(page: str, heading: str) -> str:
    """Return what the shell blocks below a heading have a reader do, up to the next heading of its rank."""
    text = read(ROOT / page)
    marks = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert marks is not None, (page, heading)
    section = re.split(rf"^#{{1,{len(marks[1])}}} ", text[marks.end() :], flags=re.MULTILINE)[0]
    found = "".join(_blocks(section, ("sh",)))
    assert found, (page, heading)
    return found


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", read(page)), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def lines(page: Path) -> Iterator[str]:
    """Yield every line of a page that somebody may give to a shell: of blocks, and what is quoted in a sentence."""
    for text in blocks(page, "sh"):
        yield from (line.split("#")[0] for line in text.replace("\\\n", " ").splitlines())
    for text in blocks(page, "console"):
        yield from (line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ "))
    yield from (" ".join(code.split()) for code in re.findall(r"`([^`]+)`", FENCE.sub("", read(page))))


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield every command of every page, as its page and its words: of shell blocks, and what is quoted in a line."""
    for page in PAGES:
        for part in (part for line in lines(page) for part in re.split(r" \| | && |; ", line)):
            try:
                words = shlex.split(part)
            except ValueError:
                continue
            while words and re.fullmatch(r"[A-Z_]+=\S*|sudo", words[0]):
                del words[0]
            if words:
                yield label(page), words
