"""Sign logins: what becomes of the signatures of one, whose time that takes, and what a refusal after that means."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import cast

import asyncssh

from mesh.remote import credentials
from mesh.remote.concurrency import LOGINS_AT_ONCE
from mesh.remote.identities import Identity, SigningError
from mesh.remote.ssh_errors import MORE_ASKED, NOT_LET_IN, UNSIGNED
from mesh.remote.wire import unpack

__all__ = ["Login", "Signer"]

# What an agent asks its owner about, it asks one after another, and each has a minute from when it is sent.
_turns = BoundedSemaphore(LOGINS_AT_ONCE)


@dataclass
class Login:
    """What becomes of the signatures of one login, which the host has to answer before `timeout`."""

    timeout: asyncio.Timeout
    is_signing: bool = False
    is_signed: bool = False
    asks_for_more: bool = False
    unsigned: str = ""

    def explain_refusal(self) -> str:
        """Return why a host that accepts a key does not let us in; empty if it accepts none."""
        if self.is_signed:
            return MORE_ASKED if self.asks_for_more else NOT_LET_IN
        return UNSIGNED.format(reason=self.unsigned) if self.unsigned else ""

    @contextmanager
    def not_counted(self) -> Iterator[None]:
        """Stop the clock: this time is the agent's, which may wait for a person, and not the host's."""
        loop = asyncio.get_running_loop()
        left = (self.timeout.when() or loop.time()) - loop.time()
        # It may have run out, or the login may have ended, which the waiting outlives.
        with suppress(RuntimeError):
            self.timeout.reschedule(None)
        try:
            yield
        finally:
            with suppress(RuntimeError):
                self.timeout.reschedule(loop.time() + left)


class _KeyPair(asyncssh.SSHAgentKeyPair):
    def set_sig_algorithm(self, sig_algorithm: bytes) -> None:
        """Name an RSA certificate by SHA-2 at once (RFC 8332).

        asyncssh tries the name of SHA-1 first, which costs one of the few tries, and gives up there if it is the last.
        """
        super().set_sig_algorithm(sig_algorithm)
        if self.has_cert and sig_algorithm.startswith(b"rsa-"):
            self.algorithm = sig_algorithm + b"-cert-v01@openssh.com"


class Signer:
    """What asyncssh takes for an agent that holds one key."""

    def __init__(self, identity: Identity, login: Login, *, is_one_of_many: bool) -> None:
        """Sign by `identity` for `login`; of many, the one that is accepted is remembered."""
        self._identity = identity
        self._login = login
        self._is_one_of_many = is_one_of_many

    def key_pair(self) -> asyncssh.SSHKeyPair:
        """Return it as asyncssh takes it."""
        [kind, *_] = unpack(self._identity.blob, 1)
        agent = cast("asyncssh.SSHAgentClient", self)
        return _KeyPair(agent, kind, self._identity.blob, self._identity.comment.encode())

    async def sign(self, _blob: bytes, data: bytes, flags: int = 0) -> bytes:
        """Sign, which is asked for only when the host accepts the key."""
        if self._is_one_of_many:
            credentials.remember(self._identity)
        # It stays so if the host hangs up meanwhile.
        self._login.is_signing = True
        try:
            with self._login.not_counted():
                signature = await asyncio.to_thread(self._sign_in_turn, data, flags)
        except SigningError as error:
            self._login.is_signing = False
            self._login.unsigned = str(error)
            # asyncssh goes on to the next key.
            raise ValueError(str(error)) from None
        self._login.is_signing, self._login.is_signed = False, True
        return signature

    def _sign_in_turn(self, data: bytes, flags: int) -> bytes:
        with _turns:
            return self._identity.sign(data, flags)
