"""What is read from the state, as `pulumi stack export` prints it, and how pulumi is spoken to."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mesh.cli import pulumi_cli
from mesh.cli.engine import Engine
from mesh.cli.pulumi_cli import PulumiCli
from mesh.errors import MeshError

MADE = "2026-02-01T10:00:00Z"


def test_the_ages_of_keys_are_those_of_our_resources(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of one's own has others, and an earlier version kept no age."""
    kinds: dict[str, Any] = {
        "pulumi-python:dynamic/mesh:KeyPair": {"publicKey": "B=", "maxKeyAge": 180.0},
        "pulumi-python:dynamic/mesh:PresharedKey": {},
        "cloud:index:Server": {"interface": 7, "publicKey": "C="},
    }
    resources = [
        {
            "type": kind,
            "urn": f"urn:pulumi:t::mesh::t::testwg/{name}",
            "outputs": {"interface": "testwg", "createdAt": MADE, "rotation": "1", **outputs},
        }
        for name, (kind, outputs) in zip(("h1/key", "preshared-key", "server"), kinds.items(), strict=True)
    ]
    roster = {"interface": "testwg", "port": 51825.0, "mtu": 1420.0, "deadline": 60.0, "unreachable": "stop"}
    rollout = {"roster": {**roster, "members": {}}, "digest": "d", "systems": {}, "notWiped": []}
    resources.append({"type": "pulumi-python:dynamic/mesh:Rollout", "outputs": rollout, "modified": MADE})
    exported = json.dumps({"deployment": {"resources": resources}})
    monkeypatch.setattr(pulumi_cli, "find_engine", lambda: Engine(Path("pulumi"), "3.250.0"))
    monkeypatch.setattr(PulumiCli, "_ask", lambda *_: exported)
    recorded = PulumiCli(Path(), None).recorded()["testwg"]
    assert recorded.key_times() == {"B=": (MADE, "2026-07-31T10:00:00Z"), "": (MADE, "")}
    assert {owner: key.get("publicKey") for owner, key in recorded.key_states.items()} == {"h1": "B=", "": None}
    assert recorded.changed_at == MADE


def test_an_interface_may_be_called_as_the_files_of_peers_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as no interface has the other half of its name, and peers."""
    public = {"port": 1, "hosts": {}, "cannotMeet": [], "notWiped": [], "pending": []}
    outputs = {"off-peers": public, "wg0": public, "wg0-peers": {"phone": "[Interface]"}, "my-peers": {}}
    monkeypatch.setattr(pulumi_cli, "find_engine", lambda: Engine(Path("pulumi"), "3.250.0"))
    monkeypatch.setattr(PulumiCli, "_ask", lambda *_: json.dumps(outputs))
    assert PulumiCli(Path(), None).peer_files() == {"wg0": {"phone": "[Interface]"}}


def _pulumi(folder: Path, script: str) -> Path:
    """Make a program in the place of pulumi."""
    program = folder / "pulumi"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    return program


def test_what_pulumi_warns_of_is_not_taken_for_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells of a newer version of itself, and then why it failed."""
    program = _pulumi(tmp_path, "echo 'warning: A new version' >&2; echo 'error: no stack named x' >&2; exit 255")
    monkeypatch.setattr(pulumi_cli, "find_engine", lambda: Engine(program, "3.250.0"))
    with pytest.raises(MeshError, match=r"^pulumi stack: no stack named x; name a stack that exists, or run"):
        PulumiCli(tmp_path, "x").recorded()


def test_a_terminal_of_another_encoding_changes_nothing_of_a_stack_file(tmp_path: Path) -> None:
    """Pulumi reads and writes UTF-8, and a comment may have letters that the terminal lacks."""
    script = 'while [ "$1" != --config-file ]; do shift; done; cat >/dev/null; cat "$2" >&2; grep -q Zürich "$2"'
    program = _pulumi(tmp_path, script)
    code = f"""if True:
        from pathlib import Path
        from mesh.cli import pulumi_cli
        from mesh.cli.engine import Engine
        pulumi_cli.find_engine = lambda: Engine(Path({str(program)!r}), "3.250.0")
        held = pulumi_cli.PulumiCli(Path({str(tmp_path)!r}), "x").encrypt("n", {{}}, "a: Z\\u00fcrich\\n")
        print(ascii(held))
    """
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **plain}, cwd=Path.cwd(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "{'a': 'Z\\xfcrich'}\n"), done.stderr
