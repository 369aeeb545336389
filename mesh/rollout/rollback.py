"""Lead hosts back to what they ran before a rollout, in the order of its switch, since all at once would cut tunnels.

Hosts that hear nothing do the same by themselves, at their deadline.
"""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress

from mesh.errors import MeshError
from mesh.plan.pairs import Pairs
from mesh.remote.concurrency import settle
from mesh.remote.sessions import Fan
from mesh.rollout.switch_plan import exchange_key

__all__ = ["go_back"]

_STEP_SECONDS = 10


async def go_back(
    fan: Fan, pairs: Pairs, switched: Sequence[str], live: Collection[str], changing: Collection[str]
) -> None:
    """Bring every host back that still answers.

    Args:
        fan: The sessions of the rollout.
        pairs: Those of its roster.
        switched: The hosts that took another key, in the order in which they did.
        live: The hosts whose interface ran before the rollout.
        changing: All hosts of the rollout that change.
    """
    willing = set(live)

    async def order(*words: str, hosts: Iterable[str]) -> None:
        orders = {host: fan.sessions[host].order("back", *words, seconds=_STEP_SECONDS) for host in hosts}
        # Who fails is left to its deadline, and not asked again.
        willing.difference_update((await settle(orders))[1])

    if switched:
        await order("preshared", hosts=sorted(willing))
    for host in switched:
        if host in willing:
            for step in exchange_key(host, pairs.links_of(host)):
                await order(step.order, *step.words, hosts=sorted(willing & {*step.hosts}))
    with suppress(MeshError):
        await fan.everyone("abort", hosts=changing)
