"""One SSH connection: how it is opened, what its failures mean, and a host's public key.

`commands` runs commands on it; `sessions` holds many connections at once, with the host program.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncssh

from mesh.config.connection import HOST_KEY_TYPES, Connection
from mesh.errors import UnreachableHostError
from mesh.remote.login import CONNECT_SECONDS, HungUpError, LoginRefusedError, dial
from mesh.remote.reachability import FromBastionError
from mesh.remote.ssh_errors import (
    FORWARDING,
    KEY_REFUSED,
    NOTHING_SHARED,
    OTHER_HOST_KEY,
    explain_unreachable,
    explain_words,
)

__all__ = [
    "COMMAND_SECONDS",
    "CONNECT_SECONDS",
    "CutOffError",
    "ShownHostKey",
    "as_unreachable",
    "connected",
    "explain",
    "fetch_host_key",
    "find_refusal",
    "fingerprint",
    "open_bastion",
    "unless_cut_off",
]

# Opens a stream to an address and a port: what is read from, and what is written to.
Dial = Callable[[str, int], Awaitable[tuple[Any, Any]]]

COMMAND_SECONDS = 30
_PAUSES = (1, 2)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ShownHostKey:
    """A host's public key as the stack file holds it, and its fingerprint as `ssh-keygen -l` prints it."""

    line: str
    fingerprint: str

    @property
    def type(self) -> str:
        """The key's type, such as ssh-ed25519."""
        return self.line.split()[0]


class CutOffError(UnreachableHostError):
    """A host hung up without a reason, which a busy sshd does too (MaxStartups of sshd_config)."""


def as_unreachable(host: str, error: Exception) -> UnreachableHostError:
    """Return what to raise for an error of a connection to `host`."""
    is_cut_off = isinstance(error, asyncssh.ConnectionLost | ConnectionResetError | BrokenPipeError)
    if isinstance(error, HungUpError):
        is_cut_off = error.passes
    return (CutOffError if is_cut_off else UnreachableHostError)(host, explain(error))


