"""The examples of `python -m mesh` that ask hosts or the engine, each run as it stands in its help or on its page."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.documents import ROOT
from tests.engine.ssh_hosts import Hosts
from tests.engine.stack import Stack
from tests.examples import EXAMPLES, OFFICE_HOSTS, OFFICE_MESH

_COMMANDS = ("status", "doctor", "ping", "plan", "bundle", "history", "metrics", "page", "peer", "up", "allocate")
# What goes on until it is interrupted, or needs more of a host than a stand-in has.
_ELSEWHERE = {"--watch", "--serve", "--listen", "--tcp", "--no-checkpoints"}
RUN = sorted(
    {words for _, words in EXAMPLES if words[0] in _COMMANDS or "--live" in words if not _ELSEWHERE & set(words)},
    key=lambda words: (words[0] == "up", words),
)


def _as_here(hosts: Hosts, entries: dict[str, Any]) -> dict[str, Any]:
    """Return the entries with their hosts where the stand-ins are."""
    place = {"address": "127.0.0.1", "hostKey": hosts.host_key}
    return {name: {**(entry or {}), "ssh": {**place, "port": hosts[name].port}} for name, entry in entries.items()}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a project with the office, which is selected, and the stack of production, both rolled out."""
    folder: Path = tmp_path_factory.mktemp("examples")
    yaml = YAML()
    production = yaml.load(ROOT / "stacks/Pulumi.production.yaml")["config"]
    office = {"mesh:hosts": OFFICE_HOSTS, "mesh:interfaces": {"testwg": OFFICE_MESH}}
    with Hosts([*OFFICE_HOSTS, *production["mesh:hosts"]], folder / "key") as hosts:
        stack = Stack(folder, hosts, folder / "key")
        for name, config in {"production": production, "office": office}.items():
            here: Any = {**config, "mesh:hosts": _as_here(hosts, config["mesh:hosts"])}
            yaml.dump({"config": here}, stack.folder / f"stacks/Pulumi.{name}.yaml")
            stack.must("stack", "init", name)
            assert stack.companion("allocate", name).code == 0
            stack.up("--stack", name)
        yield stack


@pytest.mark.parametrize("words", RUN, ids=" ".join)
def test_an_example_of_help_or_a_page_succeeds(stack: Stack, words: tuple[str, ...]) -> None:
    """In the environment of the checkout, with what is written to a folder of the system written to one of the test."""
    line = shlex.join(["python", "-m", "mesh", *words])
    done = stack.shell(re.sub(r"(?<= )/var/lib/\w+/", f"{stack.folder}/", line))
    assert done.code == 0, f"{line}\n{done.text}"


def test_there_are_examples_to_run() -> None:
    """Of every command that is tried here."""
    assert {words[0] for words in RUN} >= set(_COMMANDS)
