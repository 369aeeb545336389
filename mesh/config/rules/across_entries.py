"""The rules of the stack file that need more than one entry to be checked.

Rules about a single value are in `fields`. Each function yields faults, ready to be shown. Places have no index, since
faulty items were removed from the lists before.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from itertools import product

from mesh.config import peering
from mesh.config.fields import NO_HOST_NAME, is_host_name
from mesh.config.interface_name import PEER_FILES
from mesh.config.models import AUTO, Bastion, Hosts, Interfaces
from mesh.config.rules import endpoints, exit_nodes, prefixes, routes
from mesh.config.validation import PLACEHOLDER_ADDRESS, join_path, nearest
from mesh.errors import MOST_SHOWN, PlacedFault, show_first, show_name

__all__ = ["faults_across_entries", "shared_port"]

_PUBLIC = "name one that has externalIps or externalName"
# Each guess looks at all names; where many are unknown, it is the list or the section that is wrong.
_GUESSES = 20


def faults_across_entries(
    declared: Collection[str] | None, hosts: Hosts, interfaces: Interfaces
) -> Iterator[PlacedFault]:
    """Yield every fault that concerns several entries; none that only follows from a field that is faulty itself.

    `declared` names all hosts of the file, and is None where that is not known. `hosts` has each that is listed too.
    """
    yield from _hosts_and_peers(interfaces)
    # Who is both is a host to all other rules, so that none tells what only follows from that.
    interfaces = {name: interface.with_hosts_no_peers() for name, interface in interfaces.items()}
    yield from _same_machine(hosts)
    yield from _bastion_keys(hosts)
    yield from _former_names(declared, hosts, interfaces)
    yield from _addresses_and_names(hosts)
    yield from _local_addresses(hosts)
    yield from _membership(declared, hosts, interfaces)
    yield from _peers(interfaces)
    for name, interface in interfaces.items():
        yield from peering.peering_faults(name, interface, peering.tags_of(interface, hosts))
    yield from _relays(hosts, interfaces)
    yield from _shared_ports(interfaces)
    yield from endpoints.endpoint_faults(hosts, interfaces)
    yield from prefixes.prefix_faults(hosts, interfaces)
    yield from routes.route_faults(hosts, interfaces)
    yield from exit_nodes.exit_node_faults(hosts, interfaces)


def _names(names: Iterable[str]) -> str:
    quoted = [show_name(name) for name in sorted(names)]
    if len(quoted) == 1 or len(quoted) > MOST_SHOWN:
        return show_first(quoted)
    return f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def _same_machine(hosts: Hosts) -> Iterator[PlacedFault]:
    first: dict[tuple[tuple[str, int], tuple[str, int] | None], str] = {}
    for name, host in hosts.items():
        places = product([["ssh"], ["ssh", "bastion"]], ["address", "port"])
        if host.ssh.address == PLACEHOLDER_ADDRESS or any(host.is_unsure(*way, field) for way, field in places):
            continue
        # Private addresses repeat behind different bastions, so the way there is part of the machine.
        through = _login(host.ssh.bastion) if host.ssh.bastion is not None else None
        other = first.setdefault((_login(host.ssh), through), name)
        if other != name:
            yield PlacedFault(
                join_path("mesh:hosts", name, "ssh", "address"),
                f"the same address and port as host {other!r}; "
                "one machine can be one host only, so correct the address or remove one of the two",
            )


def _bastion_keys(hosts: Hosts) -> Iterator[PlacedFault]:
    first: dict[tuple[str, int], tuple[str, str]] = {}
    for name, host in hosts.items():
        bastion = host.ssh.bastion
        if bastion is None or any(host.is_unsure("ssh", "bastion", field) for field in ("address", "port", "hostKey")):
            continue
        other, key = first.setdefault((bastion.address, bastion.port), (name, bastion.host_key))
        if key != bastion.host_key:
            path = join_path("mesh:hosts", name, "ssh", "bastion", "hostKey")
            yield PlacedFault(path, f"not the one that host {other!r} has for the same bastion; remove the wrong one")


def _former_names(declared: Collection[str] | None, hosts: Hosts, interfaces: Interfaces) -> Iterator[PlacedFault]:
    first: dict[str, str] = {}
    beside = {(host, peer): name for name, mesh in interfaces.items() for host in mesh.hosts for peer in mesh.peers}
    for name, host in hosts.items():
        if host.formerly is None:
            continue
        path = join_path("mesh:hosts", name, "formerly")
        if host.formerly in (declared or ()):
            # Two machines would claim one key; and what a second machine of that name knew would never be revoked.
            yield PlacedFault(
                path, f"{show_name(host.formerly)} is a host of its own; remove this line, it has done its work"
            )
        elif mesh := beside.get((name, host.formerly)):
            yield PlacedFault(
                path,
                f"{show_name(host.formerly)} is a peer of interface {mesh!r}; remove this line if it has done its "
                "work, else give that peer another name",
            )
        elif (other := first.setdefault(host.formerly, name)) != name:
            yield PlacedFault(
                path, f"host {other!r} was {show_name(host.formerly)} too; leave it to the one that is that machine"
            )


def _addresses_and_names(hosts: Hosts) -> Iterator[PlacedFault]:
    for name, host in hosts.items():
        if host.external_ips and host.external_name:
            yield PlacedFault(
                join_path("mesh:hosts", name, "externalName"),
                f"host {show_name(name)} has externalIps too, and "
                "peers use one of the two; leave the addresses out where they change, else the name",
            )


def _local_addresses(hosts: Hosts) -> Iterator[PlacedFault]:
    first: dict[tuple[str, str], str] = {}
    for name, host in hosts.items():
        path = join_path("mesh:hosts", name, "localIps")
        if host.local_ips and host.site is None and not host.is_unsure("site"):
            yield PlacedFault(
                path, f"host {show_name(name)} has no site, so no peer uses them; name the site, or leave them out"
            )
        for address in host.local_ips if host.site else ():
            other = first.setdefault((str(host.site), address), name)
            if other != name:
                yield PlacedFault(
                    path,
                    f"{address} is an address of host {other!r} too, in the same site; leave it to the host "
                    "that gets the packets",
                )


def _login(ssh: Bastion) -> tuple[str, int]:
    return ssh.address, ssh.port


def _membership(declared: Collection[str] | None, hosts: Hosts, interfaces: Interfaces) -> Iterator[PlacedFault]:
    now = {host.formerly: name for name, host in hosts.items() if host.formerly}
    for name, interface in interfaces.items():
        seen: set[str] = set()
        guesses = 0
        path = join_path("mesh:interfaces", name, "hosts")
        for host in interface.hosts:
            if host in seen:
                yield PlacedFault(path, f"host {show_name(host)} is listed twice; remove one of the two")
            elif declared is not None and host not in declared and host in now:
                yield PlacedFault(path, f"host {show_name(host)} is {now[host]!r} by now; use that name here too")
            elif declared is not None and host not in declared:
                meant = nearest(host, set(declared) - {*interface.hosts}) if guesses < _GUESSES else ""
                guesses += 1
                guess = f"did you mean {show_name(meant)}? Else " if meant else ""
                yield PlacedFault(
                    path, f"unknown host {show_name(host)}; {guess}describe it in mesh:hosts or remove it"
                )
            seen.add(host)
        for host in interface.members:
            if host not in seen and not interface.is_unsure("hosts"):
                member = join_path("mesh:interfaces", name, "members", host)
                if now.get(host) in seen:
                    yield PlacedFault(member, f"is {now[host]!r} by now; give the entry that name too")
                else:
                    yield PlacedFault(member, "no host of this interface; list it in hosts or remove it")
        for host in interface.forgotten:
            # Ignored, it would hold when the host leaves again, and then leave the mesh's keys on a live machine.
            if host in seen:
                forgotten = join_path("mesh:interfaces", name, "forgotten")
                yield PlacedFault(forgotten, f"{show_name(host)} is a host of this interface again; remove it there")


def _hosts_and_peers(interfaces: Interfaces) -> Iterator[PlacedFault]:
    for name, interface in interfaces.items():
        for peer in filter(interface.peers.__contains__, dict.fromkeys(interface.hosts)):
            path = join_path("mesh:interfaces", name, "peers", peer)
            yield PlacedFault(path, f"{show_name(peer)} is a host of this interface too; leave one of the two out")


def _peers(interfaces: Interfaces) -> Iterator[PlacedFault]:
    for name, interface in interfaces.items():
        if interface.peers and (taken := f"{name}{PEER_FILES}") in interfaces:
            yield PlacedFault(
                join_path("mesh:interfaces", taken),
                f"the files of the peers of interface {name!r} are the output of that name; choose another one",
            )
        first: dict[str, str] = {}
        for peer, declared in interface.peers.items():
            path = join_path("mesh:interfaces", name, "peers", peer)
            if not is_host_name(peer):
                yield PlacedFault(path, NO_HOST_NAME)
            if declared.public_key is None:
                continue
            if declared.rotation is not None:
                yield PlacedFault(
                    f"{path}.rotation", f"the key of {show_name(peer)} is not made here; remove this line"
                )
            other = first.setdefault(declared.public_key, peer)
            if other != peer:
                words = f"the key of peer {other!r} too; each needs its own, so correct one of the two"
                yield PlacedFault(f"{path}.publicKey", words)


def _relays(hosts: Hosts, interfaces: Interfaces) -> Iterator[PlacedFault]:
    for name, interface in interfaces.items():
        path = join_path("mesh:interfaces", name, "relay")
        public = [host for host in interface.hosts if not hosts[host].is_roaming]
        if interface.relay == AUTO and AUTO in interface.hosts:
            yield PlacedFault(
                path, "auto means the first host with an endpoint, and is the name of a host too; rename that host"
            )
        elif interface.is_unsure("hosts"):
            continue
        elif interface.relay == AUTO and not public:
            yield PlacedFault(
                path, "every host here is roaming, so none can relay; give one externalIps, or leave relay out"
            )
        elif interface.relay not in (None, AUTO) and interface.relay not in interface.hosts:
            yield PlacedFault(
                path, f"{show_name(interface.relay)} is no host of this interface; name one that is, or auto"
            )
        elif interface.relay not in (None, AUTO) and interface.relay not in public:
            yield PlacedFault(path, f"host {show_name(interface.relay)} is roaming, so it cannot relay; {_PUBLIC}")


def shared_port(interface: str, port: int, other: str, hosts: Iterable[str]) -> PlacedFault:
    """Return the fault of an interface whose port is that of another one on some hosts."""
    return PlacedFault(
        join_path("mesh:interfaces", interface, "port"),
        f"{port} is the port of interface {other!r} too, on {_names(hosts)}; give one of them another port",
    )


def _shared_ports(interfaces: Interfaces) -> Iterator[PlacedFault]:
    by_port: defaultdict[int, list[str]] = defaultdict(list)
    for name, interface in interfaces.items():
        if interface.is_unsure("port"):
            continue
        for other in by_port[interface.port]:
            both = set(interface.hosts) & set(interfaces[other].hosts)
            if both:
                yield shared_port(name, interface.port, other, both)
        by_port[interface.port].append(name)
