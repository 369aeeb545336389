"""The rules of the stack file for networks behind hosts.

WireGuard gives a prefix of two owners to the last one, without a word; here both are named. `pairs` says which host
takes which route.
"""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

from mesh.config import peering
from mesh.config.fields import is_host_name
from mesh.config.models import Host, Hosts, Interface, Interfaces
from mesh.config.validation import join_path
from mesh.errors import PlacedFault, show_name
from mesh.wireguard.addressing import Network, owned_subnets
from mesh.wireguard.endpoint import address_of

__all__ = ["may_share_a_site", "place_of", "route_faults"]


def route_faults(hosts: Hosts, interfaces: Interfaces) -> Iterator[PlacedFault]:
    """Yield prefixes with two owners, routes that would cut off a host, and `masquerade` without anything behind."""
    # Every host may have a route, and each is compared with all that is here.
    claims = {name: _Claims.of(name, interface) for name, interface in interfaces.items()}
    for name, interface in interfaces.items():
        near, outside = _neighbours(name, interfaces), list(_addresses_of_hosts(interface, hosts))
        for owner, routes in claims[name].routes.items():
            path = f"{place_of(name, interface, owner)}.routes"
            for number, route in enumerate(routes):
                yield from (PlacedFault(path, fault) for fault in _other_owners(name, owner, number, near, claims))
                yield from (PlacedFault(path, fault) for fault in _inside_the_mesh(name, owner, route, near, claims))
                yield from (
                    PlacedFault(path, fault) for fault in _addresses_outside(owner, route, interface, hosts, outside)
                )
            yield from (PlacedFault(path, fault) for fault in _behind_a_relay(owner, interface, hosts))
        yield from _masquerade(name, interface)


class _Claims(NamedTuple):
    """What an interface has of prefixes: itself, the routes by participant, and what each owns inside the mesh."""

    interface: Interface
    routes: Mapping[str, tuple[Network, ...]]
    subnets: Mapping[str, IPv6Network]

    @classmethod
    def of(cls, name: str, interface: Interface) -> "_Claims":
        inside = filter(is_host_name, interface.participants)
        subnets = owned_subnets(name, inside, interface.fixed_addresses, interface.prefix)
        return cls(interface, interface.routes, subnets)


def place_of(name: str, interface: Interface, participant: str) -> str:
    """Return where an interface says something of a participant."""
    section = "peers" if participant in interface.peers else "members"
    return join_path("mesh:interfaces", name, section, participant)


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _neighbours(name: str, interfaces: Interfaces) -> dict[str, str]:
    """Return the interfaces whose routes some host would have beside those of `name`, with how to name them."""
    own = set(interfaces[name].hosts)
    return {
        other: "" if other == name else f" on interface {other!r}"
        for other, interface in interfaces.items()
        if own & set(interface.hosts)
    }


def _other_owners(
    name: str, owner: str, number: int, near: Mapping[str, str], claims: Mapping[str, _Claims]
) -> Iterator[str]:
    """Yield the claims to the same addresses that come before this one."""
    route = claims[name].routes[owner][number]
    for other, place in near.items():
        for claimant, claimed in claims[other].routes.items():
            if (other, claimant) == (name, owner):
                if any(_overlap(route, before) for before in claimed[:number]):
                    yield f"{route} is in another prefix of the list, or there twice; leave one of the two out"
                # The claims that come later in the file report the rest.
                return
            for before in claimed:
                if _overlap(route, before):
                    yield (
                        f"{route} and {before}, behind {claimant!r}{place}, overlap; leave each address to the one "
                        "that gets the packets"
                    )


