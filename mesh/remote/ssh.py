"""One SSH connection: how it is opened, what its failures mean, and a host's public key.

Commands on it belong to `commands`, many hosts at once and sessions with the host program to `sessions`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncssh

from mesh.config.models import Connection
from mesh.errors import UnreachableHostError
from mesh.remote import credentials
from mesh.remote.ssh_errors import KEY_REFUSED, OTHER_HOST_KEY

__all__ = [
    "COMMAND_SECONDS",
    "CONNECT_SECONDS",
    "HostKey",
    "connected",
    "dial",
    "explain",
    "fetch_host_key",
    "fingerprint",
    "meet",
    "open_bastion",
]

# Opens a stream to an address and a port: what is read from, and what is written to.
Dial = Callable[[str, int], Awaitable[tuple[Any, Any]]]

CONNECT_SECONDS = 15
COMMAND_SECONDS = 30
_HOST_KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")


@dataclass(frozen=True, slots=True)
class HostKey:
    """A host's public key as the stack file holds it, and its fingerprint as `ssh-keygen -l` prints it."""

    line: str
    fingerprint: str

    @property
    def type(self) -> str:
        """The key's type, such as ssh-ed25519."""
        return self.line.split()[0]


async def dial(connection: Connection, tunnel: asyncssh.SSHClientConnection | None) -> asyncssh.SSHClientConnection:
    """Return an authenticated connection to the very host that `connection` names, whose key is pinned there.

    Raises:
        OSError, asyncssh.Error, ValueError: As they come; `explain` words them.
    """
    async with AsyncExitStack() as agent:
        return await _connect(connection, tunnel, await _identities(agent))


async def _identities(stack: AsyncExitStack) -> Sequence[Any] | None:
    """Return what to log in with: the named key file, else the keys of the agent, which `stack` keeps open.

    asyncssh is given the keys themselves: it takes None for "no public-key authentication", its agent included, and
    an empty list for the files of ~/.ssh.
    """
    if key := credentials.key_file():
        return [key]
    path = credentials.agent_path()
    if path is None:
        return None
    agent = asyncssh.SSHAgentClient(path)
    stack.push_async_callback(agent.wait_closed)
    stack.callback(agent.close)
    return await agent.get_keys() or None


async def _connect(
    connection: Connection, tunnel: asyncssh.SSHClientConnection | None, identities: Sequence[Any] | None
) -> asyncssh.SSHClientConnection:
    return await asyncssh.connect(
        connection["address"],
        int(connection["port"]),
        username=connection["user"],
        known_hosts=asyncssh.import_known_hosts(f"* {connection['hostKey']}\n"),
        client_keys=identities,
        agent_path=None,
        tunnel=tunnel or (),
        config=None,
        preferred_auth="publickey",
        compression_algs=None,
        # A sixth (small packets) to a third (large ones) of the operator's time that asyncssh's own first choice takes.
        encryption_algs="^aes256-gcm@openssh.com",
        keepalive_interval=10,
        keepalive_count_max=3,
    )


async def meet(connection: Connection, tunnel: asyncssh.SSHClientConnection | None) -> None:
    """Begin a new connection as far as the host's key, which has to be the pinned one, and end it there.

    It shows that new connections reach this very host for less than half of what a login costs it (25 of 60 ms).

    Raises:
        OSError, asyncssh.Error, ValueError: As they come; `explain` words them.
    """
    key = await asyncssh.get_server_host_key(
        connection["address"],
        int(connection["port"]),
        tunnel=tunnel or (),
        server_host_key_algs=[connection["hostKey"].split()[0]],
        config=None,
    )
    if key is None or key != asyncssh.import_public_key(connection["hostKey"]):
        raise asyncssh.HostKeyNotVerifiable("another host key")


