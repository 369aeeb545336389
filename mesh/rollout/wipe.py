"""Leave nothing of a mesh on hosts that are no longer in it; best effort, since one of them may be dead."""

from collections.abc import Callable, Mapping

from mesh.config.connection import Connection
from mesh.errors import HostError
from mesh.progress import announce
from mesh.remote.concurrency import run, settle
from mesh.remote.replies import read_each, read_wiped
from mesh.remote.sessions import open_fan
from mesh.rollout.departures import still_on_hosts
from mesh.stored.forms import RosterState

__all__ = ["disband", "wipe"]

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


def disband(state: RosterState, roster_id: str) -> None:
    """Wipe every host that still belongs to a roster, and name those that may go on with the interface."""
    interface = state["roster"]["interface"]
    members = {host: member["ssh"] for host, member in state["roster"]["members"].items()}
    hosts = {**still_on_hosts(roster_id, state["leavers"]), **members}
    # A replaced roster is deleted after its successor has taken over the hosts, which tell the two apart by id.
    left = run(lambda: wipe(interface, state["mesh"], roster_id, hosts, lambda line: announce("", [line])))
    if left:
        # Once the stack is gone, nobody knows of it.
        names, command = ", ".join(sorted(left)), f"sh /var/lib/mesh/program wipe {interface}"
        announce("", [f"interface {interface} may still be on {names}; to remove it, run there as root: {command}"])
