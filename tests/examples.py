"""Read the examples of `python -m mesh`, in its help and in the documents, and make the stacks that they are of."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import typer.main

from mesh.cli.app import app
from tests.documents import PAGES, commands, lines

__all__ = ["COMMAND", "EXAMPLES", "OFFICE_HOSTS", "OFFICE_MESH", "SHELL_EXAMPLES"]

COMMAND: Any = typer.main.get_command(app)
# The stack that the pages tell of, where they do not name one that comes with the project.
OFFICE_HOSTS: dict[str, dict[str, Any]] = {
    name: {"externalIps": [f"78.11.11.{number}"]}
    for number, name in enumerate(("bernard", "carol", "dora", "edgeworth"), 11)
}
OFFICE_MESH = {
    "hosts": list(OFFICE_HOSTS),
    "ipv4": "10.20.0.0/24",
    "peers": {"phone": {}, "laptop": {}, "router": {}},
}


def _helps(command: Any) -> Iterator[str]:
    for inner in getattr(command, "commands", {}).values():
        yield from _helps(inner)
    yield from re.findall(r"python -m mesh [^`\n]*", f"{command.epilog or ''}\n{command.help or ''}")


def _examples() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield where each example is, and its words behind `python -m mesh`, without what a shell does with its output.

    One with a word in capitals, which somebody has to fill in, is none, and neither is a command without anything, or
    what the changelog mentions.
    """
    in_help = [("--help", shlex.split(line)) for line in _helps(COMMAND)]
    for place, words in [*in_help, *commands()]:
        end = next((number for number, word in enumerate(words) if word in {">", "|"}), len(words))
        ours = tuple(word for word in words[3:end] if not re.search(r"^[A-Z]{2,}|[\[{]|…", word))
        if place != "CHANGELOG.md" and words[:3] == ["python", "-m", "mesh"] and len(ours) == end - 3 > 1:
            yield place, ours


def _with_a_shell() -> Iterator[str]:
    """Yield the whole lines of which `_examples` yields the beginning: what a shell does with the output goes along.

    A line is left out where it goes on in the next one, as where a file is handed to another machine by SSH.
    """
    for line in (*_helps(COMMAND), *(line for page in PAGES for line in lines(page))):
        try:
            words = shlex.split(line)
        except ValueError:
            continue
        if words[:3] == ["python", "-m", "mesh"] and {">", "|"} & set(words):
            yield line.strip()


EXAMPLES = sorted(set(_examples()))
SHELL_EXAMPLES = sorted(set(_with_a_shell()))
