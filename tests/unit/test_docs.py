"""The documents have their form, their links lead somewhere, and what they quote is what the program prints."""

import ast
import json
import re
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from docs.messages import constants_of, shell_messages, templates
from docs.picture import PICTURE
from mesh.config.schema import build_schema
from mesh.wireguard.addressing import derive_subnet, host_address
from tests.documents import FENCE, PAGES, ROOT, anchors, blocks, label, read

DECISIONS = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))


def test_the_readme_is_read_in_two_minutes() -> None:
    """What is longer has a page of its own."""
    assert (ROOT / "README.md").stat().st_size <= 6 * 1024


def test_the_architecture_is_a_map() -> None:
    """Decisions and measurements have pages of their own, and a glossary that is long is not read."""
    text = read(ROOT / "ARCHITECTURE.md")
    assert len(text.splitlines()) <= 200
    assert len(re.findall(r"^\d+\. \*\*", text.partition("## Glossary")[2], flags=re.MULTILINE)) <= 20


def test_a_line_fits_an_editor() -> None:
    """Also the rows of tables."""
    for page in PAGES:
        assert [line for line in read(page).splitlines() if len(line) > 120] == [], label(page)


def test_a_link_leads_somewhere() -> None:
    """To a file of the repository, and to a heading in it."""
    for page in PAGES:
        for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", read(page))):
            parts = urlsplit(link)
            target = (page.parent / parts.path).resolve() if parts.path else page
            if not parts.scheme:
                assert target.exists(), (label(page), link)
                assert not parts.fragment or parts.fragment in anchors(target), (label(page), link)


def test_every_page_is_in_a_table_of_contents() -> None:
    """What nobody links, nobody finds."""
    listed = {
        (page.parent / f"{entry}.md").resolve()
        for page in PAGES
        for toc in re.findall(r"```\{toctree\}\n(.*?)```", read(page), flags=re.DOTALL)
        for entry in toc.split()
    }
    pages = {page for page in PAGES if page.is_relative_to(ROOT / "docs")}
    assert pages - listed - set(DECISIONS) == {ROOT / "docs/index.md"}


def test_a_file_that_is_named_is_there() -> None:
    """A test that proves a sentence, or a module, still has the name that the document gives."""
    for page in PAGES:
        for code in re.findall(r"`((?:tests|mesh|docs|stacks)/[\w./-]*\w/?)`", read(page)):
            assert (ROOT / code).exists() or "NAME" in code or "office" in code, (label(page), code)


def test_the_page_of_the_lab_lists_every_file() -> None:
    """Who wants to know what was shown with booted hosts finds it there."""
    files = {path.name for path in (ROOT / "tests/lab").glob("test_*.py")}
    assert set(re.findall(r"^- `(test_\w+\.py)`", read(ROOT / "tests/lab/README.md"), flags=re.MULTILINE)) == files


def test_an_address_in_the_mesh_is_that_of_a_host_on_the_page() -> None:
    """As it follows from the names, so that a reader who works it out finds the same."""
    seen = set()
    for page in PAGES:
        found = set(re.findall(r"\bfd00:[0-9a-f]+:[0-9a-f]+:[0-9a-f]+::1\b", read(page))) - {"fd00:1:2:3::1"}
        if found:
            names = set(re.findall(r"\b[a-z][a-z0-9-]*\b", read(page)))
            assert found <= {str(host_address(derive_subnet(name, "testwg")).ip) for name in names}, label(page)
        seen |= found
    assert len(seen) > 2


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_says_what_it_costs_and_what_was_measured(path: Path) -> None:
    """All decisions have one form."""
    assert re.findall(r"^## (.*)$", read(path), flags=re.MULTILINE) == ["Context", "Decision", "Cost", "Measured"]
    assert re.match(rf"# {int(path.stem[:4])}\. ", read(path))


def test_the_index_lists_every_decision_by_its_title() -> None:
    """The numbers have no gap, since other pages refer to them."""
    titles = [read(path).splitlines()[0].removeprefix("# ") for path in DECISIONS]
    index = re.findall(r"^(\d+\. )\[(.*)\]\((.*)\)$", read(ROOT / "docs/decisions/README.md"), flags=re.MULTILINE)
    assert [(f"{number}{title}", file) for number, title, file in index] == [
        (title, path.name) for title, path in zip(titles, DECISIONS, strict=True)
    ]
    assert [int(path.stem[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))


def letters(text: str) -> int:
    """Return how many letters a text has."""
    return len(re.sub("[^A-Za-z]", "", text))


@cache
def printed() -> list[re.Pattern[str]]:
    """Return a pattern for everything that the program can print."""
    found: set[str] = set()
    for path in (ROOT / "mesh").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = constants_of(tree)
        found |= {text for node in ast.walk(tree) for text in templates(node, constants)}
    for path in (ROOT / "mesh/host").rglob("*.sh"):
        found |= set(shell_messages(path.read_text(encoding="utf-8")))
    texts = sorted({" ".join(text.split()) for text in found if letters(text) >= 5})
    patterns = [".*".join(map(re.escape, re.split("…+", text))) for text in texts]
    # What is listed below a message is on lines of its own.
    return [re.compile(re.sub(r"\\ \.\*$", r"(\\ .*)?", pattern)) for pattern in patterns]


def can_be_printed(line: str) -> bool:
    """Return whether a line, or what is behind the name of a mesh or a host in it, is a text of the program."""
    behind = line.partition(": ")[2]
    return any(pattern.fullmatch(line) or pattern.fullmatch(behind) for pattern in printed())


def test_an_output_that_is_quoted_can_be_printed() -> None:
    """Every line of ours is one that the program has; Pulumi's own lines are not ours to keep."""
    quoted = [(page, text) for page in PAGES for text in blocks(page, "console")]
    assert len(quoted) > 20
    for page, text in quoted:
        # A line that was too long for the page goes on in the next.
        for line in re.sub(r"(.{96,})\n\s*", r"\1 ", text).splitlines():
            said = line.strip()
            if said and not re.search(r"^\$ | (create|update)( |$)|^\w+:$", said):
                assert can_be_printed(said), (label(page), said)


def test_the_picture_shows_what_the_program_prints() -> None:
    """It was drawn from a real run, and asks no other server for anything."""
    picture = PICTURE.read_text(encoding="utf-8")
    text = "".join(ElementTree.fromstring(picture).itertext()).replace("\xa0", " ")  # noqa: S314 - our own file
    assert all(host in text for host in ("bernard", "carol", "dora", "edgeworth"))
    steps = re.findall(r"testwg: [a-z ]+\d hosts?", text)
    assert len(steps) > 3
    for line in steps:
        assert can_be_printed(line), f"{line}: draw the picture again"
    assert 'url("http' not in picture


def test_an_example_has_fields_that_exist() -> None:
    """A part of a stack file may lack what is needed elsewhere, but has no field of its own invention."""
    validator = Draft202012Validator(build_schema())
    examples = [(page, text) for page in PAGES for text in blocks(page, "yaml")]
    assert len(examples) > 10
    for page, text in examples:
        content = json.loads(json.dumps(YAML(typ="safe").load(text)))
        assert "config" in content, (label(page), text)
        errors = [error.message for error in validator.iter_errors(content) if error.validator != "required"]
        assert [error for error in errors if "AAAA…" not in error] == [], (label(page), text)
