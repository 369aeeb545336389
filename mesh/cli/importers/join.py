"""Join the hosts' own configurations to one mesh, if they fit together.

What mesh cannot keep as it is stops the import, since the first `up` must change no running tunnel. Nothing here
touches a file or a host. What becomes of peers that are no hosts belongs in `strangers`.
"""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network

from mesh.cli.importers.found import FoundMember, FoundMesh
from mesh.cli.importers.inside import Inside, find_address_faults, find_ipv4_prefix
from mesh.cli.importers.strangers import Stranger, find_strangers
from mesh.config.fields import is_host_name, is_interface_name
from mesh.config.route_fields import Network, in_order
from mesh.errors import ConfigurationError
from mesh.wireguard.wg_quick import Endpoint, Peer, WgQuick

__all__ = ["join_configurations"]


def join_configurations(interface: str, hosts: Mapping[str, WgQuick]) -> FoundMesh:
    """Return the mesh that the configurations of its hosts make.

    Raises:
        ConfigurationError: With everything that mesh could not keep as it is.
    """
    faults = list(_own_faults(interface, hosts))
    if faults:
        raise ConfigurationError(faults, "import")
    return _Joined(interface, dict(sorted(hosts.items()))).mesh()


def _own_faults(interface: str, hosts: Mapping[str, WgQuick]) -> Iterator[str]:
    if not is_interface_name(interface):
        yield "interface: not an interface name; name it with --interface"
        return
    owners: dict[str, str] = {}
    for host, own in hosts.items():
        if not is_host_name(host):
            yield f"{interface}: a host has a name that is none; use letters, digits and - joined by dots"
            continue
        where = f"{interface} on {host}"
        if own.others:
            yield (
                f"{where}: {', '.join(own.others)}: mesh has no place for it and would drop it; do without it on "
                "the host first, or leave this mesh as it is"
            )
        if own.public_key is None:
            yield f"{where}: no PrivateKey; give the file that holds it"
        elif (other := owners.setdefault(own.public_key, host)) != host:
            yield f"{where}: the private key of host {other!r} too; give each host its own"
    for host, fault in find_address_faults({host: own for host, own in hosts.items() if is_host_name(host)}):
        yield f"{interface} on {host}: {fault}"


def _listed(prefixes: Iterable[Network]) -> str:
    return ", ".join(sorted(map(str, prefixes)))