async def unless_cut_off(log_in: Callable[[], Awaitable[T]]) -> T:
    """Log in, and twice more if that is cut off, as by a host or a bastion where others are just logging in."""
    for seconds in _PAUSES:
        try:
            return await log_in()
        except CutOffError:
            # Those who were cut off together do not come back together.
            await asyncio.sleep(seconds * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
    return await log_in()


def explain(error: Exception) -> str:
    """Return what an error of a connection means and what to do."""
    match error:
        case TimeoutError():
            return f"does not answer SSH within {CONNECT_SECONDS} seconds; check that it runs and its address is right"
        case asyncssh.HostKeyNotVerifiable():
            return OTHER_HOST_KEY
        case LoginRefusedError() | HungUpError():
            return error.reason
        case asyncssh.PermissionDenied():
            return KEY_REFUSED
        case asyncssh.ChannelOpenError(code=asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED):
            return FORWARDING
        case asyncssh.DisconnectError() if words := explain_words(error.reason):
            return words
        case asyncssh.KeyExchangeFailed():
            return NOTHING_SHARED
        case asyncssh.DisconnectError() | ConnectionResetError() | BrokenPipeError():
            return f"closed the SSH connection ({getattr(error, 'strerror', None) or error}); run it again"
        case OSError():
            return explain_unreachable(error)
        case _:
            return f"SSH failed ({type(error).__name__}: {error}); check the host's SSH"


def fingerprint(line: str) -> str:
    """Return the SHA256 fingerprint of a public key, or an empty text for what is none."""
    try:
        return asyncssh.import_public_key(line).get_fingerprint()
    except asyncssh.KeyImportError:
        return ""


@asynccontextmanager
async def open_bastion(bastion: Connection) -> AsyncIterator[Dial]:
    """Connect to a bastion and return what opens a stream from there to an address and a port; OSError if it cannot.

    Raises:
        UnreachableHostError: If the bastion does not let us in.
    """
    try:
        connection = await dial(bastion, None)
    except (OSError, asyncssh.Error, ValueError) as error:
        raise as_unreachable(f"bastion {bastion['address']}", error) from None

    async def stream(address: str, port: int) -> tuple[Any, Any]:
        with _told_of_bastion():
            reader, writer = await connection.open_connection(address, port)
        return _FromBastion(reader), writer

    try:
        yield stream
    finally:
        connection.close()


class _FromBastion:
    """What is read from a stream that a bastion opened."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    async def read(self, size: int) -> bytes:
        """Return what there is; FromBastionError if the bastion hangs up."""
        with _told_of_bastion():
            said: bytes = await self._reader.read(size)
        return said


@contextmanager
def _told_of_bastion() -> Iterator[None]:
    try:
        yield
    except asyncssh.ChannelOpenError as error:
        if error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
            raise FromBastionError(FORWARDING) from None
        raise FromBastionError(
            f"cannot be reached from its bastion ({error.reason}); check ssh.address and ssh.port"
        ) from None
    except asyncssh.Error as error:
        raise FromBastionError(f"its bastion {explain(error)}") from None


async def _tunnel(stack: AsyncExitStack, host: str, connection: Connection) -> asyncssh.SSHClientConnection | None:
    if not (bastion := connection.get("bastion")):
        return None
    try:
        return await stack.enter_async_context(await dial(bastion, None))
    except (OSError, asyncssh.Error, ValueError) as error:
        # Of the same kind, since another try may help where the bastion was busy.
        kind = type(as_unreachable(host, error))
        raise kind(host, f"its bastion {bastion['address']} {explain(error)}") from None


async def find_refusal(connection: Connection) -> str | None:
    """Log in and out again, and return why that fails; None if it does not.

    Raises:
        CutOffError: If the login is cut off, which is no reason.
    """
    try:
        async with connected("", connection):
            return None
    except CutOffError:
        raise
    except UnreachableHostError as error:
        return error.message


async def fetch_host_key(host: str, connection: Connection, known: Collection[str] = ()) -> ShownHostKey:
    """Return the key that `host` shows, of the pinned key's type, or a `known` one, where it has one.

    Nothing is verified but a bastion.

    Raises:
        UnreachableHostError: If it, or its bastion, does not answer.
    """
    pinned = (connection.get("hostKey") or "").partition(" ")[0]
    # A host has a key of each type: asking for another type than the pinned one would look like a changed key.
    types = sorted(HOST_KEY_TYPES, key=lambda name: name not in ({pinned} if pinned else known))
    try:
        async with AsyncExitStack() as stack:
            tunnel = await _tunnel(stack, host, connection)
            async with asyncio.timeout(CONNECT_SECONDS):
                key = await asyncssh.get_server_host_key(
                    connection["address"],
                    int(connection["port"]),
                    tunnel=tunnel or (),
                    server_host_key_algs=types,
                    config=None,
                )
    except (OSError, TimeoutError, asyncssh.Error, ValueError) as error:
        raise as_unreachable(host, error) from None
    if key is None:
        raise UnreachableHostError(host, "shows no SSH host key; check ssh.address and ssh.port")
    words = key.export_public_key().decode().split()
    return ShownHostKey(f"{words[0]} {words[1]}", key.get_fingerprint())


@asynccontextmanager
async def connected(host: str, connection: Connection) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """Log in to `host`, by its bastion if it has one, and keep the connection for as long as the context.

    Raises:
        UnreachableHostError: If it, or its bastion, does not let us in, or the connection breaks.
    """
    async with AsyncExitStack() as stack:
        try:
            opened = await stack.enter_async_context(await dial(connection, await _tunnel(stack, host, connection)))
        except (OSError, asyncssh.Error, ValueError) as error:
            raise as_unreachable(host, error) from None
        try:
            yield opened
        except (OSError, asyncssh.Error) as error:
            raise as_unreachable(host, error) from None
