"""A command, an option, a target or a variable that a document names is one."""

import os
import re
import shutil
import subprocess
from functools import cache
from importlib import import_module
from typing import Any

import pytest
import typer.main

from mesh.cli.app import app
from tests.documents import PAGES, ROOT, commands, read

# A process of the lab tells its child by it, and nobody else.
OF_THE_LAB = {"MESH_REHEARSAL_STATE", "MESH_REHEARSAL_TELLS_ORDERS", "MESH_REHEARSAL_WAITS_BEFORE"}


@cache
def own_commands() -> dict[tuple[str, ...], set[str]]:
    """Return the options of our commands, by the words of the command."""
    found: dict[tuple[str, ...], set[str]] = {}

    def walk(group: Any, words: tuple[str, ...]) -> None:
        for name, command in group.commands.items():
            params = command.params
            found[*words, name] = {word for param in params for word in (*param.opts, *param.secondary_opts)}
            if hasattr(command, "commands"):
                walk(command, (*words, name))

    walk(typer.main.get_command(app), ())
    return found


def test_a_command_of_ours_is_one() -> None:
    """With every option, so that what a reader copies runs."""
    seen = set()
    for page, words in commands():
        given = words[3:]
        if words[:3] != ["python", "-m", "mesh"] or not given or given[0] in ("NAME", "--help"):
            continue
        name = tuple(given[:2]) if tuple(given[:2]) in own_commands() else tuple(given[:1])
        assert name in own_commands(), (page, words)
        ours = given[: given.index("--")] if "--" in given else given
        options = {word.partition("=")[0] for word in ours if word.startswith("--")}
        assert options <= own_commands()[name] | {"--help"}, (page, words)
        seen.add(name)
    assert seen >= own_commands().keys() - {("import",), ("export",)}, "a command that no document shows"


def test_a_target_of_make_is_one() -> None:
    """As `make` alone lists them."""
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = {words[1] for _, words in commands() if words[0] == "make" and len(words) > 1}
    assert named
    assert named <= targets


def test_a_module_that_is_run_is_there() -> None:
    """`python -m tests.lab` and the like."""
    run = {words[2] for _, words in commands() if words[0].endswith("python") and words[1:2] == ["-m"]}
    modules = [name for name in run if name.split(".")[0] in ("tests", "docs")]
    assert modules
    for name in modules:
        assert import_module(name)


@cache
def pulumi_help(verb: str) -> str:
    """Return what the engine says of a verb."""
    command = ["pulumi", *verb.split(), "--help"]
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("pulumi") is None, reason="there is no pulumi on PATH")
def test_an_option_of_pulumi_is_one() -> None:
    """The engine itself is asked, verb by verb."""
    for page, words in commands():
        if words[0] != "pulumi" or len(words) < 2 or not re.fullmatch("[a-z-]*[a-z]", words[1]) or words[1][0] == "-":
            continue
        nested = words[1] in ("stack", "config", "state") and words[2:3] and words[2][0].isalpha()
        text = pulumi_help(" ".join(words[1:3] if nested else words[1:2]))
        for word in words[2:]:
            if re.match(r"--[a-z]", word):
                assert re.search(rf"{re.escape(word.partition('=')[0])}\b", text), (page, words)


def variables(text: str) -> set[str]:
    """Return the environment variables of ours that a text names."""
    return set(re.findall(r"\bMESH_[A-Z_]+[A-Z]\b", text))


def test_every_variable_is_in_the_reference() -> None:
    """And nothing is there that nobody reads."""
    sources = [ROOT / "Makefile", *(ROOT / "mesh").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    named = re.compile(r"""(?:environ(?:\.get\(|\[)|= )"(MESH_[A-Z_]+)"|\$\$?\{?(MESH_[A-Z_]+)""")
    texts = [path.read_text(encoding="utf-8") for path in sources]
    read_by_code = {name for text in texts for found in named.findall(text) for name in found if name}
    reference = variables(read(ROOT / "docs/reference/variables.md"))
    assert reference == read_by_code - OF_THE_LAB
    assert {name for page in PAGES for name in variables(read(page))} <= reference
