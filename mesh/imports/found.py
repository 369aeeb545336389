"""A mesh that was found somewhere, and what makes one of its hosts' own configurations, if they fit together.

What mesh cannot keep as it is stops the import, since the first `up` must change no running tunnel. Nothing here
touches a file or a host.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Interface

from mesh.addressing import owned_subnets
from mesh.errors import ConfigurationError
from mesh.fields import is_host_name, is_interface_name
from mesh.wgquick import Endpoint, Peer, WgQuick

__all__ = ["FoundMember", "FoundMesh", "join_configurations"]


@dataclass(frozen=True, slots=True)
class FoundMember:
    """One host; None and empty stand for what is not known, `external` None also for roaming.

    `external` is the address or the name at which its peers seek it.
    """

    host: str
    address: IPv6Interface | None = None
    external: str | None = None
    keepalive: int | None = None
    private_key: str | None = field(default=None, repr=False)
    ssh_address: str | None = None
    host_key: str | None = None


@dataclass(frozen=True, slots=True)
class FoundMesh:
    """One interface on all its hosts; `notes` say what its first `up` changes, and what could not be known."""

    interface: str
    members: tuple[FoundMember, ...]
    port: int | None = None
    mtu: int | None = None
    preshared_key: str | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    @property
    def keys(self) -> dict[str, str]:
        """The keys by their name in `mesh:adopted`."""
        private = {f"{self.interface}/{each.host}": each.private_key for each in self.members if each.private_key}
        return {**private, **({self.interface: self.preshared_key} if self.preshared_key else {})}


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
        addresses = [address for address in own.addresses if isinstance(address, IPv6Interface)]
        if old := [str(address) for address in own.addresses if address not in addresses]:
            yield (
                f"{where}: the IPv4 address {', '.join(old)}; a mesh is IPv6 inside, so this one cannot be taken over "
                "as it is: give it IPv6 addresses first"
            )
        elif len(addresses) != 1:
            yield f"{where}: {len(addresses)} addresses; a host of a mesh has exactly one, so make it one first"


class _Joined:
    """Configurations that are fine one by one; `faults` and `notes` grow while they are held against each other."""

    def __init__(self, interface: str, hosts: Mapping[str, WgQuick]) -> None:
        self.interface = interface
        self.hosts = hosts
        self.faults: list[str] = []
        self.notes: list[str] = []
        self._names = {own.public_key: host for host, own in hosts.items()}
        self._addresses = {host: own.addresses[0] for host, own in hosts.items()}
        self._fixed = {host: address for host, address in self._addresses.items() if isinstance(address, IPv6Interface)}

    def mesh(self) -> FoundMesh:
        subnets = owned_subnets(self.interface, self.hosts, self._fixed)
        for host, own in self.hosts.items():
            for peer in own.peers:
                name = self._names.get(peer.public_key)
                if name is None:
                    self._fault(host, "has a peer that none of the hosts is; give its file too, or take the peer out")
                elif set(map(str, peer.allowed_ips)) != {str(subnets[name])}:
                    self._fault(
                        host,
                        f"sends {', '.join(map(str, peer.allowed_ips)) or 'nothing'} to {name}, and mesh would send "
                        f"{subnets[name]}; make that its AllowedIPs first",
                    )
        endpoints = {host: self._endpoint(host) for host in self.hosts}
        port = self._port(endpoints)
        members = tuple(
            FoundMember(
                host,
                self._fixed[host],
                endpoint[0] if (endpoint := endpoints[host]) else None,
                self._keepalive(host),
                own.private_key,
                endpoint[0] if endpoint else None,
            )
            for host, own in self.hosts.items()
        )
        self._note_missing_pairs(endpoints)
        found = FoundMesh(
            self.interface, members, port, self._mtu(), self._preshared_key(), tuple(self.notes)
        )  # fmt: skip
        if self.faults:
            raise ConfigurationError(self.faults, "import")
        return found

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

    def _note_missing_pairs(self, endpoints: Mapping[str, Endpoint | None]) -> None:
        for host in self.hosts:
            has = {other for other, _ in self._peers(host)}
            for other in sorted(set(self.hosts) - has - {host}):
                if endpoints[host] or endpoints[other]:
                    self.notes.append(f"{other}: gets the peer {host}, which it does not have yet")
