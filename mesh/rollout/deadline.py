"""The moment at which every host rolls back by itself: the same for all, though each has a clock of its own."""

import time
from collections.abc import Sequence

from mesh.remote.concurrency import gather
from mesh.remote.replies import read_clock
from mesh.remote.sessions import Fan, Session

__all__ = ["Deadline"]

# A busy host answers late now and then; the quickest of a few answers is nearest to its clock.
_READINGS = 3


class Deadline:
    """A deadline of `seconds` on some hosts of a fan, which is moved while the work goes on."""

    def __init__(self, fan: Fan, seconds: int, hosts: Sequence[str]) -> None:
        """Describe the deadline; it begins with `arm`."""
        self._fan, self._seconds, self._hosts, self._set = fan, seconds, hosts, 0.0
        self._ahead: dict[str, float] = {}

    async def arm(self, token: str) -> None:
        """Let each of the hosts record how to roll back, and start the watchdog that does so at the deadline.

        Raises:
            HostsFailedError: Naming each host that failed.
        """
        await self._fan.everyone("arm", self._seconds, token, hosts=self._hosts)
        self._ahead = await gather({host: _read_clock(self._fan.sessions[host]) for host in self._hosts})
        await self.move(self._seconds)

    async def renew(self) -> None:
        """Give every host its full time again, once a quarter of it is gone; each order takes time."""
        if time.monotonic() - self._set > self._seconds / 4:
            await self.move(self._seconds)

    async def move(self, seconds: int) -> None:
        """Set the deadline to `seconds` from now; `renew` then gives as many.

        Raises:
            HostsFailedError: Naming each host that failed.
        """
        self._set, self._seconds = time.monotonic(), seconds
        await gather(
            {
                host: self._fan.sessions[host].order("renew", seconds, f"{self._set + ahead:.2f}")
                for host, ahead in self._ahead.items()
            }
        )


async def _read_clock(session: Session) -> float:
    """Return how far a host's clock, the seconds since its boot, is ahead of ours."""
    readings = []
    for _ in range(_READINGS):
        asked = time.monotonic()
        lines = await session.order("clock")
        answered = time.monotonic()
        readings.append((answered - asked, read_clock(session.host, lines) - (asked + answered) / 2))
    return min(readings)[1]
