"""A host that has refused our keys is not asked again in the same moment: sshd counts each refused login."""

import asyncio
from pathlib import Path

import asyncssh
import pytest

from mesh.config.connection import Connection
from mesh.remote import login
from tests.sshd import find_sshd, make_key, run_sshd

pytestmark = pytest.mark.skipif(find_sshd() is None, reason="there is no sshd on this machine")


def test_a_refused_login_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For all who ask in that moment, and no longer; with another key it is another login."""
    key, other = make_key(tmp_path / "key"), make_key(tmp_path / "other")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setenv("MESH_SSH_KEY_FILE", str(key))
    with run_sshd(tmp_path, "") as sshd:
        way: Connection = {
            "address": "127.0.0.1", "port": sshd.port, "user": "root", "sudo": False, "hostKey": sshd.host_key,
        }  # fmt: skip

        async def refused() -> None:
            with pytest.raises(asyncssh.PermissionDenied):
                await login.dial(way, None)

        for _ in range(3):
            asyncio.run(refused())
        assert sshd.log.count("Connection from") == 1
        monkeypatch.setenv("MESH_SSH_KEY_FILE", str(other))
        asyncio.run(refused())
        assert sshd.log.count("Connection from") == 2
        monkeypatch.setattr(login, "_REFUSED_SECONDS", 0)
        monkeypatch.setattr(login, "_refusals", {})
        asyncio.run(refused())
        asyncio.run(refused())
        assert sshd.log.count("Connection from") == 4
