"""The rules of the stack file that keep every prefix with one owner, and endpoints outside the mesh."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from itertools import combinations

from mesh.config.fields import is_host_name
from mesh.config.models import Hosts, Interface, Interfaces
from mesh.config.validation import join_path
from mesh.errors import PlacedFault, show_first
from mesh.wireguard.addressing import Owner, derive_subnet, find_collisions, find_overlaps, owned_subnets
from mesh.wireguard.endpoint import address_of, host_part

__all__ = ["prefix_faults"]


def prefix_faults(hosts: Hosts, interfaces: Interfaces) -> Iterator[PlacedFault]:
    """Yield what two owners claim, and each endpoint that a tunnel would have to carry through itself."""
    yield from _endpoints_inside_the_mesh(hosts, interfaces)
    yield from _names_inside_the_mesh(hosts, interfaces)
    yield from _subnet_collisions(interfaces)
    yield from _subnet_overlaps(interfaces)
    for name in interfaces:
        yield from _ipv4_faults(name, hosts, interfaces)


def _owners(interfaces: Interfaces) -> Iterator[Owner]:
    for name, interface in interfaces.items():
        yield from ((name, host) for host in interface.participants if is_host_name(host))


def _fixed_subnets(interfaces: Interfaces) -> dict[Owner, IPv6Network]:
    found = {}
    for name, interface in interfaces.items():
        fixed = interface.fixed_addresses
        subnets = owned_subnets(name, filter(is_host_name, interface.participants), fixed, interface.prefix)
        found.update({(name, host): subnet for host, subnet in subnets.items() if host in fixed})
    return found


def _derived(interfaces: Interfaces) -> dict[Owner, IPv6Network]:
    fixed = _fixed_subnets(interfaces)
    return {
        (name, host): derive_subnet(host, name, interfaces[name].prefix)
        for name, host in _owners(interfaces)
        if (name, host) not in fixed and not _is_unsure(interfaces[name], host)
    }


def _is_unsure(interface: Interface, participant: str) -> bool:
    return interface.is_unsure("prefix") or interface.is_unsure_of(participant, "address")


def _endpoints_inside_the_mesh(hosts: Hosts, interfaces: Interfaces) -> Iterator[PlacedFault]:
    # Of all its addresses: where several share a subnet, the tunnel has the route to all of it all the same.
    fixed: dict[IPv6Network, Owner] = {}
    for name, interface in interfaces.items():
        for host, inside in interface.fixed_addresses.items():
            fixed.setdefault(inside.network, (name, host))
    derived = {subnet: owner for owner, subnet in _derived(interfaces).items()}
    for place, _, address in _addresses_outside(hosts, interfaces):
        if isinstance(address, IPv4Address):
            continue
        # Every derived subnet is a /64, so one look-up replaces a comparison with each.
        owner = derived.get(IPv6Network((address, 64), strict=False)) or next(
            (owner for subnet, owner in fixed.items() if address in subnet), None
        )
        if owner is not None:
            yield PlacedFault(
                place,
                f"{address} is inside the mesh, in the subnet of host {owner[1]!r} on interface {owner[0]!r}; give an "
                "address outside, for a tunnel cannot carry itself",
            )


def _addresses_outside(hosts: Hosts, interfaces: Interfaces) -> Iterator[tuple[str, str, IPv4Address | IPv6Address]]:
    """Yield each address outside of the meshes that the stack file names: its place, whose it is, and itself."""
    for name, host in hosts.items():
        for field, addresses in (("externalIps", host.external_ips), ("localIps", host.local_ips)):
            for text in addresses:
                yield join_path("mesh:hosts", name, field), f"an address of host {name!r}", ip_address(text)
    for interface_name, interface in interfaces.items():
        for name, peer in interface.peers.items():
            if peer.endpoint and (address := address_of(peer.endpoint)):
                place = join_path("mesh:interfaces", interface_name, "peers", name, "endpoint")
                yield place, f"the endpoint of peer {name!r}", address


def _names_inside_the_mesh(hosts: Hosts, interfaces: Interfaces) -> Iterator[PlacedFault]:
    inside: dict[str, tuple[str, str]] = {}
    for name, interface in interfaces.items():
        for member in dict.fromkeys(interface.participants) if interface.names else ():
            # Resolvers do not tell capital letters from small ones.
            first = inside.setdefault(f"{member}.{name}".lower(), (member, name))
            if first != (member, name):
                yield PlacedFault(
                    join_path("mesh:interfaces", name, "names"),
                    f"{member}.{name} is the name of {first[0]!r} on interface {first[1]!r} too; rename one of the two",
                )
    outside_names = {join_path("mesh:hosts", name, "externalName"): host.external_name for name, host in hosts.items()}
    for interface_name, interface in interfaces.items():
        for name, peer in interface.peers.items():
            path = join_path("mesh:interfaces", interface_name, "peers", name, "endpoint")
            outside_names[path] = host_part(peer.endpoint or "")
    for path, outside in outside_names.items():
        if outside and (owner := inside.get(outside.rstrip("."))):
            yield PlacedFault(
                path,
                f"{outside} is inside the mesh, the name of {owner[0]!r} on interface {owner[1]!r}; give a "
                "name outside, for a tunnel cannot carry itself",
            )


def _subnet_collisions(interfaces: Interfaces) -> Iterator[PlacedFault]:
    for collision in find_collisions(_derived(interfaces), {name: entry.prefix for name, entry in interfaces.items()}):
        for (interface, host), (other_interface, other) in combinations(collision.owners, 2):
            if interface == other_interface:
                place = ""
            # Meshes that share no host never see each other's routes.
            elif set(interfaces[interface].hosts) & set(interfaces[other_interface].hosts):
                place = f" (on {other_interface})"
            else:
                continue
            yield PlacedFault(
                interface,
                f"hostname-derived IPv6 subnet collision detected; hosts {host!r} and {other!r}{place} "
                f"both derive {collision.subnet}; rename one of them",
            )


def _subnet_overlaps(interfaces: Interfaces) -> Iterator[PlacedFault]:
    fixed = _fixed_subnets(interfaces)
    subnets = {**fixed, **_derived(interfaces)}
    # Without an address of the user's there is nothing that a collision would not have found.
    for outer, inner in find_overlaps(subnets) if fixed else ():
        one, other = (inner, outer) if inner in fixed else (outer, inner)
        shared = set(interfaces[one[0]].hosts) & set(interfaces[other[0]].hosts)
        if one in fixed and shared:
            place = "" if one[0] == other[0] else f" on interface {other[0]!r}"
            section = "peers" if one[1] in interfaces[one[0]].peers else "members"
            yield PlacedFault(
                join_path("mesh:interfaces", one[0], section, one[1], "address"),
                f"{subnets[one]} and "
                f"{subnets[other]}, of host {other[1]!r}{place}, overlap; give each host a subnet of its own, "
                "or all of them addresses in one subnet",
            )


def _ipv4_faults(name: str, hosts: Hosts, interfaces: Interfaces) -> Iterator[PlacedFault]:
    interface = interfaces[name]
    path = f"{join_path('mesh:interfaces', name)}.ipv4"
    prefix, owners = interface.ipv4, dict[IPv4Address, str]()
    # An entry that has its host's former name still is told as that.
    renamed = {host for host in interface.hosts if hosts[host].formerly in interface.ipv4_addresses}
    missing = sorted(
        owner
        for owner in {*interface.participants} - interface.ipv4_addresses.keys() - renamed
        if not interface.is_unsure_of(owner, "ipv4") and (owner in interface.peers or not hosts[owner].is_unsure())
    )
    if prefix and missing:
        yield PlacedFault(
            path, f"no address for {show_first(missing)}; run python -m mesh allocate STACK to have them written"
        )
    for owner, address in interface.ipv4_addresses.items():
        place = f"{join_path('mesh:interfaces', name, 'peers' if owner in interface.peers else 'members', owner)}.ipv4"
        other = owners.setdefault(address, owner)
        if prefix is None and not interface.is_unsure("ipv4"):
            yield PlacedFault(place, "the interface has no ipv4 prefix; give it one, or remove this line")
        elif prefix and (address not in prefix or address in (prefix.network_address, prefix.broadcast_address)):
            yield PlacedFault(
                place, f"{address} is no address for a host in {prefix}, the interface's ipv4; choose another"
            )
        elif other != owner:
            yield PlacedFault(place, f"{address} is the address of {other!r} too; choose another")
    if prefix is None:
        return
    for before in list(interfaces)[: list(interfaces).index(name)]:
        theirs, shared = interfaces[before].ipv4, set(interface.hosts) & set(interfaces[before].hosts)
        if theirs and shared and prefix.overlaps(theirs):
            yield PlacedFault(path, f"{prefix} and {theirs}, of interface {before!r}, overlap; choose another prefix")
    for _, whose, outside in _addresses_outside(hosts, interfaces):
        if outside in prefix:
            yield PlacedFault(
                path,
                f"{outside}, {whose} outside the mesh, is in {prefix}; choose another prefix, for a tunnel cannot "
                "carry itself",
            )
