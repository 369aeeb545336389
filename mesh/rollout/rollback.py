"""Lead hosts back to what they ran before a rollout, in the order of its switch, since all at once would cut tunnels.

Hosts that hear nothing do the same by themselves, at their deadline.
"""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress

from mesh.errors import MeshError
from mesh.remote.concurrency import settle
from mesh.remote.sessions import Fan

__all__ = ["go_back"]

_STEP_SECONDS = 10


async def go_back(fan: Fan, switched: Sequence[str], live: Collection[str], changing: Collection[str]) -> None:
    """Bring every host back that still answers.

    Args:
        fan: The sessions of the rollout.
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
            await order("ready", host, hosts=sorted(willing - {host}))
            await order("own", hosts=[host])
            await order("peer", host, hosts=sorted(willing - {host}))
    with suppress(MeshError):
        await fan.everyone("abort", hosts=changing)
