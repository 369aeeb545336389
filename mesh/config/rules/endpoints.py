"""The rules of the stack file by which each endpoint leads to one machine.

Those by which it leads outside of the mesh are in `prefixes`.
"""

from collections.abc import Iterator

from mesh.config.models import Host, Hosts, Interface, Interfaces
from mesh.config.validation import join_path
from mesh.errors import PlacedFault, show_name
from mesh.wireguard.endpoint import split_endpoint

__all__ = ["endpoint_faults"]

# An address or a name, and a port.
_Place = tuple[str, int]


def endpoint_faults(hosts: Hosts, interfaces: Interfaces) -> Iterator[PlacedFault]:
    """Yield ports without an address, and endpoints that two machines would have to answer at."""
    yield from _ports_without_an_address(hosts, interfaces)
    yield from _of_two_interfaces(hosts, interfaces)
    taken: dict[_Place, str] = {}
    yield from _of_two_hosts(hosts, interfaces, taken)
    yield from _of_peers(interfaces, taken)
    for name in interfaces:
        yield from _in_a_site(name, hosts, interfaces[name])


def _ports_without_an_address(hosts: Hosts, interfaces: Interfaces) -> Iterator[PlacedFault]:
    for name, interface in interfaces.items():
        for host, member in interface.members.items():
            if member.external_port and host in hosts and hosts[host].is_roaming:
                path = join_path("mesh:interfaces", name, "members", host, "externalPort")
                yield PlacedFault(
                    path,
                    f"host {show_name(host)} has no externalIps or externalName, so it has no endpoint; give "
                    "the router's address or name there, or leave the port out",
                )


def _of_two_interfaces(hosts: Hosts, interfaces: Interfaces) -> Iterator[PlacedFault]:
    """Yield external ports by which peers would find two interfaces of one host at one place."""
    first: dict[tuple[str, int], str] = {}
    for name, interface in interfaces.items():
        for host in dict.fromkeys(interface.hosts):
            if hosts[host].is_roaming or _port_is_unsure(interface, host):
                continue
            port = interface.external_port(host)
            other = first.setdefault((host, port), name)
            # One listen port of two interfaces is told as such.
            if interfaces[other].port == interface.port:
                continue
            place = name if port != interface.port else other
            yield PlacedFault(
                join_path("mesh:interfaces", place, "members", host, "externalPort"),
                f"{port} is where peers of interface {other if place == name else name!r} find {show_name(host)}, and "
                "a router forwards a port to one place; give one of them another port",
            )


def _of_two_hosts(hosts: Hosts, interfaces: Interfaces, taken: dict[_Place, str]) -> Iterator[PlacedFault]:
    """Yield what two hosts claim, and note in `taken` which host has which endpoint."""
    told: set[tuple[str, str, str]] = set()
    for interface_name, interface in interfaces.items():
        for name in dict.fromkeys(interface.hosts):
            if _port_is_unsure(interface, name):
                continue
            for address in _addresses(hosts[name]):
                other = taken.setdefault(_place(address, interface.external_port(name)), name)
                if other == name or (other, name, address) in told:
                    continue
                told.add((other, name, address))
                is_name = address == hosts[name].external_name
                yield PlacedFault(
                    join_path("mesh:hosts", name, "externalName" if is_name else "externalIps"),
                    f"{address} is "
                    f"{'the name' if is_name else 'an address'} of host {other!r} too, with one port on interface "
                    f"{interface_name!r}; leave it to the host that gets the packets",
                )


def _port_is_unsure(interface: Interface, host: str) -> bool:
    return interface.is_unsure("port") or interface.is_unsure_of(host, "externalPort")


def _addresses(host: Host) -> tuple[str, ...]:
    return (*host.external_ips, host.external_name) if host.external_name else host.external_ips


def _place(host: str, port: int) -> _Place:
    # To resolvers, the dot at the end of a name only says that it is whole.
    return host.rstrip("."), port


def _of_peers(interfaces: Interfaces, taken: dict[_Place, str]) -> Iterator[PlacedFault]:
    """Yield endpoints of unmanaged peers that are `taken` by a host, or by another peer."""
    # One machine may be a peer of two interfaces, by one name or with one key.
    first: dict[_Place, tuple[str, str | None]] = {}
    for interface_name, interface in interfaces.items():
        for name, peer in interface.peers.items():
            if peer.endpoint is None:
                continue
            place = _place(*split_endpoint(peer.endpoint))
            other, key = first.setdefault(place, (name, peer.public_key))
            is_one = other == name or (key is not None and key == peer.public_key)
            owner = f"host {taken[place]!r}" if place in taken else "" if is_one else f"peer {other!r}"
            if owner:
                yield PlacedFault(
                    join_path("mesh:interfaces", interface_name, "peers", name, "endpoint"),
                    f"{peer.endpoint} is the endpoint of {owner} too; leave it to the one that gets the packets",
                )


def _in_a_site(name: str, hosts: Hosts, interface: Interface) -> Iterator[PlacedFault]:
    """Yield what hosts of a site would take for a host of their own, since it has that address there."""
    if interface.is_unsure("port"):
        return
    local: dict[_Place, list[tuple[str, str]]] = {}
    for host in dict.fromkeys(interface.hosts):
        if (site := hosts[host].site) and hosts[host].local_ips:
            local.setdefault((hosts[host].local_ips[0], interface.port), []).append((site, host))
    for path, site, text, port in _outside(name, hosts, interface) if local else ():
        for where, other in local.get((text, port), ()):
            if where != site:
                yield PlacedFault(
                    path,
                    f"{text} is the local address of host {other!r} too, with one port on interface {name!r}, so "
                    f"hosts of site {show_name(where)} would send to that one; correct one of the two",
                )


def _outside(name: str, hosts: Hosts, interface: Interface) -> Iterator[tuple[str, str | None, str, int]]:
    """Yield each endpoint: its place, the site in which another one counts, its address and its port."""
    for host in dict.fromkeys(interface.hosts):
        if not _port_is_unsure(interface, host):
            site = hosts[host].site if hosts[host].local_ips else None
            for text in hosts[host].external_ips:
                yield join_path("mesh:hosts", host, "externalIps"), site, text, interface.external_port(host)
    for peer, entry in interface.peers.items():
        if entry.endpoint:
            yield (join_path("mesh:interfaces", name, "peers", peer, "endpoint"), None, *split_endpoint(entry.endpoint))
