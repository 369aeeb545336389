"""The rules of the stack file for networks behind hosts, and for exit nodes.

WireGuard gives a prefix of two owners to the last one, without a word; here both are named. `pairs` says which host
takes which route.
"""

from collections.abc import Iterator, Mapping
from ipaddress import ip_address

from mesh.config import peering
from mesh.config.fields import is_host_name
from mesh.config.models import Host, Hosts, Interface, Interfaces
from mesh.config.route_fields import OFF
from mesh.config.validation import join_path
from mesh.errors import PlacedFault, show_name
from mesh.wireguard.addressing import Network, owned_subnets
from mesh.wireguard.endpoint import address_of

__all__ = ["route_faults"]


def route_faults(hosts: Hosts, interfaces: Interfaces) -> Iterator[PlacedFault]:
    """Yield prefixes with two owners, routes that would cut off a host, and exit nodes that cannot be used."""
    for name, interface in interfaces.items():
        for owner, routes in interface.routes.items():
            path = f"{_place(name, interface, owner)}.routes"
            for number, route in enumerate(routes):
                yield from (PlacedFault(path, fault) for fault in _other_owners(name, owner, number, interfaces))
                yield from (PlacedFault(path, fault) for fault in _inside_the_mesh(name, owner, route, interfaces))
                yield from (PlacedFault(path, fault) for fault in _addresses_outside(owner, route, interface, hosts))
            yield from (PlacedFault(path, fault) for fault in _behind_a_relay(owner, interface, hosts))
        yield from _masquerade(name, interface)
        yield from _named_off(name, interface)
        yield from _exit_nodes(name, interface, hosts)
    yield from _two_exit_nodes(interfaces)


def _place(name: str, interface: Interface, participant: str) -> str:
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


def _other_owners(name: str, owner: str, number: int, interfaces: Interfaces) -> Iterator[str]:
    """Yield the claims to the same addresses that come before this one."""
    route = interfaces[name].routes[owner][number]
    for other, place in _neighbours(name, interfaces).items():
        for claimant, claimed in interfaces[other].routes.items():
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


def _inside_the_mesh(name: str, owner: str, route: Network, interfaces: Interfaces) -> Iterator[str]:
    if route.version == 4 and interfaces[name].ipv4 is None and not interfaces[name].is_unsure("ipv4"):
        yield (
            f"{route} is IPv4, and the interface has no ipv4 prefix, so no host would have an address to send from; "
            "give it one such as 10.20.0.0/24"
        )
    for other, place in _neighbours(name, interfaces).items():
        interface = interfaces[other]
        # A participant owns only its address in the IPv4 prefix, so a wider route of its own takes none from others.
        is_own_range = other == name and not any(
            address in route and (participant != owner or route.prefixlen == 32)
            for participant, address in interface.ipv4_addresses.items()
        )
        if interface.ipv4 and _overlap(route, interface.ipv4) and not is_own_range:
            yield f"{route} and {interface.ipv4}, the ipv4 of interface {other!r}, overlap; choose another one there"
        subnets = owned_subnets(
            other, filter(is_host_name, interface.participants), interface.fixed_addresses, interface.prefix
        )
        for participant, subnet in subnets.items():
            is_around_own = (other, participant) == (name, owner) and route.prefixlen < subnet.prefixlen
            is_sure = not interface.is_unsure("prefix") and not interface.is_unsure_of(participant, "address")
            if _overlap(route, subnet) and not is_around_own and is_sure:
                yield (
                    f"{route} and {subnet}, of {participant!r} inside the mesh{place}, overlap; route to networks "
                    "outside the mesh only"
                )


def _addresses_outside(owner: str, route: Network, interface: Interface, hosts: Hosts) -> Iterator[str]:
    router = hosts.get(owner) if owner not in interface.peers else None
    for name in dict.fromkeys(interface.hosts):
        host = hosts[name]
        for text in host.external_ips:
            if ip_address(text) in route:
                yield (
                    f"{text}, an external address of host {name!r}, is in {route}; a tunnel cannot carry itself, so "
                    "route to narrower prefixes without that address"
                )
        # Hosts of one site are in that network already, and get no route to it.
        for text in host.local_ips if name != owner and not (router and _may_share_a_site(router, host)) else ():
            if ip_address(text) in route:
                advice = "give both one site" if owner not in interface.peers else "take that host out of one of them"
                yield (
                    f"{text}, a local address of host {name!r}, is in {route}; if that is one network, {advice}, else "
                    "give one of the two networks another prefix"
                )
    for name, peer in interface.peers.items():
        if peer.endpoint and (address := address_of(peer.endpoint)) and address in route:
            yield (
                f"{peer.endpoint}, the endpoint of peer {name!r}, is in {route}; a tunnel cannot carry itself, so "
                "route to narrower prefixes without that address"
            )


