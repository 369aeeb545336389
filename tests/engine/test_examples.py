"""The examples of `python -m mesh` that ask hosts or the engine, each run as it stands in its help or on its page."""

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.documents import ROOT
from tests.engine.ssh_hosts import Hosts
from tests.engine.stack import Stack
from tests.examples import EXAMPLES, OFFICE_HOSTS, OFFICE_MESH, SHELL_EXAMPLES

_COMMANDS = ("status", "doctor", "ping", "plan", "bundle", "history", "metrics", "page", "peer", "up", "allocate")
# What goes on until it is interrupted, or needs more of a host than a stand-in has.
_ELSEWHERE = {"--watch", "--serve", "--listen", "--tcp", "--no-checkpoints"}
# Programs that read what a command prints.
_TOOLS = ("jq", "dot")
RUN = sorted(
    {words for _, words in EXAMPLES if words[0] in _COMMANDS or "--live" in words if not _ELSEWHERE & set(words)},
    key=lambda words: (words[0] == "up", words),
)
# `speed` needs more of a host, too.
PIPED = [line for line in SHELL_EXAMPLES if " mesh speed " not in line]


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


@pytest.mark.parametrize("line", PIPED)
def test_what_a_shell_does_with_the_output_succeeds_too(stack: Stack, line: str) -> None:
    """What another program reads is of the form that it is asked for, and a file that is written has something in it.

    Nobody becomes root for it, and files of the system lie in a folder of the test.
    """
    if lacking := [tool for tool in _TOOLS if f"| {tool} " in line and shutil.which(tool) is None]:
        pytest.skip(f"{lacking[0]} is not installed here")
    (stack.folder.parent / "home/.ssh").mkdir(parents=True, exist_ok=True)
    (stack.folder / "etc/prometheus").mkdir(parents=True, exist_ok=True)
    here = re.sub(r"(?<= )/etc/", f"{stack.folder}/etc/", line.replace("| sudo ", "| "))
    done = stack.shell(f"set -o pipefail\n{here}")
    assert done.code == 0, f"{here}\n{done.text}"
    assert "error" not in done.errors
    if written := re.search(r"> ([\w/.~-]+)$", here):
        assert stack.shell(f"test -s {written[1]}").code == 0


def test_there_are_examples_to_run() -> None:
    """Of every command that is tried here, and of every program that is to read what one prints."""
    assert {words[0] for words in RUN} >= set(_COMMANDS)
    assert all(any(f"| {tool} " in line for line in SHELL_EXAMPLES) for tool in _TOOLS)
