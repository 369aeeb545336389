"""What is read from the state, as `pulumi stack export` prints it."""

import json
from pathlib import Path
from typing import Any

import pytest

from mesh.cli import pulumi_cli
from mesh.cli.engine import Engine
from mesh.cli.pulumi_cli import PulumiCli

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
