"""What the documents say exists: commands, options, variables, files, links, messages, fields and outputs."""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
import typer.main
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from docs import messages
from docs.messages import find_messages, read_pages
from docs.picture import PICTURE
from mesh.cli.app import app
from mesh.config.schema import build_schema

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "tests/lab/README.md"])
PAGES = [page for page in PAGES if "_build" not in page.parts]
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
# Placeholders of the documents.
WORDS = {"STACK", "FOLDER", "PORT", "IF", "HOST", "NAME"}


def label(path: Path) -> str:
    """Return the path from the root."""
    return path.relative_to(ROOT).as_posix()


@cache
def read(page: Path) -> str:
    """Return the text of a page."""
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """Yield the code blocks of a page in one of the languages, without their indentation."""
    for indent, language, text in FENCE.findall(read(page)):
        if language in languages:
            yield re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)


def commands(page: Path) -> Iterator[list[str]]:
    """Yield every command of a page as words: of its shell blocks, and what it quotes within a line."""
    lines = [line.split("#")[0] for text in blocks(page, "sh") for line in text.replace("\\\n", " ").splitlines()]
    lines += [line.removeprefix("$ ") for text in blocks(page, "console") for line in text.splitlines()]
    lines += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", FENCE.sub("", read(page)))]
    for line in lines:
        for part in re.split(r" \| | && |; ", line):
            try:
                words = shlex.split(part)
            except ValueError:
                continue
            while words and re.fullmatch(r"[A-Z_]+=\S*|sudo", words[0]):
                del words[0]
            if words:
                yield words


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", read(page)), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_read_in_two_minutes() -> None:
    """What is longer has a page of its own."""
    assert (ROOT / "README.md").stat().st_size <= 6 * 1024


def test_the_architecture_is_a_map() -> None:
    """Decisions and measurements have pages of their own, and a glossary that is long is not read."""
    text = read(ROOT / "ARCHITECTURE.md")
    assert len(text.splitlines()) <= 200
    assert len(re.findall(r"^\d+\. \*\*", text.partition("## Glossary")[2], flags=re.MULTILINE)) <= 20


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_a_line_fits_an_editor(page: Path) -> None:
    """Also the rows of tables."""
    assert [line for line in read(page).splitlines() if len(line) > 120] == []


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_a_link_leads_somewhere(page: Path) -> None:
    """To a file of the repository, and to a heading in it."""
    for link in LINK.findall(FENCE.sub("", read(page))):
        parts = urlsplit(link)
        if parts.scheme:
            continue
        target = (page.parent / parts.path).resolve() if parts.path else page
        assert target.exists(), link
        assert not parts.fragment or parts.fragment in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_a_file_that_is_named_is_there(page: Path) -> None:
    """A test that proves a sentence, or a module, still has the name that the document gives."""
    for code in re.findall(r"`((?:tests|mesh|docs|stacks)/[\w./-]*\w/?)`", read(page)):
        assert (ROOT / code).exists() or "NAME" in code or "office" in code, code


