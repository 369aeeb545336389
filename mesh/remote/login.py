"""Log in to a host: which keys are offered in which connection, and what it means when none is accepted.

`ssh` and `sessions` use the connection.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import cast

import asyncssh

from mesh.config.models import Connection
from mesh.remote import credentials
from mesh.remote.identities import Identity, SigningError
from mesh.remote.ssh_errors import NO_LOGIN_KEY, TOO_MANY_KEYS, explain_words
from mesh.remote.wire import unpack

__all__ = ["LoginRefusedError", "dial"]

_TRIES = 3


async def dial(connection: Connection, tunnel: asyncssh.SSHClientConnection | None) -> asyncssh.SSHClientConnection:
    """Return an authenticated connection to the very host that `connection` names, whose key is pinned there.

    An sshd takes a few keys in one connection only, so further ones are offered in a next; but in three at most, since
    OpenSSH turns away an address for a while after more failures (PerSourcePenalties of sshd_config, from 9.8 on).

    Raises:
        OSError, asyncssh.Error, ValueError: As they come; `explain` words them.
    """
    known = credentials.load()
    offers = list(_batches(credentials.prefer(known.identities)))[:_TRIES]
    for batch in offers[:-1]:
        try:
            return await _connect(connection, tunnel, batch)
        except LoginRefusedError:
            raise
        except asyncssh.PermissionDenied:
            continue
    try:
        return await _connect(connection, tunnel, offers[-1] if offers else [])
    except asyncssh.PermissionDenied:
        if known.lack:
            raise LoginRefusedError(NO_LOGIN_KEY.format(lack=known.lack)) from None
        if len(known.identities) > _TRIES * credentials.OFFERED:
            raise LoginRefusedError(TOO_MANY_KEYS) from None
        raise


class LoginRefusedError(asyncssh.PermissionDenied):
    """A host refuses every key that we have; the reason is for the user to read."""


def _batches(identities: Sequence[Identity]) -> Iterator[Sequence[Identity]]:
    for start in range(0, len(identities), credentials.OFFERED):
        yield identities[start : start + credentials.OFFERED]


class _KeyPair(asyncssh.SSHAgentKeyPair):
    def set_sig_algorithm(self, sig_algorithm: bytes) -> None:
        """Name an RSA certificate by SHA-2 at once (RFC 8332).

        asyncssh tries the name of SHA-1 first, which costs one of the few tries, and gives up there if it is the last.
        """
        super().set_sig_algorithm(sig_algorithm)
        if self.has_cert and sig_algorithm.startswith(b"rsa-"):
            self.algorithm = sig_algorithm + b"-cert-v01@openssh.com"


class _Signer:
    """What asyncssh takes for an agent that holds one key."""

    def __init__(self, identity: Identity, is_one_of_many: bool) -> None:
        self._identity = identity
        self._is_one_of_many = is_one_of_many

    def key_pair(self) -> asyncssh.SSHKeyPair:
        [kind, *_] = unpack(self._identity.blob, 1)
        agent = cast("asyncssh.SSHAgentClient", self)
        return _KeyPair(agent, kind, self._identity.blob, self._identity.comment.encode())

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
    client = _Client()
    try:
        return await _open(client, connection, tunnel, [_Signer(identity, are_many) for identity in identities])
    except (asyncssh.Error, OSError) as error:
        # sshd says in a banner why PAM lets nobody in, and hangs up.
        if isinstance(error, asyncssh.PermissionDenied) or not (words := explain_words(client.banner)):
            raise
        raise LoginRefusedError(words) from None


class _Client(asyncssh.SSHClient):
    """Keeps what a host says while we log in."""

    banner = ""

    def auth_banner_received(self, msg: str, lang: str) -> None:  # noqa: ARG002 - asyncssh's signature
        """Keep it."""
        self.banner = f"{self.banner}{msg}"[:4096]


async def _open(
    client: _Client,
    connection: Connection,
    tunnel: asyncssh.SSHClientConnection | None,
    signers: Sequence[_Signer],
) -> asyncssh.SSHClientConnection:
    return await asyncssh.connect(
        connection["address"],
        int(connection["port"]),
        client_factory=lambda: client,
        username=connection["user"],
        known_hosts=asyncssh.import_known_hosts(f"* {connection['hostKey']}\n"),
        # asyncssh takes an empty list for the files of ~/.ssh, and None for no public keys at all.
        client_keys=[signer.key_pair() for signer in signers] or None,
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
