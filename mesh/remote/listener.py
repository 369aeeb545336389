"""Hear what a server says while we log in, which asyncssh keeps to itself, and tell what it means if that fails."""

from collections.abc import Sequence

import asyncssh

from mesh.remote.greeting import explain_end, explain_start
from mesh.remote.signing import Login
from mesh.remote.ssh_errors import (
    GONE_KEY_TYPE,
    HUNG_UP_SAYING,
    NO_POST_QUANTUM,
    PASSING,
    SLOW_AGENT,
    explain_words,
    quote,
)

__all__ = ["EXCHANGE", "HungUpError", "Listener", "LoginRefusedError"]

EXCHANGE = "key_exchange"
# What goes on without saying what it is, asyncssh ends.
_LONGEST_START = 1 << 16


class LoginRefusedError(asyncssh.PermissionDenied):
    """A host does not let us in with any key that we have; the reason is for the user to read."""


class HungUpError(asyncssh.ConnectionLost):
    """A server hangs up before it takes a login; the reason is for the user to read.

    If it `passes`, another try a moment later may do.
    """

    def __init__(self, reason: str, *, passes: bool = False) -> None:
        """Take one of the words of `greeting`, or others."""
        super().__init__(reason)
        self.passes = passes or reason in PASSING


class Listener(asyncssh.SSHClient):
    """Keeps what a host says while we log in, and which key exchange is chosen."""

    def __init__(self, login: Login, exchanges: Sequence[str], pinned: str) -> None:
        """Listen for `login` to a host whose key is `pinned`, by one of these key exchanges if there are any."""
        self._login, self._exchanges, self._pinned = login, exchanges, pinned
        self._banner = ""
        # What the server says first, until it is clear what that means; None before there is a connection.
        self._heard: bytes | None = None
        self.obstacle: str | None = None

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Look at what asyncssh reads and tells nobody: the first words, the key exchange, and what is asked for next.

        It only shows; what is accepted is said to asyncssh in its own words.
        """
        self._heard, self.obstacle = b"", None
        validate, receive, go_on = conn.validate_server_host_key, conn.data_received, conn.try_next_auth

        def hear(data: bytes, datatype: int | None = None) -> None:
            if self.obstacle is None and self._heard is not None and len(self._heard) <= _LONGEST_START:
                self._heard += data
                self.obstacle = explain_start(self._heard, self._exchanges, self._pinned)
            receive(data, datatype)

        def look(key_data: bytes) -> asyncssh.SSHKey:
            exchange = getattr(getattr(conn, "_kex", None), "algorithm", b"")
            conn.set_extra_info(**{EXCHANGE: exchange.decode("ascii", "replace")})
            return validate(key_data)

        def see_what_is_left(*, next_method: bool = False) -> None:
            # A server that takes a key and wants more names what it wants, and not keys.
            left = getattr(conn, "_auth_methods", [b"publickey"])
            self._login.asks_for_more |= self._login.is_signed and not next_method and b"publickey" not in left
            go_on(next_method=next_method)

        conn.data_received = hear  # type: ignore[method-assign]
        conn.validate_server_host_key = look  # type: ignore[method-assign]
        conn.try_next_auth = see_what_is_left  # type: ignore[method-assign]

    def auth_banner_received(self, msg: str, lang: str) -> None:  # noqa: ARG002 - asyncssh's signature
        """Keep it."""
        self._banner = f"{self._banner}{msg}"[:4096]

    def explained(self, error: Exception) -> Exception:
        """Return what to raise instead of the error that a login ended with, where it is known why."""
        # sshd says in a banner why PAM lets nobody in, and hangs up.
        if words := explain_words(self._banner):
            return LoginRefusedError(words)
        if self._heard is None:
            return error
        if self._login.is_signing:
            return LoginRefusedError(SLOW_AGENT)
        words = explain_end(self._heard) if self.obstacle is None else self.obstacle
        if words in (GONE_KEY_TYPE, NO_POST_QUANTUM):
            return LoginRefusedError(words)
        return HungUpError(words) if words else self._with_last_words(error)

    def _with_last_words(self, error: Exception) -> Exception:
        """Return an error that repeats the banner of a server that hung up, unless its reason is one that is known."""
        has_hung_up = isinstance(error, asyncssh.DisconnectError | ConnectionResetError | BrokenPipeError)
        if not self._banner.strip() or not has_hung_up or explain_words(str(error)):
            return error
        is_cut_off = isinstance(error, asyncssh.ConnectionLost | ConnectionResetError | BrokenPipeError)
        # It may say so to everybody, whatever it does then.
        return HungUpError(HUNG_UP_SAYING.format(said=quote(self._banner.encode())), passes=is_cut_off)
