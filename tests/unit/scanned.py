"""A host to be scanned: an SSH server on loopback, and a stack file that names it."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh
import pytest

from mesh.cli.scan import Scan
from mesh.cli.stack_file import StackFile
from tests.login_shell import hear

__all__ = ["ANSWER", "OTHER_KEY", "FakeHost", "running_host", "scan", "write"]

OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
ANSWER = """x86_64
2: eth0    inet 10.0.0.5/24 scope global eth0\\       valid_lft forever
2: eth0    inet 78.11.11.11/32 scope global eth0\\       valid_lft forever
2: eth0    inet6 2a01:4f8::5/64 scope global \\       valid_lft forever
2: eth0    inet6 2a01:4f8::77/64 scope global temporary dynamic \\       valid_lft 3600sec
3: wg0    inet6 fd00::1/64 scope global \\       valid_lft forever
"""


@dataclass
class FakeHost:
    """An SSH server that lets everybody in and gives one answer; `logins` counts the commands that it was given."""

    port: int = 0
    keys: list[asyncssh.SSHKey] = field(default_factory=list)
    logins: int = 0
    answer: str | bytes = ""
    noise: bytes = b""

    def public_key(self, number: int = 0) -> str:
        """Return a host key as a stack file holds it."""
        return " ".join(self.keys[number].export_public_key().decode().split()[:2])


class Welcoming(asyncssh.SSHServer):
    """Take every key, and forward for those behind us."""

    def begin_auth(self, username: str) -> bool:
        """Ask for none."""
        return username == "stranger"

    def connection_requested(self, *_: object) -> bool:
        """Be a bastion."""
        return True


@contextmanager
def running_host() -> Iterator[FakeHost]:
    """Run a host with an ed25519 and an ECDSA key, for an operator without keys, whom it lets in all the same."""
    fake = FakeHost(keys=[asyncssh.generate_private_key(kind) for kind in ("ssh-ed25519", "ecdsa-sha2-nistp256")])
    loop = asyncio.new_event_loop()

    async def answer(process: asyncssh.SSHServerProcess[bytes]) -> None:
        fake.logins += 1
        asked = await hear(process, fake.noise)
        asked.end(fake.answer if isinstance(fake.answer, bytes) else (fake.answer or ANSWER).encode())

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=Welcoming,
            server_host_keys=fake.keys,
            process_factory=answer,
            encoding=None,
        )

    async def end(server: asyncssh.SSHAcceptor) -> None:
        server.close()
        await server.wait_closed()

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    fake.port = server.get_port()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SSH_AUTH_SOCK", "MESH_SSH_KEY_FILE"):
            patch.delenv(name, raising=False)
        yield fake
    asyncio.run_coroutine_threadsafe(end(server), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def write(folder: Path, ssh: str, more: str = "") -> StackFile:
    """Write a stack file with one host and read it."""
    path = folder / "Pulumi.test.yaml"
    path.write_text(f"# mine\nconfig:\n  mesh:hosts:\n    bernard: # first\n{more}      ssh: {{{ssh}}}\n")
    return StackFile(path)


def scan(
    file: StackFile,
    *,
    accept_changed: bool = False,
    confirm: Callable[[str], None] = lambda _: None,
    show: Callable[[object], None] = lambda _: None,
) -> Scan:
    """Scan a whole file, saying yes to every question unless told otherwise."""
    done = Scan(file.select([]), show, confirm, accept_changed)
    done.run()
    return done
