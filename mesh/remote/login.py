"""Log in to a host: which keys are offered in which connection, and what it means when none is accepted.

`ssh` and `sessions` use the connection.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import asyncssh
from asyncssh.kex import get_kex_algs

from mesh.config.connection import Connection
from mesh.errors import MeshError
from mesh.remote import credentials
from mesh.remote.identities import Identity
from mesh.remote.listener import EXCHANGE, HungUpError, Listener, LoginRefusedError
from mesh.remote.signing import Login, Signer
from mesh.remote.ssh_errors import (
    MORE_ASKED,
    NO_LOGIN_KEY,
    NO_POST_QUANTUM,
    NOT_LET_IN,
    TOO_MANY_KEYS,
)

__all__ = [
    "CONNECT_SECONDS",
    "HungUpError",
    "LoginRefusedError",
    "dial",
    "is_post_quantum",
    "key_exchange_of",
    "post_quantum_exchanges",
]

CONNECT_SECONDS = 15
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
# A run asks a host several times, and a bastion for each of those behind it. sshd counts each refused login, for five
# seconds each (PerSourcePenalties), and those of one moment are one.
_REFUSED_SECONDS = 15.0
# By whom and where: until when, the reason, and of which kind it is.
_refusals: dict[tuple[object, ...], tuple[float, str, type[asyncssh.PermissionDenied]]] = {}


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
    return str(connection.get_extra_info(EXCHANGE, ""))


async def dial(
    connection: Connection, tunnel: asyncssh.SSHClientConnection | None, *, post_quantum: bool = False
) -> asyncssh.SSHClientConnection:
    """Return an authenticated connection to the host that `connection` names, whose key is pinned there.

    With `post_quantum`, only such a key exchange will do. A host that has just refused all keys is not asked again: its
    answer is given once more. It has `CONNECT_SECONDS` to let us in; time in which an agent signs is not counted.

    Raises:
        OSError, asyncssh.Error, ValueError: As they come; `explain` words them.
    """
    known = credentials.load()
    who = (*(str(connection.get(field)) for field in ("address", "port", "user", "hostKey", "bastion")), known)
    until, reason, kind = _refusals.get(who, (0.0, "", asyncssh.PermissionDenied))
    if time.monotonic() < until:
        raise kind(reason)
    exchanges = post_quantum_exchanges() if post_quantum else ()
    try:
        async with asyncio.timeout(CONNECT_SECONDS) as timeout:
            return await _offer(_Attempt(connection, tunnel, exchanges, Login(timeout)), known)
    except asyncssh.PermissionDenied as refusal:
        if type(refusal) is asyncssh.PermissionDenied or refusal.reason in (MORE_ASKED, NOT_LET_IN):
            _refusals[who] = time.monotonic() + _REFUSED_SECONDS, refusal.reason, type(refusal)
        raise


@dataclass(frozen=True)
class _Attempt:
    """A login that is tried, be it in several connections, one after another."""

    connection: Connection
    tunnel: asyncssh.SSHClientConnection | None
    exchanges: Sequence[str]
    login: Login


async def _offer(attempt: _Attempt, known: credentials.Credentials) -> asyncssh.SSHClientConnection:
    """Offer all keys.

    An sshd takes a few in one connection only, so further ones are offered in a next; but in three at most, since
    OpenSSH turns away an address for a while after more failures (PerSourcePenalties of sshd_config, from 9.8 on).
    """
    offers = list(_batches(credentials.prefer(known.identities)))[:_TRIES]
    for batch in offers or [()]:
        try:
            return await _connect(attempt, batch, known)
        except LoginRefusedError:
            raise
        except asyncssh.PermissionDenied as error:
            refusal = error
        if attempt.login.is_signed:
            break
    if words := attempt.login.explain_refusal():
        raise LoginRefusedError(words)
    if known.lack:
        raise LoginRefusedError(NO_LOGIN_KEY.format(lack=known.lack))
    if len(known.identities) > _TRIES * credentials.OFFERED:
        raise LoginRefusedError(TOO_MANY_KEYS)
    raise refusal


def _batches(identities: Sequence[Identity]) -> Iterator[Sequence[Identity]]:
    for start in range(0, len(identities), credentials.OFFERED):
        yield identities[start : start + credentials.OFFERED]


async def _connect(
    attempt: _Attempt, identities: Sequence[Identity], known: credentials.Credentials
) -> asyncssh.SSHClientConnection:
    signers = [Signer(identity, attempt.login, is_one_of_many=known.are_many) for identity in identities]
    # An sshd that has none of them hangs up, and that may overtake what it offers.
    left = _HEARINGS if attempt.exchanges else 0
    while True:
        listener = Listener(attempt.login, attempt.exchanges, attempt.connection["hostKey"])
        try:
            return await _open(listener, attempt, signers)
        except (asyncssh.PermissionDenied, asyncssh.HostKeyNotVerifiable):
            raise
        except asyncssh.KeyExchangeFailed as error:
            if attempt.exchanges and "key exchange algorithm" in error.reason:
                raise LoginRefusedError(NO_POST_QUANTUM) from None
            raise listener.explained(error) from None
        except (asyncssh.Error, OSError) as error:
            if not left or listener.obstacle is not None or not isinstance(error, asyncssh.ConnectionLost):
                raise listener.explained(error) from None
            left -= 1


async def _open(listener: Listener, attempt: _Attempt, signers: Sequence[Signer]) -> asyncssh.SSHClientConnection:
    connection = attempt.connection
    return await asyncssh.connect(
        connection["address"],
        int(connection["port"]),
        client_factory=lambda: listener,
        username=connection["user"],
        known_hosts=asyncssh.import_known_hosts(f"* {connection['hostKey']}\n"),
        # asyncssh takes an empty list for the files of ~/.ssh, and None for no public keys at all.
        client_keys=[signer.key_pair() for signer in signers] or None,
        agent_path=None,
        tunnel=attempt.tunnel or (),
        config=None,
        preferred_auth="publickey",
        # Without any, asyncssh's own, of which post-quantum ones come first.
        kex_algs=attempt.exchanges,
        compression_algs=None,
        # A sixth (small packets) to a third (large ones) of the operator's time that asyncssh's own first choice takes.
        encryption_algs="^aes256-gcm@openssh.com",
        keepalive_interval=10,
        keepalive_count_max=3,
    )
