"""The rules of the stack file for exit nodes: who may be one, and for whom."""

from collections.abc import Iterator, Mapping

from mesh.config import peering
from mesh.config.models import Hosts, Interface, Interfaces
from mesh.config.route_fields import OFF
from mesh.config.rules.routes import may_share_a_site, place_of
from mesh.config.validation import join_path
from mesh.errors import PlacedFault, show_name

__all__ = ["exit_node_faults"]


def exit_node_faults(hosts: Hosts, interfaces: Interfaces) -> Iterator[PlacedFault]:
    """Yield exit nodes that cannot be used."""
    for name, interface in interfaces.items():
        yield from _named_off(name, interface)
        yield from _exit_nodes(name, interface, hosts)
    yield from _two_exit_nodes(interfaces)


def _named_off(name: str, interface: Interface) -> Iterator[PlacedFault]:
    """Yield a fault for each `exitNode: off` of an interface with a host of that name, which may be meant."""
    given = {place_of(name, interface, user): entry.exit_node for user, entry in interface.entries.items()}
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
        path = f"{place_of(name, interface, user) if own else join_path('mesh:interfaces', name)}.exitNode"
        off = f"give {place_of(name, interface, user)}.exitNode another one, or off"
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
    return not here.is_roaming or (is_local and may_share_a_site(here, there))


def _two_exit_nodes(interfaces: Interfaces) -> Iterator[PlacedFault]:
    first: dict[str, str] = {}
    for name, interface in interfaces.items():
        for host, node in interface.exit_nodes.items():
            other = first.setdefault(host, name) if host in interface.hosts else name
            if other != name:
                yield PlacedFault(
                    f"{place_of(name, interface, host)}.exitNode",
                    f"host {show_name(host)} uses {show_name(node)} here and {interfaces[other].exit_nodes[host]!r} on "
                    f"interface {other!r}; let one of the two be off",
                )
