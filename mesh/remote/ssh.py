"""One SSH connection: how it is opened, what its failures mean, a host's public key, and a single command.

Many hosts at once, and sessions with the host program on them, belong to `fanout`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

import asyncssh

from mesh.errors import HostError, UnreachableHostError
from mesh.remote import credentials
from mesh.remote.concurrency import Connection
from mesh.remote.identities import Identity, SigningError
from mesh.remote.ssh_errors import FEW_TRIES, KEY_REFUSED, NO_KEY, OTHER_HOST_KEY, TOO_MANY_KEYS
from mesh.remote.wire import unpack

__all__ = [
    "COMMAND_SECONDS",
    "CONNECT_SECONDS",
    "HostKey",
    "dial",
    "explain",
    "fetch_host_key",
    "fingerprint",
    "meet",
    "open_bastion",
    "run_command",
]

# Opens a stream to an address and a port: what is read from, and what is written to.
Dial = Callable[[str, int], Awaitable[tuple[Any, Any]]]

CONNECT_SECONDS = 15
COMMAND_SECONDS = 30
_TRIES = 3
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

    An sshd takes a few keys in one connection only, so further ones are offered in a next; but in three at most, since
    OpenSSH turns away for a while whoever fails more often (PerSourcePenalties of sshd_config, from 9.8 on).

    Raises:
        OSError, asyncssh.Error, ValueError: As they come; `explain` words them.
    """
    known = credentials.load()
    offers = list(_batches(credentials.prefer(known.identities)))[:_TRIES]
    for batch in offers[:-1]:
        with suppress(asyncssh.PermissionDenied):
            return await _connect(connection, tunnel, batch)
    try:
        return await _connect(connection, tunnel, offers[-1] if offers else [])
    except asyncssh.PermissionDenied:
        if known.lack:
            raise LoginRefusedError(NO_KEY.format(lack=known.lack)) from None
        if len(known.identities) > _TRIES * credentials.OFFERED:
            raise LoginRefusedError(TOO_MANY_KEYS) from None
        raise


class LoginRefusedError(asyncssh.PermissionDenied):
    """A host lets nobody in with what we have; the reason is worded for the user."""


def _batches(identities: Sequence[Identity]) -> Iterator[Sequence[Identity]]:
    for start in range(0, len(identities), credentials.OFFERED):
        yield identities[start : start + credentials.OFFERED]


class _Signer:
    """What asyncssh takes for an agent that holds one key."""

    def __init__(self, identity: Identity, is_one_of_many: bool) -> None:
        self._identity = identity
        self._is_one_of_many = is_one_of_many

    def key_pair(self) -> asyncssh.SSHKeyPair:
        [kind, *_] = unpack(self._identity.blob, 1)
        agent = cast("asyncssh.SSHAgentClient", self)
        return asyncssh.SSHAgentKeyPair(agent, kind, self._identity.blob, self._identity.comment.encode())

    async def sign(self, _blob: bytes, data: bytes, flags: int = 0) -> bytes:
        """Sign, which is asked for only when the host accepts the key."""
        if self._is_one_of_many:
            credentials.remember(self._identity)
        try:
            return await asyncio.to_thread(self._identity.sign, data, flags)
        except SigningError as error:
            raise ValueError(str(error)) from None


async def _connect(
    connection: Connection, tunnel: asyncssh.SSHClientConnection | None, identities: Sequence[Identity]
) -> asyncssh.SSHClientConnection:
    are_many = credentials.load().are_many
    return await asyncssh.connect(
        connection["address"],
        int(connection["port"]),
        username=connection["user"],
        known_hosts=asyncssh.import_known_hosts(f"* {connection['hostKey']}\n"),
        # asyncssh takes an empty list for the files of ~/.ssh, and None for no public keys at all.
        client_keys=[_Signer(identity, are_many).key_pair() for identity in identities] or None,
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
        case LoginRefusedError():
            return error.reason
        case asyncssh.PermissionDenied():
            return KEY_REFUSED
        case asyncssh.DisconnectError() if "Too many authentication failures" in error.reason:
            return FEW_TRIES
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


async def run_command(host: str, connection: Connection, command: str, payload: str = "") -> str:
    """Run one command on `host` with `payload` as its input and return its output.

    Raises:
        UnreachableHostError: If it, or its bastion, does not let us in.
        HostError: If the command fails; with the last line that it printed as an error.
    """
    async with _bounded(host, CONNECT_SECONDS + COMMAND_SECONDS) as stack:
        opened = await stack.enter_async_context(await dial(connection, await _tunnel(stack, connection)))
        done = await opened.run(command, input=payload, check=False)
    if done.exit_status != 0:
        noise = str(done.stderr or "").strip().splitlines()
        raise HostError(host, f"{command.split(maxsplit=1)[0]!r} failed ({noise[-1] if noise else 'without a word'})")
    return str(done.stdout or "")