def explain(error: Exception) -> str:
    """Return what an error of a connection means and what to do."""
    match error:
        case TimeoutError():
            return f"does not answer SSH within {CONNECT_SECONDS} seconds; check that it runs and its address is right"
        case asyncssh.HostKeyNotVerifiable():
            return OTHER_HOST_KEY
        case asyncssh.PermissionDenied():
            return KEY_REFUSED
        case asyncssh.ConnectionLost() | asyncssh.DisconnectError() | BrokenPipeError():
            return f"closed the SSH connection ({error}); run pulumi up again"
        case OSError():
            return f"cannot be reached ({error.strerror or error}); check ssh.address and ssh.port"
        case _:
            return f"SSH failed ({type(error).__name__}: {error}); check the host's SSH"


def fingerprint(line: str) -> str:
    """Return the SHA256 fingerprint of a public key, or an empty text for what is none."""
    try:
        return asyncssh.import_public_key(line).get_fingerprint()
    except asyncssh.KeyImportError:
        return ""


@asynccontextmanager
async def _bounded(host: str, seconds: float) -> AsyncIterator[AsyncExitStack]:
    try:
        async with asyncio.timeout(seconds), AsyncExitStack() as stack:
            yield stack
    except (OSError, TimeoutError, asyncssh.Error, ValueError) as error:
        raise UnreachableHostError(host, explain(error)) from None


@asynccontextmanager
async def open_bastion(bastion: Connection) -> AsyncIterator[Dial]:
    """Connect to a bastion and return what opens a stream from there to an address and a port; OSError if it cannot.

    Raises:
        UnreachableHostError: If the bastion does not let us in.
    """
    try:
        connection = await asyncio.wait_for(dial(bastion, None), CONNECT_SECONDS)
    except (OSError, TimeoutError, asyncssh.Error, ValueError) as error:
        raise UnreachableHostError(f"bastion {bastion['address']}", explain(error)) from None

    async def stream(address: str, port: int) -> tuple[Any, Any]:
        try:
            return await connection.open_connection(address, port)
        except asyncssh.Error as error:
            raise OSError(f"from its bastion: {error.reason}") from None

    try:
        yield stream
    finally:
        connection.close()


async def _tunnel(stack: AsyncExitStack, connection: Connection) -> asyncssh.SSHClientConnection | None:
    bastion = connection.get("bastion")
    return await stack.enter_async_context(await dial(bastion, None)) if bastion else None


async def fetch_host_key(host: str, connection: Connection) -> HostKey:
    """Return the key that `host` shows, of the pinned key's type where it has one; nothing is verified but a bastion.

    Raises:
        UnreachableHostError: If it, or its bastion, does not answer.
    """
    pinned = (connection.get("hostKey") or "").partition(" ")[0]
    # A host has a key of each type: asking for another type than the pinned one would look like a changed key.
    types = sorted(_HOST_KEY_TYPES, key=lambda name: name != pinned)
    async with _bounded(host, CONNECT_SECONDS) as stack:
        key = await asyncssh.get_server_host_key(
            connection["address"],
            int(connection["port"]),
            tunnel=await _tunnel(stack, connection) or (),
            server_host_key_algs=types,
            config=None,
        )
    if key is None:
        raise UnreachableHostError(host, "shows no SSH host key; check ssh.address and ssh.port")
    words = key.export_public_key().decode().split()
    return HostKey(f"{words[0]} {words[1]}", key.get_fingerprint())


@asynccontextmanager
async def connected(host: str, connection: Connection) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """Log in to `host`, by its bastion if it has one, and keep the connection for as long as the context.

    Raises:
        UnreachableHostError: If it, or its bastion, does not let us in, or the connection breaks.
    """
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                opened = await stack.enter_async_context(await dial(connection, await _tunnel(stack, connection)))
        except (OSError, TimeoutError, asyncssh.Error, ValueError) as error:
            raise UnreachableHostError(host, explain(error)) from None
        try:
            yield opened
        except (OSError, asyncssh.Error) as error:
            raise UnreachableHostError(host, explain(error)) from None
