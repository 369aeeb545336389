"""Preshared keys go to hosts by a post-quantum key exchange only, where the stack file asks for that."""

import json
from typing import Any

import pytest

from mesh.errors import HostsFailedError
from mesh.remote.concurrency import run
from mesh.remote.sessions import Fan, open_fan
from tests.engine.test_post_quantum import CLASSICAL, HYBRID
from tests.rehearsed.conftest import Maker
from tests.rehearsed.stack import RehearsedStack

HOSTS = ["h1", "h2", "h3"]


@pytest.fixture(scope="module")
def shared(make_stack: Maker) -> RehearsedStack:
    """Return a stack of three hosts."""
    return make_stack(len(HOSTS))


@pytest.fixture
def stack(shared: RehearsedStack) -> RehearsedStack:
    """Return that stack with a running mesh that asks for nothing, on hosts that offer the usual key exchanges."""
    become(shared, "h2", [])
    write(shared, required=False)
    shared.up()
    return shared


def become(stack: RehearsedStack, name: str, exchanges: list[str]) -> None:
    """Let a host offer these key exchanges."""
    stack.hosts[name].exchanges = exchanges
    stack.hosts.become(name, "well")


def write(stack: RehearsedStack, *, required: bool, **settings: Any) -> None:
    """Write one mesh of all hosts."""
    stack.write({"testwg": {"hosts": HOSTS, "deadline": 10, "requirePostQuantum": required, **settings}})


def preshared_keys(stack: RehearsedStack) -> set[str]:
    """Return what the hosts run."""
    kernels = [host.interfaces["testwg"].kernel or {} for host in stack.hosts.by_name.values()]
    return {key for kernel in kernels for key in kernel["preshared-keys"]}


def made(stack: RehearsedStack) -> dict[str, str]:
    """Return when each key of the state was made."""
    outputs = {name: resource.get("outputs", {}) for name, resource in stack.resources().items()}
    return {name: found["createdAt"] for name, found in outputs.items() if "createdAt" in found}


@pytest.mark.parametrize("unreachable", ["stop", "skip"])
def test_a_host_that_offers_none_is_refused_before_anything_changes(stack: RehearsedStack, unreachable: str) -> None:
    """It answers, so it is not skipped either; it is named, with what to do."""
    become(stack, "h2", [CLASSICAL])
    told, before = stack.hosts.orders, made(stack)
    write(stack, required=True, unreachable=unreachable)
    outcome = stack.run("up", "--yes", "--skip-preview")
    assert outcome.code != 0
    said = " ".join(outcome.text.split())
    assert "host 'h2': offers no post-quantum key exchange that this machine has too" in said
    assert "let KexAlgorithms of its sshd_config have mlkem768x25519-sha256" in said
    assert "host 'h1'" not in said
    assert stack.hosts.orders == told
    assert made(stack) == before


def test_a_key_that_may_have_travelled_otherwise_serves_no_more(stack: RehearsedStack) -> None:
    """It is regenerated once, comes back with no rotation, and stays when the demand ends."""
    classical = preshared_keys(stack)
    write(stack, required=True)
    told = stack.must("preview").text
    assert "preshared key is regenerated: it may have gone by a classical key exchange" in told
    assert "SSH key exchange for preshared keys: post-quantum only" in told
    stack.up()
    hybrid = preshared_keys(stack)
    assert len(hybrid) == 1
    assert hybrid.isdisjoint(classical)
    assert stack.changed() == {}
    for rotation in (2, 1):
        write(stack, required=True, rotation=rotation)
        stack.up()
    assert preshared_keys(stack) == hybrid
    write(stack, required=False)
    stack.up()
    assert preshared_keys(stack) == hybrid


def test_the_status_tells_the_key_exchange_of_each_host(stack: RehearsedStack) -> None:
    """Once where all have a post-quantum one, and for each host where one lacks it."""
    assert "post-quantum SSH yes" in stack.companion("status").output
    become(stack, "h2", [CLASSICAL])
    mixed = stack.companion("status").output
    assert "post-quantum SSH" in mixed
    assert "post-quantum SSH yes" not in mixed
    content = json.loads(stack.companion("status", "--json").output)["meshes"]["testwg"]
    assert {host["host"]: (host["keyExchange"], host["postQuantum"]) for host in content["hosts"]} == {
        "h1": (HYBRID, True),
        "h2": (CLASSICAL, False),
        "h3": (HYBRID, True),
    }


def test_sessions_that_carry_preshared_keys_are_opened_by_nothing_else(
    stack: RehearsedStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a host changed after the look at its offer."""
    become(stack, "h2", [CLASSICAL])
    monkeypatch.setenv("MESH_SSH_KEY_FILE", stack.environment["MESH_SSH_KEY_FILE"])
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    roster = stack.resources()["testwg/rollout"]["outputs"]["roster"]
    ways = {host: member["ssh"] for host, member in roster["members"].items()}

    async def begin() -> Fan:
        async with open_fan("testwg", ways, post_quantum=True) as fan:
            return fan

    with pytest.raises(HostsFailedError) as caught:
        run(begin)
    assert set(caught.value.failures) == {"h2"}
    assert "post-quantum" in caught.value.failures["h2"]
