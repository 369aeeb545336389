"""Adopting: what is asked of hosts, shown and refused; the hosts are SSH servers on loopback."""

import asyncio
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncssh
import pytest
from rich.console import Console
from typer.testing import CliRunner

from mesh.cli import app as app_module
from mesh.cli.adopt import Adoption, key_fingerprint
from mesh.config.reader import read_configuration
from mesh.errors import HostsFailedError, MeshError
from mesh.wireguard.keys import generate_key_pair, generate_preshared_key
from tests.login_shell import hear
from tests.unit.scanned import OTHER_KEY

ONE, TWO = generate_key_pair(), generate_key_pair()
PRESHARED = generate_preshared_key()


def showconf(own: str, peer: str, preshared: str = PRESHARED) -> str:
    """Return what `wg showconf` prints."""
    return f"[Interface]\nListenPort = 51820\nPrivateKey = {own}\n\n[Peer]\nPublicKey = {peer}\n" + (
        f"PresharedKey = {preshared}\n" if preshared else ""
    )


class Welcoming(asyncssh.SSHServer):
    """Take everybody."""

    def begin_auth(self, username: str) -> bool:
        """Ask nobody for a key but root."""
        return username == "root"


Start = Callable[..., Adoption]


@pytest.fixture
def shown() -> io.StringIO:
    """Return what is printed."""
    return io.StringIO()


