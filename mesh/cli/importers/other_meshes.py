"""What meshes in one stack file would change of each other, since a host has one entry there for all its meshes.

The plan of each mesh is compared with the plan that it has without the others. What differs would change a running
tunnel with the first `up`.
"""

from collections.abc import Iterator, Mapping, Sequence

from mesh.cli.importers.found import FoundMember, FoundMesh
from mesh.cli.importers.source import some
from mesh.cli.stack_file import HOSTS
from mesh.config.validation import join_path
from mesh.errors import PlacedFault
from mesh.plan.pairs import Pairs
from mesh.plan.roster_builder import build_roster
from mesh.plan.topology import MeshPlan

__all__ = ["changes_of_meshes", "notes_of_meshes"]

_Plans = Mapping[str, MeshPlan]


def changes_of_meshes(alone: _Plans, together: _Plans, meshes: Sequence[FoundMesh]) -> Iterator[PlacedFault]:
    """Yield each host at which others would send to another place than without the other meshes.

    `alone` are the plans of the meshes that were there, and of each of `meshes` by itself.
    """
    for interface, plan in alone.items():
        for host, (peers, old, new) in _other_endpoints(plan, together[interface]).items():
            found = next((mesh for mesh in meshes if mesh.interface == interface), None)
            member = _member(found, host)
            if member and member.externals is None:
                # Where its peers seek it is not known, so that nothing says that it changes.
                continue
            others = [
                name
                for name, other in together.items()
                if name != interface and any(each.name == host for each in other.members)
            ]
            where = f"on {some(others)}" if others else "in the stack file"
            source = found or next((mesh for mesh in meshes if _member(mesh, host)), None)
            place = source.places.get((HOSTS, host), source.interface) if source else join_path(HOSTS, host)
            advice = (
                f"give {some(peers)} that Endpoint on {interface} first, here and on the host"
                if found
                else f"if that is right on {interface} too, give it in the stack file first"
            )
            yield PlacedFault(
                place,
                f"{host} has {old or 'no endpoint'} on {interface}, and would get {new} there for {some(peers)}, "
                f"by what it has {where}; a host has one place for all its meshes, so {advice}, "
                "or import into another stack",
            )


def notes_of_meshes(alone: _Plans, together: _Plans, meshes: Sequence[FoundMesh]) -> Iterator[str]:
    """Yield what hosts that are there already change of a mesh that is imported, and that no tunnel is lost by."""
    for mesh in meshes:
        before, after = alone[mesh.interface].mtu, together[mesh.interface].mtu
        if before != after:
            yield f"{mesh.interface}: MTU {after} with the first up, by the linkMtu of hosts in the stack file"


def _member(mesh: FoundMesh | None, host: str) -> FoundMember | None:
    return next((member for member in mesh.members if member.host == host), None) if mesh else None


def _other_endpoints(alone: MeshPlan, together: MeshPlan) -> dict[str, tuple[list[str], str, str]]:
    """Return the hosts to which some peers would send elsewhere, with these, and where they and would send."""
    before = {own.name: own for own in alone.participants}
    changed = {own.name for own in together.participants if own != before[own.name]}
    if not changed:
        return {}
    old_pairs, new_pairs = _pairs(alone), _pairs(together)
    found: dict[str, tuple[list[str], str, str]] = {}
    for name in sorted(before):
        for peer in new_pairs.peers_of(name):
            if not {name, peer} & changed:
                continue
            old, new = old_pairs.endpoint(peer, name), new_pairs.endpoint(peer, name)
            if old != new:
                found.setdefault(name, ([], old, new))[0].append(peer)
    return found


def _pairs(plan: MeshPlan) -> Pairs:
    # Endpoints follow from no key and no login.
    names = {own.name: own.name for own in plan.participants}
    return Pairs(
        build_roster(plan, names, {name: {"system": "", "ssh": {"address": name, "port": 0}} for name in names})
    )
