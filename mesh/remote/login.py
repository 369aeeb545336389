"""Log in to a host: which keys are offered in which connection, and what it means when none is accepted.

`ssh` and `sessions` use the connection.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import cast

import asyncssh
from asyncssh.kex import get_kex_algs

from mesh.config.connection import Connection
from mesh.errors import MeshError
from mesh.remote import credentials
from mesh.remote.identities import Identity, SigningError
from mesh.remote.ssh_errors import NO_LOGIN_KEY, NO_POST_QUANTUM, TOO_MANY_KEYS, explain_words
from mesh.remote.wire import unpack

__all__ = ["LoginRefusedError", "dial", "is_post_quantum", "key_exchange_of", "post_quantum_exchanges"]

_TRIES = 3
_HEARINGS = 6
# Each with a classical part beside it, so that breaking either alone is not enough; sntrup761 needs liboqs here.
_POST_QUANTUM = (
    "mlkem768x25519-sha256",
    "mlkem768nistp256-sha256",
    "mlkem1024nistp384-sha384",
    "sntrup761x25519-sha512",
    "sntrup761x25519-sha512@openssh.com",
)
_EXCHANGE = "key_exchange"
# A run asks a host several times, and a bastion for each of those behind it. sshd counts each refused login, for five
# seconds each (PerSourcePenalties), and those of one moment are one.
_REFUSED_SECONDS = 15.0
# By whom and where: until when, and the reason.
_refusals: dict[tuple[object, ...], tuple[float, str]] = {}


def is_post_quantum(key_exchange: str) -> bool:
    """Tell whether what it agrees on stays secret from a quantum computer of later days."""
    return key_exchange in _POST_QUANTUM


def post_quantum_exchanges() -> tuple[str, ...]:
    """Return the post-quantum key exchanges that SSH has on this machine.

    Raises:
        MeshError: If it has none.
    """
    ours = {name.decode() for name in get_kex_algs()}
    if found := tuple(name for name in _POST_QUANTUM if name in ours):
        return found
    raise MeshError(
        "SSH: this machine has no post-quantum key exchange, and requirePostQuantum asks for one; install cryptography "
        "from PyPI, whose wheels have ML-KEM, or liboqs"
    )


def key_exchange_of(connection: asyncssh.SSHClientConnection) -> str:
    """Return by which key exchange a connection began, as sshd_config names it; empty if that is not known."""
    return str(connection.get_extra_info(_EXCHANGE, ""))


async def dial(
    connection: Connection, tunnel: asyncssh.SSHClientConnection | None, *, post_quantum: bool = False
) -> asyncssh.SSHClientConnection:
    """Return an authenticated connection to the host that `connection` names, whose key is pinned there.

    With `post_quantum`, only such a key exchange will do. A host that has just refused all keys is not asked again: its
    answer is given once more.

    Raises:
        OSError, asyncssh.Error, ValueError: As they come; `explain` words them.
    """
    known = credentials.load()
    who = (*(str(connection.get(field)) for field in ("address", "port", "user", "hostKey", "bastion")), known)
    until, reason = _refusals.get(who, (0.0, ""))
    if time.monotonic() < until:
        raise asyncssh.PermissionDenied(reason)
    try:
        return await _offer(connection, tunnel, known, post_quantum_exchanges() if post_quantum else ())
    except LoginRefusedError:
        raise
    except asyncssh.PermissionDenied as refusal:
        _refusals[who] = time.monotonic() + _REFUSED_SECONDS, refusal.reason
        raise


async def _offer(
    connection: Connection,
    tunnel: asyncssh.SSHClientConnection | None,
    known: credentials.Credentials,
    exchanges: Sequence[str],
) -> asyncssh.SSHClientConnection:
    """Offer all keys.

    An sshd takes a few in one connection only, so further ones are offered in a next; but in three at most, since
    OpenSSH turns away an address for a while after more failures (PerSourcePenalties of sshd_config, from 9.8 on).
    """
    offers = list(_batches(credentials.prefer(known.identities)))[:_TRIES]
    for batch in offers[:-1]:
        try:
            return await _connect(connection, tunnel, batch, exchanges)
        except LoginRefusedError:
            raise
        except asyncssh.PermissionDenied:
            continue
    try:
        return await _connect(connection, tunnel, offers[-1] if offers else [], exchanges)
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
    connection: Connection,
    tunnel: asyncssh.SSHClientConnection | None,
    identities: Sequence[Identity],
    exchanges: Sequence[str],
) -> asyncssh.SSHClientConnection:
    are_many = credentials.load().are_many
    signers = [_Signer(identity, are_many) for identity in identities]
    client = _Client()
    try:
        # An sshd without any of these hangs up, and that may overtake what it offers.
        for _ in range(_HEARINGS if exchanges else 0):
            with suppress(asyncssh.ConnectionLost):
                return await _open(client, connection, tunnel, signers, exchanges)
        return await _open(client, connection, tunnel, signers, exchanges)
    except asyncssh.KeyExchangeFailed as error:
        if exchanges and "key exchange algorithm" in error.reason:
            raise LoginRefusedError(NO_POST_QUANTUM) from None
        raise
    except (asyncssh.Error, OSError) as error:
        # sshd says in a banner why PAM lets nobody in, and hangs up.
        if isinstance(error, asyncssh.PermissionDenied) or not (words := explain_words(client.banner)):
            raise
        raise LoginRefusedError(words) from None


class _Client(asyncssh.SSHClient):
    """Keeps what a host says while we log in, and which key exchange is chosen."""

    banner = ""

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Look at the key exchange while the host's key is checked: asyncssh forgets it then, and tells nobody.

        It only shows; which ones are accepted is said to asyncssh in its own words.
        """
        validate = conn.validate_server_host_key

        def look(key_data: bytes) -> asyncssh.SSHKey:
            exchange = getattr(getattr(conn, "_kex", None), "algorithm", b"")
            conn.set_extra_info(**{_EXCHANGE: exchange.decode("ascii", "replace")})
            return validate(key_data)

        conn.validate_server_host_key = look  # type: ignore[method-assign]

    def auth_banner_received(self, msg: str, lang: str) -> None:  # noqa: ARG002 - asyncssh's signature
        """Keep it."""
        self.banner = f"{self.banner}{msg}"[:4096]


async def _open(
    client: _Client,
    connection: Connection,
    tunnel: asyncssh.SSHClientConnection | None,
    signers: Sequence[_Signer],
    exchanges: Sequence[str],
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
        # Without any, asyncssh's own, of which post-quantum ones come first.
        kex_algs=exchanges,
        compression_algs=None,
        # A sixth (small packets) to a third (large ones) of the operator's time that asyncssh's own first choice takes.
        encryption_algs="^aes256-gcm@openssh.com",
        keepalive_interval=10,
        keepalive_count_max=3,
    )
