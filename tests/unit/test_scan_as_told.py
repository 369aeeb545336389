"""Every way in which a stack file, a page or a message has somebody scan hosts with other keys than the file has."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from docs.messages import find_messages
from mesh.config.reader import read_configuration
from mesh.errors import ConfigurationError, HostError
from mesh.remote.commands import run_command
from mesh.remote.concurrency import run
from tests.documents import ROOT, shell_of
from tests.own_ssh import write_own_ssh
from tests.unit.scanned import ANSWER, OTHER_KEY, FakeHost, running_host

pytestmark = pytest.mark.thorough
_SCAN = re.compile(r"python -m mesh scan [^;,\n]*?--accept-changed")
_EXAMPLES = [
    path
    for path in sorted((ROOT / "stacks").rglob("Pulumi.*.yaml"))
    if "throw-away" in path.read_text() and "hostKey:" in path.read_text()
]


@pytest.fixture
def host() -> Iterator[FakeHost]:
    """Return a running host."""
    with running_host() as running:
        yield running


def project(folder: Path, stack: str, text: str) -> Path:
    """Make a project with one stack file, and return that."""
    (folder / "stacks").mkdir()
    (folder / "Pulumi.yaml").write_text("name: mesh\nruntime: python\n")
    file = folder / "stacks" / f"Pulumi.{stack}.yaml"
    file.write_text(text)
    return file


def places(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what has an SSH host key in the entry of a host: itself, and its bastion."""
    return [place for place in (entry["ssh"], entry["ssh"].get("bastion")) if place]


def type_yes(command: str, folder: Path) -> str:
    """Run a command in a terminal, and accept the fingerprints, also those behind bastions; return its screen."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TERM": "dumb"}
    done = subprocess.run(
        ["script", "-qefc", command, "/dev/null"],
        cwd=folder, env=environment, input="y\n" * 2, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_there_are_examples_with_keys_to_replace() -> None:
    """All but the lab's, whose hosts have none yet."""
    assert len(_EXAMPLES) >= 10


@pytest.mark.parametrize("example", _EXAMPLES, ids=lambda path: path.stem)
def test_the_keys_of_an_example_are_replaced_as_its_head_says(example: Path, tmp_path: Path, host: FakeHost) -> None:
    """It was copied to stacks/, and has the addresses of hosts that are there."""
    found = _SCAN.search(example.read_text())
    assert found is not None
    # One stands for all hosts, which cannot have one external address.
    host.answer = "".join(
        line for line in ANSWER.splitlines(keepends=True) if "78.11." not in line and "2a01" not in line
    )
    file = project(tmp_path, example.stem.removeprefix("Pulumi."), example.read_text())
    yaml = YAML()
    content = yaml.load(file)
    for entry in content["config"]["mesh:hosts"].values():
        entry.pop("system", None)
        for place in places(entry):
            place.update(address="127.0.0.1", port=host.port)
    yaml.dump(content, file)
    assert "CHANGED" in type_yes(found[0], tmp_path)
    entries = YAML(typ="safe").load(file)["config"]["mesh:hosts"].values()
    keys = {place["hostKey"] for entry in entries for place in places(entry)}
    assert keys <= {host.public_key(0), host.public_key(1)}


def test_a_host_with_another_key_is_scanned_as_the_message_and_the_page_say(tmp_path: Path, host: FakeHost) -> None:
    """The message has the words of the page, but for names that it cannot know."""
    place = {"address": "127.0.0.1", "port": host.port, "hostKey": OTHER_KEY}
    connection: Any = {**place, "user": "root", "sudo": False, "bastion": None}
    with pytest.raises(HostError) as refused:
        run(lambda: run_command("carol", connection, "true"))
    told = _SCAN.search(str(refused.value))
    assert told is not None, refused.value
    (command,) = [line for line in shell_of("docs/tasks/reinstalled-host.md", "It has a new SSH host key").splitlines()
                  if "mesh scan" in line]  # fmt: skip
    assert told[0].replace("STACK", "office").replace("HOST", "carol") == command
    file = project(tmp_path, "office", f"config: {json.dumps({'mesh:hosts': {'carol': {'ssh': place}}})}")
    type_yes(command, tmp_path)
    assert host.public_key() in file.read_text()


@pytest.mark.parametrize(
    "pinned", ["AAAA", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA", "-----BEGIN OPENSSH PRIVATE KEY-----"]
)
def test_what_is_no_host_key_is_replaced_as_the_fault_says(tmp_path: Path, host: FakeHost, pinned: str) -> None:
    """Half of one was pasted, or a private one."""
    ssh = {"address": "127.0.0.1", "port": host.port, "hostKey": pinned}
    file = project(tmp_path, "office", f"config: {json.dumps({'mesh:hosts': {'carol': {'ssh': ssh}}})}")
    with pytest.raises(ConfigurationError) as refused:
        read_configuration({"carol": {"ssh": ssh}}, {"testwg": {"hosts": ["carol"]}})
    told = _SCAN.search(str(refused.value))
    assert told is not None, refused.value
    type_yes(told[0].replace("STACK", "office"), tmp_path)
    assert host.public_key() in file.read_text()


def scan_as(folder: Path, known_hosts: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Scan as somebody whose ssh knows these hosts, and who says yes to every question."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "known").write_text(known_hosts)
    write_own_ssh(tools, f"-F none -o UserKnownHostsFile={tools}/known")
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "mesh", "scan", "office", "--yes", "--accept-changed", *options],
        cwd=folder, env={**environment, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("is_pinned", [False, True])
def test_a_revoked_host_key_is_refused_until_the_host_has_another_one(
    tmp_path: Path, host: FakeHost, is_pinned: bool
) -> None:
    """As the message says; saying yes to everything does not help, and neither does a line that trusts the key."""
    ssh = {"address": "127.0.0.1", "port": host.port, **({"hostKey": host.public_key()} if is_pinned else {})}
    file = project(tmp_path, "office", f"config: {json.dumps({'mesh:hosts': {'carol': {'ssh': ssh}}})}")
    before = file.read_text()
    revoked = "".join(f"@revoked * {host.public_key(number)}\n" for number in (0, 1))
    known = f"[127.0.0.1]:{host.port} {host.public_key()}\n{revoked}"
    refused = scan_as(tmp_path, known)
    assert refused.returncode == 1, refused.stdout
    assert refused.stderr == (
        f"error: host 'carol': shows a host key that {tmp_path}/tools/known:2 revokes; make a new one on it, and "
        "restart its sshd\n"
    )
    assert file.read_text() == before
    assert host.logins == 0
    with running_host() as mended:
        file.write_text(before.replace(str(host.port), str(mended.port)))
        done = scan_as(tmp_path, known)
        assert done.returncode == 0, done.stderr
        assert mended.public_key() in file.read_text()


def test_a_message_that_has_somebody_scan_or_allocate_names_what_that_takes() -> None:
    """Both take a stack."""
    told = [text for text in find_messages() if re.search("run python -m mesh (scan|allocate)", text)]
    assert len(told) > 5
    assert [text for text in told if not re.search("python -m mesh (scan|allocate) (STACK|…)", text)] == []
