"""Both ends of the SSH agent protocol (draft-ietf-sshm-ssh-agent), as far as logging in needs it: list and sign.

`list_identities` asks the operator's agent. `serve` is an agent of our own, for the command plugin, which knows no
other way to a key. It ends with this process, and has what the operator's agent holds signed there.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from mesh.progress import announce
from mesh.remote.concurrency import begin_in_thread
from mesh.remote.identities import Identity, SigningError
from mesh.remote.ssh_errors import UNWILLING_AGENT
from mesh.remote.wire import pack, unpack

__all__ = ["AgentIdentity", "list_identities", "serve"]

_FAILURE = b"\x05"
_LIST, _IDENTITIES = b"\x0b", b"\x0c"
_SIGN, _SIGNATURE = b"\x0d", b"\x0e"
# An agent that is there answers at once, and one that asks its owner, or wants a key touched, waits for a person.
_LIST_SECONDS, _SIGN_SECONDS = 5, 60
# After which a person is told of a wait, and is told again.
_PATIENCE_SECONDS, _SILENCE_SECONDS = 4, 60
# As much as OpenSSH's agent takes.
_LONGEST = 256 * 1024


# Keys that the agent has not signed with when it was asked last.
_unwilling: set[bytes] = set()
_told_at = float("-inf")


@dataclass(frozen=True)
class AgentIdentity:
    """A key in the agent at `socket`; `blob` may be a certificate for the key `held` there."""

    blob: bytes
    comment: str
    socket: str
    held: bytes

    def sign(self, data: bytes, flags: int) -> bytes:
        """Have the agent sign."""
        try:
            signature = self._ask_to_sign(data, flags)
        except SigningError:
            _unwilling.add(self.held)
            raise
        _unwilling.discard(self.held)
        return signature

    def _ask_to_sign(self, data: bytes, flags: int) -> bytes:
        request = _SIGN + pack(self.held, data) + flags.to_bytes(4, "big")
        try:
            answer = _ask(self.socket, request, _SIGN_SECONDS, _tell_of_wait)
            if answer[:1] == _SIGNATURE:
                return next(unpack(answer[1:], 1))
        except TimeoutError:
            raise SigningError(UNWILLING_AGENT) from None
        except (OSError, ValueError) as error:
            raise SigningError(f"the ssh-agent does not answer ({error}); see whether ssh-add -l does") from None
        raise SigningError(UNWILLING_AGENT)


def _tell_of_wait() -> None:
    """Say once for all who wait that it is the agent that is waited for."""
    global _told_at  # noqa: PLW0603 - one terminal, one line
    now = time.monotonic()
    if now - _told_at > _SILENCE_SECONDS:
        _told_at = now
        announce("SSH", ["waiting for the ssh-agent to sign a login; it may want the key touched, or a confirmation"])


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ValueError("it hung up")
        data += piece
    return data


def _ask(path: str, message: bytes, seconds: float, tell: Callable[[], None] | None = None) -> bytes:
    """Return what the agent answers in time; if it takes long, `tell` whoever waits."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        connection.connect(path)
        connection.sendall(pack(message))
        if tell:
            connection.settimeout(_PATIENCE_SECONDS)
            try:
                connection.recv(1, socket.MSG_PEEK)
            except TimeoutError:
                tell()
            connection.settimeout(seconds)
        size = int.from_bytes(_receive(connection, 4), "big")
        if size > _LONGEST:
            raise ValueError("it is no agent")
        return _receive(connection, size)


def list_identities(path: str) -> list[AgentIdentity]:
    """Return what the agent at the socket `path` holds, in its order.

    Raises:
        OSError, ValueError: If nothing answers there as an agent.
    """
    answer = _ask(path, _LIST, _LIST_SECONDS)
    if answer[:1] != _IDENTITIES:
        raise ValueError("it lists nothing")
    count = int.from_bytes(answer[1:5], "big")
    if count > len(answer) // 8:
        raise ValueError("it is no agent")
    *fields, _ = unpack(answer[5:], 2 * count)
    pairs = zip(fields[::2], fields[1::2], strict=True)
    return [AgentIdentity(blob, comment.decode(errors="replace"), path, blob) for blob, comment in pairs]


class _Signers:
    """Threads that sign; other than those of an executor, they do so until the process ends."""

    def __init__(self, count: int) -> None:
        self._asked: SimpleQueue[tuple[Callable[[], bytes], Future[bytes]]] = SimpleQueue()
        for _ in range(count):
            Thread(target=self._work, daemon=True, name="mesh-agent-signer").start()

    def _work(self) -> None:
        while True:
            sign, signature = self._asked.get()
            try:
                signature.set_result(sign())
            except Exception as error:  # noqa: BLE001 - it is of whoever asked
                signature.set_exception(error)

    async def sign(self, identity: Identity, data: bytes, flags: int) -> bytes:
        signature: Future[bytes] = Future()
        self._asked.put((lambda: identity.sign(data, flags), signature))
        return await asyncio.wrap_future(signature)


def serve(path: Path, identities: Sequence[Identity]) -> Callable[[], bool]:
    """Answer as an agent at the socket `path`, which its owner alone can open, for as long as this process lives.

    Return what tells whether somebody has asked for the keys, and may still want a signature.

    Raises:
        OSError: If there can be no socket.
    """
    logging_in: set[asyncio.StreamWriter] = set()
    begin_in_thread("mesh-agent", lambda ready: asyncio.run(_serve(path, identities, logging_in, ready)))
    return lambda: bool(logging_in)


async def _serve(
    path: Path, identities: Sequence[Identity], logging_in: set[asyncio.StreamWriter], ready: Callable[[], None]
) -> None:
    by_blob = {identity.blob: identity for identity in identities}
    # A key that has to be touched is asked for one signature at a time, and must not hold up those that are not.
    signers = _Signers(4)

    async def answer(message: bytes) -> bytes:
        if message[:1] == _LIST:
            # The plugin gives up at the first key that a host accepts and that does not sign.
            willing = sorted(identities, key=lambda identity: getattr(identity, "held", b"") in _unwilling)
            listing = b"".join(pack(identity.blob, identity.comment.encode()) for identity in willing)
            return _IDENTITIES + len(willing).to_bytes(4, "big") + listing
        if message[:1] != _SIGN:
            return _FAILURE
        blob, data, flags = unpack(message[1:], 2)
        identity = by_blob.get(blob)
        if identity is None:
            return _FAILURE
        try:
            signature = await signers.sign(identity, data, int.from_bytes(flags[:4], "big"))
        except SigningError:
            return _FAILURE
        return _SIGNATURE + pack(signature)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while 0 < (size := int.from_bytes(await reader.readexactly(4), "big")) <= _LONGEST:
                message = await reader.readexactly(size)
                if message[:1] == _LIST:
                    logging_in.add(writer)
                said = await answer(message)
                writer.write(pack(said))
                await writer.drain()
                if said[:1] == _SIGNATURE:
                    logging_in.discard(writer)
        except (OSError, ValueError, asyncio.IncompleteReadError):
            pass
        finally:
            logging_in.discard(writer)
            writer.close()

    # It gets its name when it listens, so that no socket of this name that refuses can be alive.
    fresh = path.with_name(f"new-{path.name}")
    fresh.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(fresh))
    fresh.chmod(0o600)
    server = await asyncio.start_unix_server(talk, sock=listener, backlog=1024)
    fresh.replace(path)
    ready()
    await server.serve_forever()
