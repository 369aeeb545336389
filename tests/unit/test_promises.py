"""What `--help` and the documents name is run by a test: each option with its command, each variable."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from mesh.cli.app import app

_ROOT = Path(__file__).parents[2]
_DOCUMENTS = [_ROOT / "README.md", *(_ROOT / "docs").rglob("*.md")]


def _commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from _commands(inner, (*words, name))
    else:
        yield words, command


def _options() -> Iterator[tuple[str, str]]:
    for words, command in _commands(typer.main.get_command(app)):
        for parameter in command.params:
            # Of a flag and its contrary, the one that changes something.
            for option in parameter.secondary_opts or [opt for opt in parameter.opts if opt.startswith("--")]:
                yield words[-1], option


def _tests(*levels: str) -> list[str]:
    here = Path(__file__)
    return [path.read_text() for level in levels for path in (_ROOT / "tests" / level).rglob("*.py") if path != here]


@pytest.mark.parametrize(("command", "option"), sorted(_options()))
def test_each_option_is_run_with_its_command(command: str, option: str) -> None:
    """By name, in one file of tests."""
    runs = [text for text in _tests("unit", "engine", "lab") if f'"{command}"' in text]
    assert any(f'"{option}"' in text or f'"{option}=' in text for text in runs)


def test_each_variable_is_set_by_a_test() -> None:
    """Those of the program, as the documents name them."""
    named = {name for file in _DOCUMENTS for name in re.findall(r"\bMESH_[A-Z_]+", file.read_text())}
    program = "".join(path.read_text() for path in (_ROOT / "mesh").rglob("*.py"))
    of_the_program = {name for name in named if f'"{name}"' in program}
    assert "MESH_SSH_KEY_FILE" in of_the_program
    tests = "".join(_tests("engine", "lab"))
    assert {name for name in of_the_program if name not in tests} == set()


def test_each_command_of_pulumi_in_the_documents_is_run_by_a_test() -> None:
    """On the real engine or on booted hosts, with each option that the documents give it."""
    ways = {
        (words[1:], option)
        for file in _DOCUMENTS
        for line in re.findall(r"(?:^ {0,4}|`)(pulumi [a-z][^`\n#|&;]*)", file.read_text(), re.MULTILINE)
        if (words := tuple(re.match(r"pulumi(?: [a-z-]+){0,2}", line)[0].split()))  # type: ignore[index]
        for option in re.findall(r"--[a-z-]+", line) or [""]
        if option not in {"--stack", "--file", "--secret", "--preserve-config"}
    }
    assert len(ways) > 10
    tests = "".join(_tests("engine", "lab"))
    assert {
        f"pulumi {' '.join(verb)} {option}"
        for verb, option in ways
        if f'"{verb[0]}"' not in tests or option not in tests
    } == set()
