"""Preshared keys go to hosts by a post-quantum key exchange only, where the stack file asks for that."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.errors import HostsFailedError
from mesh.remote.concurrency import run
from mesh.remote.login import LoginRefusedError, dial, key_exchange_of
from mesh.remote.sessions import Fan, open_fan
from tests.engine.conftest import Maker
from tests.engine.stack import Stack
from tests.engine.test_login import FORCED, WORDS
from tests.sshd import Sshd, find_sshd, has_post_quantum_exchange, make_key, run_sshd

HOSTS = ["h1", "h2", "h3"]
HYBRID = "mlkem768x25519-sha256"
CLASSICAL = "curve25519-sha256"
needs_sshd = pytest.mark.skipif(
    find_sshd() is None or os.geteuid() != 0, reason="needs root and the package openssh-server"
)
needs_ml_kem = pytest.mark.skipif(not has_post_quantum_exchange(), reason="needs openssh-server 9.9 or later")


@pytest.fixture(scope="module")
def shared(make_stack: Maker) -> Stack:
    """Return a stack of three hosts."""
    return make_stack(len(HOSTS))


@pytest.fixture
def stack(shared: Stack) -> Stack:
    """Return that stack with a running mesh that asks for nothing, on hosts that offer the usual key exchanges."""
    become(shared, "h2", [])
    write(shared, required=False)
    shared.up()
    return shared


def become(stack: Stack, name: str, exchanges: list[str]) -> None:
    """Let a host offer these key exchanges."""
    stack.hosts[name].exchanges = exchanges
    stack.hosts.become(name, "well")


def write(stack: Stack, *, required: bool, **settings: Any) -> None:
    """Write one mesh of all hosts."""
    stack.write({"testwg": {"hosts": HOSTS, "deadline": 10, "requirePostQuantum": required, **settings}})


def preshared_keys(stack: Stack) -> set[str]:
    """Return what the hosts run."""
    kernels = [host.interfaces["testwg"].kernel or {} for host in stack.hosts.by_name.values()]
    return {key for kernel in kernels for key in kernel["preshared-keys"]}


def made(stack: Stack) -> dict[str, str]:
    """Return when each key of the state was made."""
    outputs = {name: resource.get("outputs", {}) for name, resource in stack.resources().items()}
    return {name: found["createdAt"] for name, found in outputs.items() if "createdAt" in found}


@pytest.mark.parametrize("unreachable", ["stop", "skip"])
def test_a_host_that_offers_none_is_refused_before_anything_changes(stack: Stack, unreachable: str) -> None:
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


def test_a_key_that_may_have_travelled_otherwise_serves_no_more(stack: Stack) -> None:
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


def test_the_status_tells_the_key_exchange_of_each_host(stack: Stack) -> None:
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
    stack: Stack, monkeypatch: pytest.MonkeyPatch
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


@pytest.fixture
def operator_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only key of this process."""
    key = make_key(tmp_path / "operator")
    monkeypatch.setenv("MESH_SSH_KEY_FILE", str(key))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return key


@pytest.fixture
def sshd(request: pytest.FixtureRequest, tmp_path: Path, operator_key: Path) -> Iterator[Sshd]:
    """Return OpenSSH's own server with these KexAlgorithms."""
    (tmp_path / "forced").write_text(FORCED)
    with run_sshd(tmp_path, f"KexAlgorithms {request.param}\nForceCommand sh {tmp_path / 'forced'}") as running:
        running.authorize(operator_key.with_suffix(".pub").read_text())
        yield running


def exchange(sshd: Sshd, *, post_quantum: bool) -> str:
    """Log in, and return by which key exchange."""

    async def log_in() -> str:
        way: Any = {"address": "127.0.0.1", "port": sshd.port, "user": "root", "sudo": False, "hostKey": sshd.host_key}
        connection = await dial(way, None, post_quantum=post_quantum)
        connection.close()
        return key_exchange_of(connection)

    return asyncio.run(log_in())


@needs_sshd
@pytest.mark.parametrize("sshd", [CLASSICAL, "ecdh-sha2-nistp256"], indirect=True)
def test_a_classical_openssh_is_logged_in_to_only_where_nothing_else_is_asked_for(sshd: Sshd) -> None:
    """It is told from a wrong key."""
    assert exchange(sshd, post_quantum=False) in {CLASSICAL, "ecdh-sha2-nistp256"}
    with pytest.raises(LoginRefusedError, match="offers no post-quantum key exchange"):
        exchange(sshd, post_quantum=True)


@needs_sshd
@needs_ml_kem
@pytest.mark.parametrize("sshd", [f"{CLASSICAL},{HYBRID}"], indirect=True)
def test_a_post_quantum_exchange_is_what_we_choose_of_what_openssh_offers(sshd: Sshd) -> None:
    """Whether it is asked for or not, and wherever it stands among the others."""
    assert exchange(sshd, post_quantum=False) == exchange(sshd, post_quantum=True) == HYBRID


@needs_sshd
@pytest.mark.parametrize("sshd", [CLASSICAL], indirect=True)
def test_nobody_logs_in_to_an_openssh_that_is_refused(make_stack: Maker, sshd: Sshd, operator_key: Path) -> None:
    """By the engine as users run it: not even the private key goes there."""
    stack = make_stack(2)
    stack.environment["MESH_SSH_KEY_FILE"] = str(operator_key)
    stack.write({"testwg": {"hosts": ["h1"], "requirePostQuantum": True}}, ["h1"], h1=way(sshd))
    outcome = stack.run("up", "--yes", "--skip-preview")
    assert outcome.code != 0
    assert "host 'h1': offers no post-quantum key exchange" in " ".join(outcome.text.split())
    assert "Accepted publickey" not in sshd.log
    assert all(not name.startswith("testwg") for name in stack.resources())


@needs_sshd
@needs_ml_kem
@pytest.mark.parametrize("sshd", [HYBRID], indirect=True)
def test_the_rollout_logs_in_to_an_openssh_that_offers_nothing_else(
    make_stack: Maker, sshd: Sshd, operator_key: Path
) -> None:
    """And the command plugin does; the forced command of this server has the last word."""
    stack = make_stack(2)
    stack.environment["MESH_SSH_KEY_FILE"] = str(operator_key)
    stack.write({"testwg": {"hosts": ["h1"], "requirePostQuantum": True}}, ["h1"], h1=way(sshd))
    outcome = stack.run("up", "--yes", "--skip-preview")
    assert WORDS in outcome.text
    assert "post-quantum" not in outcome.text
    assert "testwg/h1/enrol" in stack.resources()


def way(sshd: Sshd) -> dict[str, Any]:
    """Return what a stack file says of it."""
    return {"port": sshd.port, "hostKey": sshd.host_key}