class _Joined:
    """Configurations that are fine one by one; `faults` and `notes` grow while they are held against each other."""

    def __init__(self, interface: str, hosts: Mapping[str, WgQuick]) -> None:
        self.interface = interface
        self.hosts = hosts
        self.faults: list[str] = []
        self.notes: list[str] = []
        self._names = {own.public_key: host for host, own in hosts.items()}
        self._strangers = find_strangers(hosts)
        others = {stranger.name: stranger.ipv6 for stranger in self._strangers if stranger.ipv6}
        self._inside = Inside(interface, hosts, others)

    def mesh(self) -> FoundMesh:
        inside = self._inside
        endpoints = {host: self._endpoint(host) for host in self.hosts}
        routes = {host: self._routes(host) for host in self.hosts}
        port = self._port(endpoints)
        members = tuple(
            FoundMember(
                host,
                inside.ipv6.get(host),
                endpoint[0] if (endpoint := endpoints[host]) else None,
                self._keepalive(host),
                own.private_key,
                endpoint[0] if endpoint else None,
                ipv4=inside.ipv4[host].ip if inside.ipv4 else None,
                routes=routes[host],
            )
            for host, own in self.hosts.items()
        )
        self._note_what_is_new(endpoints)
        preshared_key = self._preshared_key()
        for stranger in self._strangers:
            self._check_stranger(stranger, preshared_key)
        found = FoundMesh(
            self.interface, members, port, self._mtu(), preshared_key, tuple(self.notes),
            self._ipv4_prefix(), tuple(stranger.found() for stranger in self._strangers),
        )  # fmt: skip
        if self.faults:
            raise ConfigurationError(self.faults, "import")
        return found

    def _ipv4_prefix(self) -> IPv4Network | None:
        if not (ipv4 := self._inside.ipv4):
            return None
        addresses = [*(each.ip for each in ipv4.values()), *(each.ipv4 for each in self._strangers if each.ipv4)]
        prefix = find_ipv4_prefix(ipv4.values(), addresses)
        if prefix is None:
            self.faults.append(
                f"{self.interface}: {min(addresses)} and {max(addresses)} are in no network of 8 bits or more; a mesh "
                "has one for all its IPv4 addresses, so give it such first"
            )
        return prefix

    def _routes(self, host: str) -> tuple[Network, ...]:
        """Return what the others send to `host` besides what it owns: the networks behind it."""
        owned = self._inside.owned(host)
        sent = {other: set(peer.allowed_ips) for other, peer in self._peers(host)}
        routes = set[Network]().union(*sent.values()) - owned
        for other, prefixes in sent.items():
            if missing := owned - prefixes:
                self._fault(
                    other,
                    f"sends {_listed(prefixes) or 'nothing'} to {host}, and mesh would send {_listed(missing)}; make "
                    "that its AllowedIPs first",
                )
                routes -= prefixes
            elif lacking := routes - prefixes:
                self.notes.append(f"{other}: sends {_listed(lacking)} to {host} too, with the first up")
        for route in sorted(routes, key=str):
            if not route.prefixlen:
                self._fault(
                    host, "is sent everything; take that out of AllowedIPs, and name it as exitNode after the first up"
                )
            elif others := sorted(other for other in self.hosts if self._overlaps(other, route)):
                self._fault(
                    host,
                    f"is sent {route}, where {', '.join(others)} {'is' if len(others) == 1 else 'are'} too; mesh sends "
                    "each host what is its own, so take that out of AllowedIPs first",
                )
        return in_order(routes)

    def _overlaps(self, host: str, route: Network) -> bool:
        return any(route.version == net.version and route.overlaps(net) for net in self._inside.owned(host))

    def _check_stranger(self, stranger: Stranger, preshared_key: str | None) -> None:
        for fault in stranger.faults(preshared_key, bool(self._inside.ipv4)):
            self.faults.append(f"{self.interface}: peer {stranger.name}, whose file is not here: {fault}")
        without = sorted(set(self.hosts) - set(stranger.known))
        self.notes.append(
            f"{stranger.name}: no file has its key, so it becomes a peer that is not managed here; if it is a host, "
            "give its file" + (f"; {', '.join(without)}: gets it too" if without else "")
        )

    def _fault(self, host: str, text: str) -> None:
        self.faults.append(f"{self.interface} on {host}: {text}")

    def _peers(self, host: str) -> Iterator[tuple[str, Peer]]:
        """Yield who has `host` as a peer, and how."""
        for other, own in self.hosts.items():
            for peer in own.peers:
                if self._names.get(peer.public_key) == host:
                    yield other, peer

    def _endpoint(self, host: str) -> Endpoint | None:
        known = {other: peer.endpoint for other, peer in self._peers(host)}
        given = sorted({endpoint for endpoint in known.values() if endpoint})
        if not given:
            return None
        if len(given) > 1:
            self._fault(
                host, "its peers seek it at several endpoints; mesh has one for all, so make them the same first"
            )
        if without := sorted(other for other, endpoint in known.items() if endpoint is None):
            self.notes.append(f"{', '.join(without)}: gets the endpoint of {host}, which it does not have yet")
        return given[0]

    def _port(self, endpoints: Mapping[str, Endpoint | None]) -> int | None:
        ports = {host: endpoint[1] for host, endpoint in endpoints.items() if endpoint}
        own = {host: self.hosts[host].port for host in self.hosts}
        for host, port in ports.items():
            if own[host] not in (None, port):
                self._fault(host, f"listens on {own[host]} and is sought at {port}; mesh has one port for both")
        found = sorted(set(ports.values()) or {port for port in own.values() if port})
        if len(found) > 1:
            text = ", ".join(map(str, found))
            self.faults.append(
                f"{self.interface}: ports {text}; a mesh has one port for all hosts, so make them the same"
            )
        if not found:
            return None
        for host in sorted(set(own) - set(ports)):
            if own[host] != found[0]:
                self.notes.append(
                    f"{host}: listens on {own[host] or 'a random port'}, and with the first up on {found[0]}; a packet "
                    "that is on its way at that moment may be lost"
                )
        return found[0]

    def _keepalive(self, host: str) -> int:
        values = sorted({peer.keepalive for peer in self.hosts[host].peers} - {0})
        if len(values) > 1:
            self.notes.append(f"{host}: several keepalives; the shortest, {values[0]} s, will be for all its peers")
        return values[0] if values else 0

    def _mtu(self) -> int | None:
        found = sorted({own.mtu for own in self.hosts.values() if own.mtu})
        if len(found) > 1:
            text = ", ".join(map(str, found))
            self.faults.append(
                f"{self.interface}: MTU {text}; a mesh has one for all hosts, so make them the same first"
            )
        return found[0] if found else None

    def _preshared_key(self) -> str | None:
        keys = set[str | None]().union(*(own.preshared_keys for own in self.hosts.values()))
        if len(keys) == 1 and (key := keys.pop()):
            return key
        self.notes.append(
            "no preshared key that all pairs share: the first up makes one, and running tunnels take it with their "
            "next handshake"
        )
        return None

    def _note_what_is_new(self, endpoints: Mapping[str, Endpoint | None]) -> None:
        if without := sorted(set(self.hosts) - set(self._inside.ipv6)):
            self.notes.append(
                f"{', '.join(without)}: gets an IPv6 address beside its IPv4 address; a mesh proves itself by it"
            )
        for host in self.hosts:
            has = {other for other, _ in self._peers(host)}
            for other in sorted(set(self.hosts) - has - {host}):
                if endpoints[host] or endpoints[other]:
                    self.notes.append(f"{other}: gets the peer {host}, which it does not have yet")
