"""Roll hosts back to what they ran before a rollout, in the order of its switch, since all at once would cut tunnels.

Hosts that get no orders do the same by themselves, at their deadline.
"""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress

from mesh.errors import MeshError
from mesh.plan.pairs import Pairs
from mesh.remote.concurrency import settle
from mesh.remote.sessions import Fan
from mesh.rollout.switch_plan import exchange_key

__all__ = ["roll_back"]

_STEP_SECONDS = 10


async def roll_back(
    fan: Fan, pairs: Pairs, switched: Sequence[str], live: Collection[str], changing: Collection[str]
) -> None:
    """Roll back every host that still answers.

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
    with suppress(MeshError):
        await fan.everyone("abort", hosts=changing)
