"""Leave nothing of a mesh on hosts that are no longer in it; best effort, since one of them may be dead."""

from collections.abc import Callable, Mapping

from mesh.config.connection import Connection
from mesh.errors import HostError
from mesh.remote.concurrency import settle
from mesh.remote.replies import read_each, read_wiped
from mesh.remote.sessions import open_fan

__all__ = ["wipe"]

_SECONDS = 45


async def wipe(
    interface: str, mesh: str, roster_id: str, connections: Mapping[str, Connection], report: Callable[[str], None]
) -> dict[str, str]:
    """Leave nothing of `interface` on each host, and return the reason by host for those that were not wiped."""
    async with open_fan(interface, connections, skip=HostError) as fan:
        orders = {
            host: session.order("wipe", mesh, roster_id, host, seconds=_SECONDS)
            for host, session in fan.sessions.items()
        }
        replies, failures = await settle(orders)
    _, unreadable = read_each(replies, read_wiped)
    left = {**fan.absent, **{host: error.message for host, error in {**failures, **unreadable}.items()}}
    for host, reason in sorted(left.items()):
        report(f"{interface}: {host} is not wiped: {reason}")
    return left
