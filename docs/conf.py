"""Sphinx builds the pages: make docs. Why Sphinx: decisions/0063."""

import re

from sphinx.application import Sphinx

project = "mesh"
author = "The mesh authors"
project_copyright = author
html_title = "mesh"

extensions = ["myst_parser"]
exclude_patterns = ["_build", "*.lock"]
myst_enable_extensions = ["colon_fence"]
# Anchors as in the repository's own view of the pages, so that a link works in both.
myst_heading_anchors = 3
nitpicky = True
# The picture and the pages have no comments that a reader should see, and no source link is needed beside a repository.
html_theme = "furo"
html_show_sourcelink = False
html_copy_source = False
linkcheck_timeout = 20
linkcheck_anchors = False

# Files of the project's folder that are pages of the site too: there a link between pages, in the repository one to the file.
_ROOT_PAGES = {
    "ARCHITECTURE.md": "architecture",
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "SECURITY.md": "reporting",
}


def _link_root_pages(_: Sphinx, page: str, source: list[str]) -> None:
    up = "../" * page.count("/")
    for file, name in _ROOT_PAGES.items():
        source[0] = re.sub(rf"\]\((\.\./)+{re.escape(file)}(#[a-z0-9-]+)?\)", rf"]({up}{name}.md\2)", source[0])


def setup(app: Sphinx) -> None:
    """Let links to files of the project's folder lead to their pages."""
    app.connect("source-read", _link_root_pages)
