"""Every example of `python -m mesh`, in its help and in the documents: what asks neither hosts nor the engine is run.

Of the others, the hosts, interfaces and peers are ones of the stack that they name. `tests/engine/test_examples.py`
runs them.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mesh.cli.app import app
from mesh.cli.stack_file import INTERFACES, StackFile
from tests.conftest import HOST_KEY
from tests.documents import ROOT, read
from tests.examples import COMMAND, EXAMPLES, OFFICE_HOSTS, OFFICE_MESH

# What reads a stack file and nothing else.
_ALONE = ("export", "graph", "allocate")
# A host that these name is not in the file yet, or not any more.
_COMES_OR_GOES = ("new", "forget", "import")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with the stacks that come with ours, and the office."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "Pulumi.yaml", folder)
    shutil.copytree(ROOT / "stacks", folder / "stacks")
    hosts = {
        name: {**entry, "ssh": {"address": entry["externalIps"][0], "hostKey": HOST_KEY}}
        for name, entry in OFFICE_HOSTS.items()
    }
    office = {"config": {"mesh:hosts": hosts, "mesh:interfaces": {"testwg": OFFICE_MESH}}}
    (folder / "stacks/Pulumi.office.yaml").write_text(json.dumps(office))
    return folder


def _read(words: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """Return the command and its parameters, as it would take them."""
    command, name, rest = COMMAND, "", list(words)
    while hasattr(command, "commands"):
        name = rest.pop(0)
        command = command.commands[name]
    with command.make_context(name, rest) as context:
        return words[0], context.params


def _names(given: Any) -> list[str]:
    return [given] if isinstance(given, str) else list(given or [])


def test_there_are_examples() -> None:
    """Of most commands, in the help and in the pages."""
    assert len(EXAMPLES) > 50
    assert len({words[0] for _, words in EXAMPLES}) > 12
    assert sum(place == "--help" for place, _ in EXAMPLES) > 12


@pytest.mark.parametrize(
    ("place", "words"), EXAMPLES, ids=lambda part: part if isinstance(part, str) else " ".join(part)
)
def test_an_example_names_what_is_in_its_stack(project: Path, place: str, words: tuple[str, ...]) -> None:
    """A stack that comes with the project, or the office; one that a command makes or fills is the reader's own."""
    name, given = _read(words)
    if name in _COMES_OR_GOES:
        return
    file = project / "stacks" / f"Pulumi.{given.get('stack') or 'office'}.yaml"
    assert file.is_file(), (place, words)
    stack = StackFile(file)
    meshes = stack.section(INTERFACES)
    hosts = [each for key in ("only", "host", "between") for each in _names(given.get(key))]
    hosts += _names(given.get("peer")) if name == "speed" else []
    assert set(hosts) <= set(stack.hosts), (place, words)
    assert set(_names(given.get("interface"))) <= set(meshes), (place, words)
    peers = {peer for mesh in meshes.values() for peer in mesh.get("peers", {})}
    assert name != "peer" or given["name"] in peers, (place, words)


@pytest.mark.parametrize(
    ("place", "words"),
    [(place, words) for place, words in EXAMPLES if words[0] in _ALONE and "--live" not in words],
    ids=lambda part: part if isinstance(part, str) else " ".join(part),
)
def test_an_example_that_asks_nobody_runs(
    project: Path, place: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the folder of the project, by whoever reads it."""
    monkeypatch.chdir(project)
    (project / "home/.ssh").mkdir(parents=True, exist_ok=True)
    done = CliRunner().invoke(app, [re.sub("^~", str(project / "home"), word) for word in words])
    assert done.exit_code == 0, (place, done.output, done.exception)
    assert done.stdout


def test_the_groups_that_ansible_is_given_are_in_the_inventory(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the page names, too."""
    monkeypatch.chdir(project)
    page = read(ROOT / "docs/tasks/export.md")
    inventory = json.loads(CliRunner().invoke(app, ["export", "ansible", "production"]).stdout)["all"]["children"]
    groups = set(re.findall(r"\b(?:mesh|site|tag)_(?!known|addresses|hosts)[a-z]+\b", page))
    assert groups
    assert groups <= inventory.keys()
