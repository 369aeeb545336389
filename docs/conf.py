"""Sphinx builds the pages: make docs. Why Sphinx: decisions/0065."""

import os
import re
from pathlib import Path

from sphinx.application import Sphinx

project = "mesh"
author = "The mesh authors"
project_copyright = author
html_title = "mesh"

extensions = ["myst_parser"]
exclude_patterns = ["_build", "*.lock"]
# Anchors as in the repository's own view of the pages, so that a link works in both.
myst_heading_anchors = 3
nitpicky = True
html_theme = "furo"
html_show_sourcelink = False
html_copy_source = False
linkcheck_timeout = 20
linkcheck_anchors = False

_DOCS = Path(__file__).parent
# Files outside of docs/ that are pages of the site too. In docs/ stands a page that links to each, for whoever reads
# the repository; the site has the file's text there.
_PAGES = {
    "ARCHITECTURE.md": "architecture",
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "README.md": "index",
    "SECURITY.md": "reporting",
    "tests/lab/README.md": "lab",
}
_LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)((?:#[\w-]+)?\))")


def _take_file(_: Sphinx, page: str, source: list[str]) -> None:
    """Put the text of a file outside of docs/ in the place of its page, and let links to such files lead to pages."""
    origin = _DOCS / f"{page}.md"
    for file, name in _PAGES.items():
        if page == name and name != "index":
            origin = _DOCS.parent / file
            source[0] = origin.read_text(encoding="utf-8")

    def relink(link: re.Match[str]) -> str:
        target = (origin.parent / link[1]).resolve()
        name = _PAGES.get(target.relative_to(_DOCS.parent).as_posix())
        target = _DOCS / f"{name}.md" if name else target
        return f"]({os.path.relpath(target, (_DOCS / page).parent)}{link[2]}"

    source[0] = _LINK.sub(relink, source[0])


def setup(app: Sphinx) -> None:
    """Take in what stands outside of docs/."""
    app.connect("source-read", _take_file)
