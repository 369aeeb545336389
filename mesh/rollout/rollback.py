"""Roll hosts back to what they ran before a rollout, in the order of its switch, since all at once would cut tunnels.

Hosts that get no orders do the same by themselves, at their deadline.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from mesh.config.connection import Connection
from mesh.errors import HostError
from mesh.plan.pairs import Pairs
from mesh.remote.concurrency import settle
from mesh.remote.sessions import Fan, open_fan
from mesh.rollout.switch_plan import exchange_key

__all__ = ["recall", "roll_back"]

_STEP_SECONDS = 10
_PAUSE_SECONDS = 2


async def roll_back(
    fan: Fan, pairs: Pairs, switched: Sequence[str], live: Collection[str], changing: Collection[str]
) -> list[str]:
    """Roll back every host that still answers, and return those that do not.

    Args:
        fan: The sessions of the rollout.
        pairs: Those of its roster.
        switched: The hosts that took another key, in the order in which they did.
        live: The hosts whose interface ran before the rollout.
        changing: All hosts of the rollout that change.
    """
    answering = set(live)

    async def order(*words: str, hosts: Iterable[str]) -> None:
        orders = {host: fan.sessions[host].order("back", *words, seconds=_STEP_SECONDS) for host in hosts}
        # A host that fails is left to its deadline, and gets no more orders.
        answering.difference_update((await settle(orders))[1])

    if switched:
        await order("preshared", hosts=sorted(answering))
    for host in switched:
        if host in answering:
            for step in exchange_key(host, pairs.links_of(host)):
                await order(step.order, *step.words, hosts=sorted(answering & {*step.hosts}))
    await settle({host: fan.sessions[host].order("abort") for host in changing})
    # One that says why it could not has heard it, and its watchdog tries again.
    return [host for host in changing if not fan.sessions[host].is_free]


async def recall(
    interface: str, connections: Mapping[str, Connection], until: float, report: Callable[[str], None]
) -> None:
    """Roll back hosts that hung up while they were told to hold, over new connections.

    An order may come minutes late, when a line carries packets again; then such a host would hold what no other host
    runs any more. After `until`, one that has not heard it has rolled back by itself.
    """
    left = dict(connections)
    while left:
        async with open_fan(interface, left, skip=HostError, only_known=True) as fan:
            heard, _ = await settle({host: session.order("abort") for host, session in fan.sessions.items()})
        left = {host: connection for host, connection in left.items() if host not in heard}
        if time.monotonic() > until:
            break
        await asyncio.sleep(_PAUSE_SECONDS)
    if left:
        names = ", ".join(sorted(left))
        report(
            f"{interface}: no word from {names}; what holds there rolls back by itself in 15 minutes, or by pulumi up "
            "--refresh"
        )
