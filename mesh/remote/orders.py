"""Give orders to the host program on one host, over the session that it serves, and read its replies.

`rollout` and the host program know what the orders mean.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from typing import NamedTuple

import asyncssh

from mesh.errors import HostError, UnreachableHostError
from mesh.remote import host_program
from mesh.remote.commands import Stream
from mesh.remote.ssh import as_unreachable

__all__ = ["ORDER_SECONDS", "Order", "Reply", "Session"]

ORDER_SECONDS = 60
# So late, a timer tells that this process did not run meanwhile; and as long, what came meanwhile is waited for.
_LATE_SECONDS = 2
_MESSAGE = 500


class Order(NamedTuple):
    """What a host is told in one line, and what it reads after that."""

    words: tuple[object, ...]
    payload: str = ""


class Reply(NamedTuple):
    """The lines that a host replies to an order, and when it was asked and had answered, by our monotonic clock."""

    lines: list[str]
    asked: float
    answered: float


class _OrderFailedError(HostError):
    """The host itself says that an order failed; it takes others."""


class Session:
    """The host program on one host, taking orders."""

    def __init__(self, stream: Stream, key_exchange: str = "") -> None:
        """Use the stream of a host program that was just started; `begin` comes before the first order."""
        self.host = stream.host
        self.key_exchange = key_exchange
        self._stream = stream
        self._fault = ""
        self._has_gzip = False
        status = rb"%s (?P<status>\d{1,3})" % stream.marker.encode()
        self._end = re.compile(
            rb"^(?:\.(?P<word>ok|program|packed)|\.error (?P<error>[^\n]*)|%s)\n" % status, re.MULTILINE
        )

    @property
    def is_free(self) -> bool:
        """Whether the host has carried out what it was told, and takes orders."""
        return not self._fault

    async def begin(self) -> None:
        """Give the host the program if it asks for it, and wait until it takes orders.

        Raises:
            HostError: If it cannot take any, or asks again.
        """
        if await self._reply("a session") is None:
            self._stream.write(host_program.packed() if self._has_gzip else host_program.text())
            if await self._reply("a session") is None:
                raise self._stream.cut_off("a session")

    async def order(self, *words: object, payload: str = "", seconds: float = ORDER_SECONDS) -> list[str]:
        """Return the lines that the host replies to one order, as `orders` does to several."""
        (reply,) = await self.orders([Order(words, payload)], seconds=seconds)
        return reply.lines

    async def orders(self, orders: Sequence[Order], *, seconds: float = ORDER_SECONDS) -> list[Reply]:
        """Give orders at once, which the host carries out one after another, and return its replies to them.

        That takes the time of the way to the host once. If one fails, the host carries out the others all the same.

        Raises:
            HostError: If the host says that one failed, says too much, or does not answer each within `seconds`; a
                late reply could be mistaken for the next one, so the session accepts no further orders.
        """
        if self._fault:
            raise UnreachableHostError(self.host, f"{self._fault}; run it again")
        asked = time.monotonic()
        self._stream.forget()
        self._stream.write("".join(f"{' '.join(map(str, words))}\n{payload}" for words, payload in orders))
        replies: list[Reply] = []
        failed: HostError | None = None
        for words, _ in orders:
            try:
                replies.append(Reply(await self._answer(words[0], seconds), asked, time.monotonic()))
            except HostError as error:
                failed = failed or error
                if self._fault:
                    break
        if failed:
            raise failed
        return replies

    async def _answer(self, word: object, seconds: float) -> list[str]:
        # Until there is an answer: a host that is cut off here must get no more orders.
        self._fault = f"is still busy with {str(word)!r}"
        what, began = f"an answer to {word!r}", time.monotonic()
        try:
            try:
                lines = await asyncio.wait_for(self._reply(what), seconds)
            except TimeoutError:
                # Where it was this machine that stood still, the answer may have come, and is yet to be read.
                if time.monotonic() - began < seconds + _LATE_SECONDS:
                    raise
                lines = await asyncio.wait_for(self._reply(what), _LATE_SECONDS)
        except TimeoutError:
            raise HostError(self.host, f"did not finish {word!r} within {seconds:.0f} seconds; run again") from None
        except (OSError, asyncssh.Error) as error:
            raise as_unreachable(self.host, error) from None
        except _OrderFailedError:
            self._fault = ""
            raise
        if lines is None:
            raise self._stream.cut_off(f"an answer to {word!r}")
        self._fault = ""
        return lines

    async def _reply(self, what: str) -> list[str] | None:
        """Return the lines up to `.ok`, or None where the host wants the program."""
        text, end = await self._stream.read_to(self._end, what)
        if end and end["word"]:
            self._has_gzip = end["word"] == b"packed"
            return text.split("\n")[:-1] if end["word"] == b"ok" else None
        if end and end["error"] is not None:
            raise _OrderFailedError(self.host, end["error"].decode("utf-8", "replace")[:_MESSAGE].strip())
        noise = await self._stream.noise()
        raise UnreachableHostError(self.host, f"ended the session{f': {noise}' if noise else ''}; run it again")
