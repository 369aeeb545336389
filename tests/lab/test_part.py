"""A part of a change: some hosts only, without a host that is dead, and without one that is gone for good."""

from typing import Any

import pytest

from tests.lab.lab import Lab
from tests.lab.stack import Stack, mesh_address, plug_in, wait_until

_YES = ("--", "--yes", "--skip-preview", "--non-interactive", "--color", "never")


@pytest.fixture
def stack(engine_stack: Stack) -> Stack:
    """Return a stack of the engine: `python -m mesh up` becomes pulumi, and targets are the engine's."""
    return engine_stack


def _mesh(lab: Lab, *without: str, **changes: Any) -> dict[str, Any]:
    return {"testwg": {"hosts": [name for name in lab.hosts if name not in without], "port": 51825, **changes}}


def test_only_some_hosts_take_new_keys_and_nobody_loses_a_peer(stack: Stack, lab: Lab) -> None:
    """The seed's `fleet --only bernard --only edgeworth deploy`; the next run is the third host's."""
    stack.write(_mesh(lab))
    stack.up()
    before = stack.running_public_keys("testwg")
    members = {name: {"rotation": 2} for name in ("bernard", "carol", "edgeworth")}
    stack.write(_mesh(lab, members=members))
    output = stack.companion("up", "--only", "bernard", "--only", "edgeworth", *_YES).output
    assert "testwg: confirmed on 4 hosts" in output
    after = stack.running_public_keys("testwg")
    assert {name for name in lab.hosts if before[name] != after[name]} == {"bernard", "edgeworth"}
    assert stack.silent("testwg") == []
    stack.up()
    last = stack.running_public_keys("testwg")
    assert {name for name in lab.hosts if last[name] != after[name]} == {"carol"}
    assert stack.silent("testwg") == []
    stack.up("--expect-no-changes")


def test_a_run_goes_on_without_a_dead_host_and_the_next_one_brings_it(stack: Stack, lab: Lab) -> None:
    """All keys change meanwhile; the host is named, and needs no special step when it is back."""
    stack.write(_mesh(lab))
    stack.up()
    before = stack.running_public_keys("testwg")
    lab.hosts["dora"].power_cut()
    stack.write(_mesh(lab, rotation=2))
    assert "host 'dora'" in stack.fail()
    outcome = stack.companion("up", "--skip-unreachable", *_YES)
    assert "dora is left out and gets its change when it is back" in outcome.output
    assert outcome.seconds < 60
    assert stack.resources()["testwg/rollout"]["pending"] == ["dora"]
    everybody, stack.interfaces = stack.interfaces, _mesh(lab, "dora")
    assert stack.silent("testwg") == []
    stack.interfaces = everybody
    plug_in(lab.hosts["dora"])
    # SSH may answer before the interface is up.
    wait_until(lambda: stack.running_public_keys("testwg").get("dora") == before["dora"], 60)
    stack.up()
    assert stack.resources()["testwg/rollout"]["pending"] == []
    running = {f"testwg/{name}/key": key for name, key in stack.running_public_keys("testwg").items()}
    assert running == stack.public_keys()
    assert stack.silent("testwg") == []
    stack.up("--expect-no-changes")


def test_a_host_that_is_forgotten_is_left_alone_and_reaches_nobody(stack: Stack, lab: Lab) -> None:
    """It comes back after all: its interface is up with the old keys, and no member answers it."""
    dora, bernard = lab.hosts["dora"], lab.hosts["bernard"]
    stack.write(_mesh(lab))
    stack.up()
    dora.power_cut()
    rest = {name: stack.describe(host) for name, host in lab.hosts.items() if name != "dora"}
    stack.write(_mesh(lab, "dora"), rest)
    assert "dora is not wiped" in stack.up().output
    stack.companion("forget", "dora")
    assert stack.resources()["testwg/rollout"]["notWiped"] == ["dora"]
    assert "dora is forgotten: runs no longer try to wipe it" in stack.up().output
    assert stack.resources()["testwg/rollout"]["notWiped"] == []
    plug_in(dora)
    wait_until(lambda: dora.run("wg show testwg public-key 2>/dev/null", check=False))
    stack.up("--expect-no-changes")
    assert dora.run("wg show testwg peers").split()
    for one, other in ((dora, "bernard"), (bernard, "dora")):
        assert "100% packet loss" in one.run(f"ping -6 -c 2 -W 1 {mesh_address(other, 'testwg')}", check=False)
    stack.destroy()
    assert dora.run("wg show testwg peers").split()