@cache
def own_commands() -> dict[tuple[str, ...], Any]:
    """Return our commands by their words."""
    found: dict[tuple[str, ...], Any] = {}

    def walk(group: Any, words: tuple[str, ...]) -> None:
        for name, command in group.commands.items():
            found[*words, name] = command
            if hasattr(command, "commands"):
                walk(command, (*words, name))

    walk(typer.main.get_command(app), ())
    return found


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_a_command_of_ours_is_one(page: Path) -> None:
    """With every option, so that what a reader copies runs."""
    for words in commands(page):
        if words[:3] != ["python", "-m", "mesh"]:
            continue
        given = words[3:]
        name = tuple(given[:2]) if tuple(given[:2]) in own_commands() else tuple(given[:1])
        if not given or given[0] in ("NAME", "--help"):
            continue
        assert name in own_commands(), words
        known = {option for param in own_commands()[name].params for option in (*param.opts, *param.secondary_opts)}
        ours = given[: given.index("--")] if "--" in given else given
        assert {word.partition("=")[0] for word in ours if word.startswith("--")} <= known | {"--help"}, words


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_a_target_of_make_is_one(page: Path) -> None:
    """As `make` alone lists them."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    for words in commands(page):
        if words[0] == "make" and len(words) > 1:
            assert words[1] in targets, words


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_a_module_that_is_run_is_there(page: Path) -> None:
    """`python -m tests.lab` and the like."""
    for words in commands(page):
        if (
            words[:2] == [words[0], "-m"]
            and words[0].endswith("python")
            and words[2].split(".")[0] in ("tests", "docs")
        ):
            assert import_module(words[2])


@cache
def pulumi_help(verb: str) -> str:
    """Return what the engine says of a verb."""
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    done = subprocess.run(
        ["pulumi", *verb.split(), "--help"], capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout


@pytest.mark.skipif(shutil.which("pulumi") is None, reason="there is no pulumi on PATH")
@pytest.mark.parametrize("page", PAGES, ids=label)
def test_an_option_of_pulumi_is_one(page: Path) -> None:
    """The engine itself is asked, verb by verb."""
    for words in commands(page):
        if words[0] != "pulumi" or len(words) < 2 or words[1].startswith("-") or not words[1].islower():
            continue
        nested = (
            len(words) > 2 and words[1] in ("stack", "config", "state") and words[2].isascii() and words[2][0].islower()
        )
        text = pulumi_help(" ".join(words[1:3] if nested else words[1:2]))
        for word in words:
            if word.startswith("--") and len(word) > 2:
                assert re.search(rf"{re.escape(word.partition('=')[0])}\b", text), words


def variables(text: str) -> set[str]:
    """Return the environment variables of ours that a text names."""
    return set(re.findall(r"\bMESH_[A-Z_]+[A-Z]\b", text))


@cache
def variables_of_the_code() -> set[str]:
    """Return those that the program, the tests and the Makefile read."""
    sources = [ROOT / "Makefile", *(ROOT / "mesh").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    texts = [path.read_text(encoding="utf-8") for path in sources if path != Path(__file__)]
    named = re.compile(r"""(?:environ(?:\.get\(|\[)|= )"(MESH_[A-Z_]+)"|\$\$?\{?(MESH_[A-Z_]+)""")
    return {name for text in texts for found in named.findall(text) for name in found if name}


def test_every_variable_is_in_the_reference() -> None:
    """And nothing is there that nobody reads."""
    reference = variables(read(ROOT / "docs/reference/variables.md"))
    assert reference == variables_of_the_code()
    assert {name for page in PAGES for name in variables(read(page))} <= reference


def test_the_troubleshooting_pages_know_every_message() -> None:
    """Each is on the page that it belongs on, and no message is there that the program does not have."""
    known = {
        message: name for name, page in read_pages().items() for entry in page.entries for message in entry.messages
    }
    found = find_messages()
    assert len(found) > 250
    assert {message: found[message] for message in found if message not in known} == {}, "run python -m docs.messages"
    assert [message for message in known if message not in found] == [], "run python -m docs.messages"


def test_every_message_has_a_cause() -> None:
    """A message alone is what the reader has seen already."""
    entries = [entry for page in read_pages().values() for entry in page.entries]
    assert [entry.messages for entry in entries if len(entry.cause) < 20] == []


def test_the_finder_of_messages_sees_every_form() -> None:
    """The test above rests on it, so that it must not miss a message."""
    source = """
ADVICE = "name another"
class Reader:
    def read(self, name):
        '''Not this; it is a docstring.'''
        if name:
            raise MeshError(f"reader: {name} is wrong; " + ("correct it" if self else ADVICE))
        self.problems[name] = "has no words"
        typer.Option(help="only this; may be given again")
        yield f"{name}: unknown field; remove it"
"""
    tree = ast.parse(source)
    assert set(messages._python(tree, messages._constants(tree))) == {  # noqa: SLF001 - what the pages rest on
        "reader: … is wrong; correct it",
        "reader: … is wrong; name another",
        "has no words",
        "…: unknown field; remove it",
    }
    shell = 'x || fail "names: $file cannot be written at $(date +%s); is the disk full?"'
    assert list(messages._shell(shell)) == ["names: … cannot be written at …; is the disk full?"]  # noqa: SLF001


@cache
def printed() -> list[re.Pattern[str]]:
    """Return a pattern for everything that the program can print."""
    found: set[str] = set()
    for path in (ROOT / "mesh").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = messages._constants(tree)  # noqa: SLF001
        for node in ast.walk(tree):
            found |= messages._templates(node, constants)  # noqa: SLF001
    for path in (ROOT / "mesh/host").rglob("*.sh"):
        found |= set(messages._shell(path.read_text(encoding="utf-8")))  # noqa: SLF001
    texts = {" ".join(text.split()) for text in found if letters(text) >= 5}
    patterns = [".*".join(map(re.escape, re.split("…+", text))) for text in sorted(texts)]
    # What is listed below a message is on lines of its own.
    return [re.compile(re.sub(r"\\ \.\*$", r"(\\ .*)?", pattern)) for pattern in patterns]


def letters(text: str) -> int:
    """Return how many letters a text has."""
    return len(re.sub("[^A-Za-z]", "", text))


def can_be_printed(line: str) -> bool:
    """Return whether a line, or what is behind the name of a mesh or a host in it, is a text of the program."""
    behind = line.partition(": ")[2]
    return any(pattern.fullmatch(line) or pattern.fullmatch(behind) for pattern in printed())


@pytest.mark.parametrize("page", [page for page in PAGES if [*blocks(page, "console")]], ids=label)
def test_an_output_that_is_quoted_can_be_printed(page: Path) -> None:
    """Every line of ours is one that the program has; Pulumi's own lines are not ours to keep."""
    for text in blocks(page, "console"):
        # A line that was too long for the page goes on in the next.
        for line in re.sub(r"(?m)^(.{96,})\n\s*", r"\1 ", text).splitlines():
            said = line.strip()
            if not said or said.startswith("$ ") or re.search(r" (create|update)( |$)|^\w+:$", said):
                continue
            assert can_be_printed(said), said


@pytest.mark.parametrize("page", [page for page in PAGES if [*blocks(page, "yaml")]], ids=label)
def test_an_example_has_fields_that_exist(page: Path) -> None:
    """A part of a stack file may lack what is needed elsewhere, but has no field of its own invention."""
    validator = Draft202012Validator(build_schema())
    for text in blocks(page, "yaml"):
        content = json.loads(json.dumps(YAML(typ="safe").load(text)))
        assert "config" in content, text
        errors = [error for error in validator.iter_errors(content) if error.validator != "required"]
        assert [error.message for error in errors if "AAAA…" not in error.message] == [], text


DECISIONS = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))


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


def test_the_picture_shows_what_the_program_prints() -> None:
    """It was drawn from a real run, and asks no other server for anything."""
    root = ElementTree.fromstring(PICTURE.read_text(encoding="utf-8"))  # noqa: S314 - our own file
    text = "".join(root.itertext()).replace("\xa0", " ")
    assert all(host in text for host in ("bernard", "carol", "dora", "edgeworth"))
    for line in re.findall(r"testwg: [a-z ]+\d hosts?", text):
        assert can_be_printed(line), f"{line}: draw the picture again"
    assert "confirmed on 4 hosts" in text
    assert 'url("http' not in PICTURE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("github-workflows", ".github/workflows/*.yml"),
        ("dependabot", ".github/dependabot.yml"),
        ("github-issue-forms", ".github/ISSUE_TEMPLATE/[bi]*.yml"),
        ("github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
    ],
)
def test_what_github_reads_has_its_form(schema: str, pattern: str) -> None:
    """A workflow with a misspelt key would not run, and nobody would notice."""
    files = sorted(ROOT.glob(pattern))
    assert files
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        f"vendor.{schema}",
        *files,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_workflows_run_targets_that_exist() -> None:
    """And pin every action by its commit."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"^ *- run: .*\bmake ([a-z-]+)", text, flags=re.MULTILINE)) <= targets
        assert re.findall(r"uses: (?!\S+@[0-9a-f]{40} # v)", text) == []


def project() -> dict[str, Any]:
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_changelog_closes_with_the_version() -> None:
    """In the form of Keep a Changelog: what is unreleased first, then versions, each with known sections."""
    text = read(ROOT / "CHANGELOG.md")
    versions = re.findall(r"^## \[([^\]]+)\]( - \S+)?$", text, flags=re.MULTILINE)
    assert versions[0] == ("Unreleased", "")
    assert versions[1][0] == project()["project"]["version"]
    sections = set(re.findall(r"^### (.*)$", text, flags=re.MULTILINE))
    assert sections <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_console_script_is_our_command() -> None:
    """`mesh` does what `python -m mesh` does."""
    module, _, name = project()["project"]["scripts"]["mesh"].partition(":")
    assert getattr(import_module(module), name) is import_module("mesh.cli.app").main


def locked(path: Path) -> dict[str, set[str]]:
    """Return the versions of each package in a lock; there are several where they depend on the Python."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(
        r"^([a-z0-9._-]+)==([^ ;\\]+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE
    ):
        found.setdefault(name, set()).add(version)
    return found


def test_both_locks_go_into_one_environment() -> None:
    """Who builds the pages keeps the packages that the program was tested with."""
    ours, pages = locked(ROOT / "requirements.lock"), locked(ROOT / "docs/requirements.lock")
    assert "sphinx" in pages
    assert {name: pages[name] for name in ours.keys() & pages.keys()} == {
        name: ours[name] for name in ours.keys() & pages.keys()
    }