def _inside_the_mesh(
    name: str, owner: str, route: Network, near: Mapping[str, str], claims: Mapping[str, _Claims]
) -> Iterator[str]:
    own = claims[name].interface
    if route.version == 4 and own.ipv4 is None and not own.is_unsure("ipv4"):
        yield (
            f"{route} is IPv4, and the interface has no ipv4 prefix, so no host would have an address to send from; "
            "give it one such as 10.20.0.0/24"
        )
    for other, place in near.items():
        interface = claims[other].interface
        if (
            interface.ipv4
            and _overlap(route, interface.ipv4)
            and not (other == name and _is_own_range(owner, route, interface))
        ):
            yield f"{route} and {interface.ipv4}, the ipv4 of interface {other!r}, overlap; choose another one there"
        for participant, subnet in claims[other].subnets.items():
            if not _overlap(route, subnet):
                continue
            is_around_own = (other, participant) == (name, owner) and route.prefixlen < subnet.prefixlen
            is_sure = not interface.is_unsure("prefix") and not interface.is_unsure_of(participant, "address")
            if not is_around_own and is_sure:
                yield (
                    f"{route} and {subnet}, of {participant!r} inside the mesh{place}, overlap; route to networks "
                    "outside the mesh only"
                )


def _is_own_range(owner: str, route: Network, interface: Interface) -> bool:
    # A participant owns only its address in the IPv4 prefix, so a wider route of its own takes none from others.
    return not any(
        address in route and (participant != owner or route.prefixlen == 32)
        for participant, address in interface.ipv4_addresses.items()
    )


def _addresses_of_hosts(interface: Interface, hosts: Hosts) -> Iterator[tuple[str, str, IPv4Address | IPv6Address]]:
    """Yield the addresses that hosts have outside the mesh: whose each is, of which field, and itself."""
    for name in dict.fromkeys(interface.hosts):
        yield from ((name, "externalIps", ip_address(text)) for text in hosts[name].external_ips)
        yield from ((name, "localIps", ip_address(text)) for text in hosts[name].local_ips)


def _addresses_outside(
    owner: str,
    route: Network,
    interface: Interface,
    hosts: Hosts,
    outside: Iterable[tuple[str, str, IPv4Address | IPv6Address]],
) -> Iterator[str]:
    router = hosts.get(owner) if owner not in interface.peers else None
    for name, field, address in outside:
        if address not in route:
            continue
        if field == "externalIps":
            yield (
                f"{address}, an external address of host {name!r}, is in {route}; a tunnel cannot carry itself, so "
                "route to narrower prefixes without that address"
            )
        # Hosts of one site are in that network already, and get no route to it.
        elif name != owner and not (router and may_share_a_site(router, hosts[name])):
            advice = "give both one site" if owner not in interface.peers else "take that host out of one of them"
            yield (
                f"{address}, a local address of host {name!r}, is in {route}; if that is one network, {advice}, else "
                "give one of the two networks another prefix"
            )
    for name, peer in interface.peers.items():
        if peer.endpoint and (found := address_of(peer.endpoint)) and found in route:
            yield (
                f"{peer.endpoint}, the endpoint of peer {name!r}, is in {route}; a tunnel cannot carry itself, so "
                "route to narrower prefixes without that address"
            )


def may_share_a_site(one: Host, other: Host) -> bool:
    """Tell whether two hosts are in one site, as far as that is known."""
    is_unsure = one.is_unsure("site") or other.is_unsure("site")
    return is_unsure or (one.site is not None and one.site == other.site)


def _behind_a_relay(owner: str, interface: Interface, hosts: Hosts) -> Iterator[str]:
    name = peering.choose_relay(interface, hosts) or ""
    relay, router = hosts.get(name), hosts.get(owner)
    if relay is None or router is None or owner == name or not router.is_roaming:
        return
    if router.site is not None and router.site == relay.site:
        yield (
            f"{show_name(name)}, the relay, is in the same site and takes no route from {owner!r}; give "
            "these routes to the relay"
        )


def _masquerade(name: str, interface: Interface) -> Iterator[PlacedFault]:
    used = set(interface.exit_nodes.values())
    # Whose exit node is not known may use any, and so may a host that is not known.
    is_used_by_all = any(map(interface.is_unsure, ("exitNode", "hosts", "peers"))) or any(
        interface.is_unsure_of(user, "exitNode") for user in interface.participants
    )
    for host, member in interface.members.items():
        is_used = is_used_by_all or host in used or interface.is_unsure_of(host, "routes")
        if member.masquerade is not None and not member.routes and not is_used:
            path = f"{place_of(name, interface, host)}.masquerade"
            yield PlacedFault(
                path,
                f"nothing is behind {show_name(host)}; give it routes, name it as exitNode, or remove this line",
            )
