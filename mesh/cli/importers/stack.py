"""Write found meshes into a stack file: hosts, interfaces, and only what differs from what would be so anyway.

Keys are not written here: they go through the engine, which encrypts them.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ruamel.yaml.comments import CommentedMap

from mesh.cli.importers.found import FoundMember, FoundMesh, FoundPeer
from mesh.cli.importers.other_meshes import changes_of_meshes, notes_of_meshes
from mesh.cli.stack_file import HOSTS, INTERFACES, StackFile
from mesh.cli.yaml_values import flow_list, flow_mapping, quote_colons
from mesh.config.external_fields import is_address
from mesh.config.models import Bastion
from mesh.config.reader import read_configuration
from mesh.config.validation import PLACEHOLDER_ADDRESS, PLACEHOLDER_HOST_KEY, join_path, read_entry
from mesh.errors import ConfigurationError, MeshError, PlacedFault
from mesh.plan.topology import ROAMING_KEEPALIVE, MeshPlan, plan_meshes
from mesh.wireguard.addressing import derive_subnet, host_address

__all__ = ["add_meshes", "hosts_without_address"]

# Of the path of a fault.
_LAST_PART = re.compile(r'(\.[A-Za-z0-9_-]+|\["[^"]*"\]|\[[0-9]+\])\Z')


def add_meshes(file: StackFile, meshes: Sequence[FoundMesh]) -> list[str]:
    """Add the meshes to the content of `file`, and return what there is to note of them in it.

    A host that is there already keeps what it has.

    Raises:
        ConfigurationError: If the file says otherwise, could not hold them, or one mesh would change another; the
            content is then of no use.
    """
    if hosts_file := file.hosts_file:
        words = (
            f"its hosts are in {hosts_file!r}, and an import writes hosts below {HOSTS}; move them there first, or "
            "import into another stack"
        )
        raise MeshError(f"{file.path.name}: {words}")
    # What is there already is built upon.
    file.check()
    interfaces = file.section(INTERFACES)
    alone = dict(_plans(file.hosts, interfaces))
    faults: list[PlacedFault] = []
    places: dict[str, str] = {}
    there, fresh = set(file.hosts), dict[str, str]()
    for mesh in meshes:
        # Also with the mesh before it, in which a host may have another endpoint.
        if mesh.interface in interfaces:
            place = join_path(INTERFACES, mesh.interface)
            faults.append(PlacedFault(place, "is there already; take it out, or import into another stack"))
        faults.extend(_conflicts(file, mesh, fresh))
        # What the file has already has its place there.
        new = {key: place for key, place in mesh.places.items() if key[0] != HOSTS or key[1] not in file.hosts}
        places |= {join_path(*key): place for key, place in new.items()}
        for member in mesh.members:
            if member.host not in there and member.externals:
                fresh.setdefault(member.host, mesh.places.get((HOSTS, member.host), mesh.interface))
        interfaces[mesh.interface] = _add_mesh(file.hosts, mesh)
    if faults:
        raise ConfigurationError(faults, "import")
    try:
        together = _plans(file.hosts, interfaces)
        for mesh in meshes:
            hosts = dict[str, Any]()
            entry = _add_mesh(hosts, mesh)
            alone |= _plans(hosts, {mesh.interface: entry})
    except ConfigurationError as error:
        raise ConfigurationError([_in_its_source(fault, places) for fault in error.placed], "import") from None
    if faults := list(changes_of_meshes(alone, together, meshes)):
        raise ConfigurationError(faults, "import")
    return list(notes_of_meshes(alone, together, meshes))


def _plans(hosts: Mapping[str, Any], interfaces: Mapping[str, Any]) -> Mapping[str, MeshPlan]:
    """Return what entries ask for, of which those may be missing that say how SSH reaches a host."""
    if not interfaces:
        return {}
    ssh = {"address": PLACEHOLDER_ADDRESS, "hostKey": PLACEHOLDER_HOST_KEY}
    return plan_meshes(read_configuration({name: {**entry, "ssh": ssh} for name, entry in hosts.items()}, interfaces))


def _add_mesh(hosts: dict[str, Any], mesh: FoundMesh) -> CommentedMap:
    """Add what `hosts` lack of the members of a mesh, and return the entry of its interface."""
    for member in mesh.members:
        entry = hosts.setdefault(member.host, CommentedMap())
        if member.externals and not _has_place(entry):
            by_address = is_address(member.externals[0])
            value = flow_list(member.externals) if by_address else member.externals[0]
            entry.insert(0, "externalIps" if by_address else "externalName", value)
        entry.setdefault("ssh", _ssh(member))
    return _interface(mesh, {name for name, entry in hosts.items() if not _has_place(entry)})


def _has_place(entry: Mapping[str, Any]) -> bool:
    return bool({"externalIps", "externalName"} & set(entry))


def _in_its_source(fault: PlacedFault, places: Mapping[str, str]) -> PlacedFault:
    """Return the fault with its place in the file that is imported, instead of one in a file that is not written."""
    path = fault.place
    while path not in places and _LAST_PART.search(path):
        path = _LAST_PART.sub("", path)
    return PlacedFault(places.get(path, fault.place), fault.words)


def hosts_without_address(file: StackFile) -> list[str]:
    """Return the hosts whose `ssh.address` has to be filled in by hand."""
    return [name for name, entry in file.hosts.items() if not (entry.get("ssh") or {}).get("address")]


def _conflicts(file: StackFile, mesh: FoundMesh, before: Mapping[str, str]) -> Iterator[PlacedFault]:
    for member in mesh.members:
        words, field = _other_place(file.hosts.get(member.host) or {}, member.externals or ())
        if words and member.host in before:
            # There is no stack file yet in which it could be changed.
            here = mesh.places.get((HOSTS, member.host), mesh.interface)
            yield PlacedFault(
                here,
                f"another place than in {before[member.host]}; a host has one for all meshes, so make them the same",
            )
        elif words:
            yield PlacedFault(join_path(HOSTS, member.host, field), words)


def _other_place(entry: Mapping[str, Any], sought: Sequence[str]) -> tuple[str, str]:
    """Return how an entry differs from the addresses or the name at which its host is sought, and in which field."""
    given, name = [str(each) for each in entry.get("externalIps") or []], entry.get("externalName")
    if not sought:
        return "", ""
    if name:
        words = f"another place than its peers send to, {sought[0]}; give that one"
        return (words if str(name).lower() != sought[0].lower() else ""), "externalName"
    if given and given[0] != sought[0]:
        words = (
            f"begins with another address than its peers send to, {sought[0]}; put that one first, or give a name as "
            "externalName"
        )
        return words, "externalIps"
    if given and (lacks := set(sought) - set(given)):
        return f"lacks {min(lacks)}, to which some of its peers send; add it", "externalIps"
    return "", ""


def _ssh(member: FoundMember) -> CommentedMap:
    ssh = flow_mapping({"address": member.ssh_address} if member.ssh_address else {})
    if member.host_key:
        # One that cannot be read, because it was shortened, is for scan to fill in.
        _, faults = read_entry(Bastion, {"address": "host", "hostKey": member.host_key})
        if not faults:
            ssh["hostKey"] = member.host_key
    return ssh


def _interface(mesh: FoundMesh, roaming: Collection[str]) -> CommentedMap:
    entry = CommentedMap({"hosts": flow_list(member.host for member in mesh.members)})
    if mesh.port:
        entry["port"] = mesh.port
    if mesh.mtu:
        entry["mtu"] = mesh.mtu
    if mesh.ipv4:
        entry["ipv4"] = str(mesh.ipv4)
    members = {each.host: _overrides(mesh.interface, each, is_roaming=each.host in roaming) for each in mesh.members}
    if any(members.values()):
        entry["members"] = CommentedMap({host: overrides for host, overrides in members.items() if overrides})
    if mesh.peers:
        entry["peers"] = CommentedMap({peer.name: _peer(mesh.interface, peer) for peer in mesh.peers})
    return entry


def _overrides(interface: str, member: FoundMember, *, is_roaming: bool) -> dict[str, Any]:
    overrides = _inside(interface, member.host, member)
    # Without one of its own, a roaming host gets the usual one: it disturbs nothing, and peers can reach it.
    if member.keepalive and (not is_roaming or member.keepalive != ROAMING_KEEPALIVE):
        overrides["persistentKeepalive"] = member.keepalive
    if member.external_port:
        overrides["externalPort"] = member.external_port
    return overrides


def _peer(interface: str, peer: FoundPeer) -> dict[str, Any]:
    known = {"publicKey": peer.public_key, **({"endpoint": peer.endpoint} if peer.endpoint else {})}
    return CommentedMap({**known, **_inside(interface, peer.name, peer)})


def _inside(interface: str, name: str, found: FoundMember | FoundPeer) -> dict[str, Any]:
    """Return the addresses that differ from the derived ones, and the networks behind."""
    entry = CommentedMap()
    if found.address and found.address != host_address(derive_subnet(name, interface)):
        entry["address"] = quote_colons(str(found.address))
    if found.ipv4:
        entry["ipv4"] = str(found.ipv4)
    if found.routes:
        entry["routes"] = flow_list(map(str, found.routes))
    return entry