@pytest.fixture
def adopt(monkeypatch: pytest.MonkeyPatch, shown: io.StringIO) -> Iterator[Start]:
    """Return what makes an adoption from hosts that print the given texts."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.delenv("MESH_SSH_KEY_FILE", raising=False)
    key = asyncssh.generate_private_key("ssh-ed25519")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    servers: list[asyncssh.SSHAcceptor] = []

    async def listen(text: str) -> asyncssh.SSHAcceptor:
        async def answer(process: asyncssh.SSHServerProcess[str]) -> None:
            (await hear(process)).end(text.encode())

        return await asyncssh.listen(
            "127.0.0.1", 0, server_factory=Welcoming, server_host_keys=[key], process_factory=answer
        )

    async def end(server: asyncssh.SSHAcceptor) -> None:
        server.close()
        await server.wait_closed()

    def start(texts: dict[str, str], **options: Any) -> Adoption:
        hosts = {}
        for name, text in texts.items():
            servers.append(asyncio.run_coroutine_threadsafe(listen(text), loop).result(10))
            public = " ".join(key.export_public_key().decode().split()[:2])
            port = servers[-1].get_port()
            hosts[name] = {"ssh": {"address": "127.0.0.1", "port": port, "user": "mesh", "hostKey": public}}
        console = Console(file=shown, width=200)
        configuration = read_configuration(hosts, {"testwg": {"hosts": list(texts)}})
        return Adoption(configuration, console.print, options.pop("confirm", lambda _: None), **options)

    yield start
    for server in servers:
        asyncio.run_coroutine_threadsafe(end(server), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


BOTH = {
    "one": showconf(ONE.private_key, TWO.public_key),
    "two": showconf(TWO.private_key, ONE.public_key),
}


def test_the_keys_of_all_hosts_are_adopted_after_their_public_halves_were_shown(
    adopt: Start, shown: io.StringIO
) -> None:
    """No key itself is shown."""
    assert adopt(BOTH).run() == {"testwg/one": ONE.private_key, "testwg/two": TWO.private_key, "testwg": PRESHARED}
    text = shown.getvalue()
    assert ONE.public_key in text
    assert key_fingerprint(PRESHARED) in text
    assert [key for key in (ONE.private_key, TWO.private_key, PRESHARED) if key in text] == []


def test_a_host_without_the_interface_gets_a_new_key(adopt: Start, shown: io.StringIO) -> None:
    """As one that has just been added to the stack file."""
    assert adopt({**BOTH, "two": ""}).run() == {"testwg/one": ONE.private_key, "testwg": PRESHARED}
    assert "none yet; it gets a new one" in shown.getvalue()


@pytest.mark.parametrize("preshared", ["", "B" * 42 + "A="])
def test_preshared_keys_that_differ_are_left(adopt: Start, shown: io.StringIO, preshared: str) -> None:
    """The mesh gets one of its own, and that is said."""
    keys = adopt({**BOTH, "two": showconf(TWO.private_key, ONE.public_key, preshared)}).run()
    assert set(keys) == {"testwg/one", "testwg/two"}
    assert "its pairs differ" in shown.getvalue()


def test_one_host_can_be_adopted_alone(adopt: Start) -> None:
    """The others are not asked."""
    assert set(adopt({**BOTH, "two": "garbage"}, hosts=["one"]).run()) == {"testwg/one", "testwg"}


def test_a_no_adopts_nothing(adopt: Start) -> None:
    """Whoever asks raises."""

    def refuse(_: str) -> None:
        raise MeshError("adopt: not confirmed")

    with pytest.raises(MeshError, match="not confirmed"):
        adopt(BOTH, confirm=refuse).run()


def test_hosts_that_run_one_key_are_refused(adopt: Start) -> None:
    """Cloned machines; WireGuard would drop the peer in silence."""
    with pytest.raises(MeshError, match="testwg: hosts 'one' and 'two' run one key; each needs its own"):
        adopt({**BOTH, "two": showconf(ONE.private_key, TWO.public_key)}).run()


def test_what_cannot_be_read_is_named_without_the_text(adopt: Start) -> None:
    """It could be a key."""
    with pytest.raises(HostsFailedError) as caught:
        adopt({**BOTH, "two": f"[Interface]\nPrivateKey = {ONE.private_key}x\n"}).run()
    assert "host 'two': has a configuration that cannot be read: testwg:2: PrivateKey: not a" in str(caught.value)
    assert ONE.private_key not in str(caught.value)


def test_nothing_to_adopt_is_said(adopt: Start) -> None:
    """The mesh is not there yet, so up makes it."""
    with pytest.raises(MeshError, match="adopt: no host has any of these interfaces"):
        adopt({"one": "", "two": ""}).run()


@pytest.mark.parametrize(("what", "options"), [("interface", {"interfaces": ["x"]}), ("host", {"hosts": ["x"]})])
def test_an_unknown_name_is_refused(adopt: Start, what: str, options: dict[str, Any]) -> None:
    """Before any host is asked."""
    with pytest.raises(MeshError, match=f"adopt: 'x' is no {what} of the stack file; correct the name"):
        adopt(BOTH, **options).run()


def test_keys_are_not_taken_over_into_a_file_that_was_changed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that it holds were read before the question, and would be written again."""
    path = tmp_path / "Pulumi.test.yaml"
    host = f"{{ssh: {{address: 10.0.0.5, hostKey: {OTHER_KEY}}}}}"
    path.write_text(
        f"config:\n  mesh:hosts: {{bernard: {host}}}\n  mesh:interfaces: {{testwg: {{hosts: [bernard]}}}}\n"
    )
    encrypted = {"config": {"mesh:adopted": {"secure": "ours"}}}
    pulumi = SimpleNamespace(read_adopted=dict, encrypt=lambda *_: encrypted)

    def answer() -> dict[str, str]:
        path.write_text(f"{path.read_text()}  mesh:adopted: {{secure: other}}\n")
        return {"testwg/bernard": ONE.private_key}

    monkeypatch.setattr(app_module, "pulumi_of", lambda *_: pulumi)
    monkeypatch.setattr(app_module, "Adoption", lambda *_, **__: SimpleNamespace(run=answer))
    with pytest.raises(MeshError, match=r"Pulumi\.test\.yaml: was changed meanwhile, so nothing was written; run it"):
        CliRunner().invoke(app_module.app, ["adopt", str(path), "--yes"], catch_exceptions=False)
    assert path.read_text().endswith("  mesh:adopted: {secure: other}\n")
    assert "ours" not in path.read_text()