def _may_share_a_site(one: Host, other: Host) -> bool:
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
            path = f"{_place(name, interface, host)}.masquerade"
            yield PlacedFault(
                path,
                f"nothing is behind {show_name(host)}; give it routes, name it as exitNode, or remove this line",
            )


def _named_off(name: str, interface: Interface) -> Iterator[PlacedFault]:
    """Yield a fault for each `exitNode: off` of an interface with a host of that name, which may be meant."""
    given = {_place(name, interface, user): entry.exit_node for user, entry in interface.entries.items()}
    for place, node in {join_path("mesh:interfaces", name): interface.exit_node, **given}.items():
        if node == OFF and OFF in interface.hosts:
            yield PlacedFault(
                f"{place}.exitNode", "off means none, and is the name of a host here too; rename that host"
            )


def _exit_nodes(name: str, interface: Interface, hosts: Hosts) -> Iterator[PlacedFault]:
    tags = peering.tags_of(interface, hosts)
    joined = peering.resolve(interface.peering, tags) if interface.peering else {}
    nodes = interface.exit_nodes
    for user, node in nodes.items():
        entry = interface.members.get(user) or interface.peers.get(user)
        own = entry is not None and entry.exit_node is not None
        path = f"{_place(name, interface, user) if own else join_path('mesh:interfaces', name)}.exitNode"
        off = f"give {_place(name, interface, user)}.exitNode another one, or off"
        if interface.ipv4 is None and not interface.is_unsure("ipv4") and user != node:
            yield PlacedFault(
                path,
                f"the interface has no ipv4 prefix, so IPv4 would not go by {show_name(node)}, and nobody "
                "would notice; give it one such as 10.20.0.0/24",
            )
        if node in interface.peers:
            yield PlacedFault(
                path, f"{show_name(node)} is not managed here, so nothing can be set up there; name a host, or off"
            )
        elif node not in interface.hosts:
            if not interface.is_unsure("hosts"):
                yield PlacedFault(path, f"{show_name(node)} is no host of this interface; name one that is, or off")
        elif user == node:
            yield PlacedFault(path, f"{show_name(node)} itself; name another host, or off")
        elif nodes.get(node, node) != node:
            last = _last_of(node, nodes)
            instead = f"name {last!r} here, or " if last in interface.hosts and last != user else ""
            yield PlacedFault(
                path,
                f"{show_name(node)} uses an exit node too, {nodes[node]!r}, and packets would "
                f"not leave there; {instead}let {show_name(node)} have it off",
            )
        elif interface.peering and node not in joined.get(user, ()):
            yield PlacedFault(
                path, f"no rule of peering makes {show_name(user)} a peer of {show_name(node)}; add one, or {off}"
            )
        elif not _can_meet(user, node, interface, hosts):
            yield PlacedFault(
                path,
                f"{show_name(user)} and {show_name(node)} are both roaming and cannot meet, and over a relay "
                f"there is no default route; {off}",
            )


def _last_of(node: str, nodes: Mapping[str, str]) -> str | None:
    """Return the exit node at which a chain of them ends; None where it goes round."""
    passed = {node}
    while (node := nodes.get(node, node)) not in passed:
        passed.add(node)
    return node if nodes.get(node, node) == node else None


def _can_meet(user: str, node: str, interface: Interface, hosts: Hosts) -> bool:
    there = hosts.get(node)
    if there is None or not there.is_roaming:
        return True
    if user in interface.peers:
        return interface.peers[user].endpoint is not None or interface.is_unsure_of(user, "endpoint")
    here = hosts[user]
    is_local = any(host.local_ips or host.is_unsure("localIps") for host in (here, there))
    return not here.is_roaming or (is_local and _may_share_a_site(here, there))


def _two_exit_nodes(interfaces: Interfaces) -> Iterator[PlacedFault]:
    first: dict[str, str] = {}
    for name, interface in interfaces.items():
        for host, node in interface.exit_nodes.items():
            other = first.setdefault(host, name) if host in interface.hosts else name
            if other != name:
                yield PlacedFault(
                    f"{_place(name, interface, host)}.exitNode",
                    f"host {show_name(host)} uses {show_name(node)} here and {interfaces[other].exit_nodes[host]!r} on "
                    f"interface {other!r}; let one of the two be off",
                )
