"""The moment at which every host rolls back by itself: the same for all, though each has a clock of its own."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence

from mesh.errors import HostsFailedError, join_failures
from mesh.remote.concurrency import gather
from mesh.remote.orders import ORDER_SECONDS, Order, Reply
from mesh.remote.replies import read_clock
from mesh.remote.sessions import Fan

__all__ = ["Deadline"]

# It goes on while this machine is suspended, where there is such a clock.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

# A host tells its uptime in whole hundredths of a second.
_UNTOLD = 0.01


class Deadline:
    """A deadline of `seconds` on some hosts of a fan, which is moved while the work goes on."""

    def __init__(self, fan: Fan, seconds: int, hosts: Sequence[str], alive: Callable[[], bool] = lambda: True) -> None:
        """Describe the deadline; it begins with `arm`, before which `ask` has to read the clock of each host.

        `alive` tells whether there is anybody who would confirm.
        """
        self._fan, self._seconds, self.hosts, self._alive, self._set = fan, seconds, hosts, alive, 0.0
        self._passes, self._was_late = math.inf, False
        # By host, how far its clock, the seconds since its boot, is ahead of ours: at least and at most.
        self._ahead: dict[str, tuple[float, float]] = {}

    async def ask(self, host: str, order: Order, *, seconds: float = ORDER_SECONDS) -> list[str]:
        """Give an order to a host, read its clock on the way, and return the reply.

        Raises:
            HostError: If the host does not carry it out, or its clock cannot be read.
        """
        clock, reply = await self._fan.sessions[host].orders([Order(("clock",)), order], seconds=seconds)
        self._note(host, clock)
        return reply.lines

    def _note(self, host: str, clock: Reply) -> None:
        """Keep what one reading tells; a host that is busy answers late, so several tell more than one."""
        told = read_clock(host, clock.lines)
        least, most = told - clock.answered, told + _UNTOLD - clock.asked
        if host in self._ahead:
            known_least, known_most = self._ahead[host]
            both = max(least, known_least), min(most, known_most)
            # Where no time is in both, the host has slept in between.
            least, most = both if both[0] <= both[1] else (least, most)
        self._ahead[host] = least, most

    def _on(self, host: str) -> str:
        """Return when the deadline was set, by the clock of a host."""
        return f"{self._set + sum(self._ahead[host]) / 2:.2f}"

    async def arm(self, token: str) -> None:
        """Let each of the hosts record how to roll back, and start the watchdog that does so at the deadline.

        Raises:
            HostsFailedError: Naming each host that failed.
        """
        self._begin(self._seconds)
        await gather({h: self.ask(h, Order(("arm", self._seconds, token, self._on(h)))) for h in self.hosts})

    @property
    def ends(self) -> float:
        """When hosts roll back that hear of no other deadline, by our monotonic clock."""
        return self._set + self._seconds

    @property
    def has_passed(self) -> bool:
        """Whether hosts roll back by now, as far as this machine knows, or it has moved the deadline too late."""
        return self._was_late or time.clock_gettime(_CLOCK) > self._passes

    def _begin(self, seconds: int) -> None:
        self._was_late = self.has_passed
        self._set, self._seconds = time.monotonic(), seconds
        self._passes = time.clock_gettime(_CLOCK) + seconds

    async def renew(self) -> None:
        """Give every host its full time again, once a quarter of it is gone; each order takes time."""
        if time.monotonic() - self._set > self._seconds / 4:
            await self.move(self._seconds)

    async def work(self, orders: Mapping[str, Sequence[Order]]) -> None:
        """Give each host its own orders; while any host is at work, those that wait for it get their full time again.

        Raises:
            HostsFailedError: After all have ended, naming each host that failed.
        """
        work = asyncio.ensure_future(self._fan.each(orders))
        unheard: HostsFailedError | None = None
        is_moved = False
        try:
            while not (await asyncio.wait({work}, timeout=self._seconds / 4))[0]:
                if unheard or not self._alive():
                    # What is under way ends before anything is told, since a host that is at work cannot be led back.
                    continue
                waiting = [host for host in self.hosts if self._fan.sessions[host].is_free]
                moved, is_moved = self.moved(self._seconds), True
                try:
                    await self._fan.each({host: [moved[host]] for host in waiting})
                except HostsFailedError as error:
                    unheard = error
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.wait({work})
            raise
        try:
            await work
        except HostsFailedError as error:
            raise join_failures([error, *([unheard] if unheard else [])]) from None
        if unheard:
            raise unheard
        if is_moved:
            # Those that were at work have missed it, and all of them go back at one moment.
            await self.move(self._seconds)

    async def move(self, seconds: int) -> None:
        """Set the deadline to `seconds` from now; `renew` then gives as many.

        Raises:
            HostsFailedError: Naming each host that failed.
        """
        await self._fan.each({host: [order] for host, order in self.moved(seconds).items()})

    def moved(self, seconds: int) -> dict[str, Order]:
        """Return the orders that do the same, by host, to be given together with others."""
        self._begin(seconds)
        return {host: Order(("renew", seconds, self._on(host))) for host in self.hosts}
