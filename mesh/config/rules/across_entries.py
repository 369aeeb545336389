"""The rules of the stack file that need more than one entry to be checked.

Rules about a single value are in `fields`. Each function yields faults, ready to be shown. Places have no index, since
faulty items were removed from the lists before.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from mesh.config import peering
from mesh.config.fields import is_host_name
from mesh.config.models import AUTO, Bastion, Host, Hosts, Interfaces
from mesh.config.rules import prefixes, routes
from mesh.config.validation import PLACEHOLDER_ADDRESS, PLACEHOLDER_HOST_KEY, join_path
from mesh.errors import PlacedFault, show_name

__all__ = ["faults_across_entries"]

_PUBLIC = "name one that has externalIps or externalName"


def faults_across_entries(declared: Sequence[str], hosts: Hosts, interfaces: Interfaces) -> Iterator[PlacedFault]:
    """Yield every fault that concerns several entries.

    `declared` names all hosts of the file, also those that are not in `hosts` because nothing of them could be read.
    """
    yield from _same_machine(hosts)
    yield from _bastion_keys(hosts)
    yield from _former_names(declared, hosts)
    yield from _addresses_and_names(hosts)
    yield from _local_addresses(hosts)
    yield from _membership(declared, interfaces)
    yield from _peers(interfaces)
    for name, interface in interfaces.items():
        yield from peering.peering_faults(name, interface.peering, peering.tags_of(interface, hosts))
    yield from _relays(hosts, interfaces)
    yield from _shared_ports(interfaces)
    yield from _shared_endpoints(hosts, interfaces)
    yield from prefixes.prefix_faults(hosts, interfaces)
    yield from routes.route_faults(hosts, interfaces)


def _names(names: Iterable[str]) -> str:
    quoted = [show_name(name) for name in sorted(names)]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def _same_machine(hosts: Hosts) -> Iterator[PlacedFault]:
    first: dict[tuple[tuple[str, int], tuple[str, int] | None], str] = {}
    for name, host in hosts.items():
        if host.ssh.address == PLACEHOLDER_ADDRESS:
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
        if (bastion := host.ssh.bastion) is None or bastion.host_key == PLACEHOLDER_HOST_KEY:
            continue
        other, key = first.setdefault((bastion.address, bastion.port), (name, bastion.host_key))
        if key != bastion.host_key:
            path = join_path("mesh:hosts", name, "ssh", "bastion", "hostKey")
            yield PlacedFault(path, f"not the one that host {other!r} has for the same bastion; remove the wrong one")


def _former_names(declared: Sequence[str], hosts: Hosts) -> Iterator[PlacedFault]:
    first: dict[str, str] = {}
    for name, host in hosts.items():
        if host.formerly is None:
            continue
        path = join_path("mesh:hosts", name, "formerly")
        if host.formerly in declared:
            # Two machines would claim one key; and what a second machine of that name knew would never be revoked.
            yield PlacedFault(
                path, f"{show_name(host.formerly)} is a host of its own; remove this line, it has done its work"
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
        if host.local_ips and host.site is None:
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


def _membership(declared: Sequence[str], interfaces: Interfaces) -> Iterator[PlacedFault]:
    known = set(declared)
    for name, interface in interfaces.items():
        seen: set[str] = set()
        path = join_path("mesh:interfaces", name, "hosts")
        for host in interface.hosts:
            if host in seen:
                yield PlacedFault(path, f"host {show_name(host)} is listed twice; remove one of the two")
            elif host not in known:
                yield PlacedFault(path, f"unknown host {show_name(host)}; describe it in mesh:hosts or remove it")
            seen.add(host)
        for host in interface.members:
            if host not in seen:
                member = join_path("mesh:interfaces", name, "members", host)
                yield PlacedFault(member, "no host of this interface; list it in hosts or remove it")
        for host in interface.forgotten:
            # Ignored, it would hold when the host leaves again, and then leave the mesh's keys on a live machine.
            if host in seen:
                forgotten = join_path("mesh:interfaces", name, "forgotten")
                yield PlacedFault(forgotten, f"{show_name(host)} is a host of this interface again; remove it there")


def _peers(interfaces: Interfaces) -> Iterator[PlacedFault]:
    for name, interface in interfaces.items():
        first: dict[str, str] = {}
        for peer, declared in interface.peers.items():
            path = join_path("mesh:interfaces", name, "peers", peer)
            if not is_host_name(peer):
                yield PlacedFault(
                    path, "not a host name; use letters, digits and - in labels of 1 to 63, joined by dots"
                )
            if peer in interface.hosts:
                yield PlacedFault(path, f"{show_name(peer)} is a host of this interface too; leave one of the two out")
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
        public = [host for host in interface.hosts if host in hosts and not hosts[host].is_roaming]
        if interface.relay == AUTO and not public:
            yield PlacedFault(
                path, "every host here is roaming, so none can relay; give one externalIps, or leave relay out"
            )
        elif interface.relay not in (None, AUTO) and interface.relay not in interface.hosts:
            yield PlacedFault(
                path, f"{show_name(interface.relay)} is no host of this interface; name one that is, or auto"
            )
        elif interface.relay not in (None, AUTO) and interface.relay not in public:
            yield PlacedFault(path, f"host {show_name(interface.relay)} is roaming, so it cannot relay; {_PUBLIC}")


def _shared_ports(interfaces: Interfaces) -> Iterator[PlacedFault]:
    by_port: defaultdict[int, list[str]] = defaultdict(list)
    for name, interface in interfaces.items():
        path = join_path("mesh:interfaces", name, "port")
        for other in by_port[interface.port]:
            both = set(interface.hosts) & set(interfaces[other].hosts)
            if both:
                yield PlacedFault(
                    path,
                    f"{interface.port} is the port of interface {other!r} too, on {_names(both)}; "
                    "give one of them another port",
                )
        by_port[interface.port].append(name)


def _shared_endpoints(hosts: Hosts, interfaces: Interfaces) -> Iterator[PlacedFault]:
    yield from _ports_without_an_address(hosts, interfaces)
    told: set[tuple[str, str, str]] = set()
    first: dict[tuple[str, int], str] = {}
    for interface_name, interface in interfaces.items():
        for name in dict.fromkeys(interface.hosts):
            for address in _places(hosts[name]) if name in hosts else ():
                other = first.setdefault((address, interface.external_port(name)), name)
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


def _places(host: Host) -> tuple[str, ...]:
    return (*host.external_ips, host.external_name) if host.external_name else host.external_ips


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
