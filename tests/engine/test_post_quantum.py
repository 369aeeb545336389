"""Preshared keys go to hosts by a post-quantum key exchange only, where the stack file asks for that."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.remote.login import LoginRefusedError, dial, key_exchange_of
from tests.engine.conftest import Maker
from tests.engine.test_login import FORCED, WORDS
from tests.sshd import Sshd, find_sshd, has_post_quantum_exchange, make_key, run_sshd

HYBRID = "mlkem768x25519-sha256"
CLASSICAL = "curve25519-sha256"
needs_sshd = pytest.mark.skipif(
    find_sshd() is None or os.geteuid() != 0, reason="needs root and the package openssh-server"
)
needs_ml_kem = pytest.mark.skipif(not has_post_quantum_exchange(), reason="needs openssh-server 9.9 or later")


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
