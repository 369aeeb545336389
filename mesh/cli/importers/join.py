"""Join the configurations of hosts to one mesh, if they fit together.

A setting that mesh cannot keep as it is stops the import, since the first `up` must change no running tunnel. Nothing
here touches a file or a host. `routing` finds routes, and `unmatched_peers` the peers that are no hosts.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from ipaddress import IPv4Network

from mesh.cli.importers.endpoints import Sought, choose_endpoint
from mesh.cli.importers.found import FoundMember, FoundMesh
from mesh.cli.importers.inside import Inside, find_ipv4_prefix, why_no_prefix
from mesh.cli.importers.misfits import misfits, unkept_settings
from mesh.cli.importers.routing import Routing
from mesh.cli.importers.source import Source, some
from mesh.cli.importers.unmatched_peers import UnmatchedPeer, find_unmatched_peers
from mesh.cli.stack_file import HOSTS, INTERFACES
from mesh.errors import ConfigurationError, PlacedFault
from mesh.plan.topology import ROAMING_KEEPALIVE
from mesh.wireguard.wg_quick import ConfiguredPeer, Endpoint, WgQuick

__all__ = ["join_configurations"]


def join_configurations(interface: str, hosts: Mapping[str, WgQuick], source: Source) -> FoundMesh:
    """Return the mesh that the configurations of its hosts make.

    Raises:
        ConfigurationError: With everything that mesh could not keep as it is.
    """
    # What cannot be kept of one host does not hide how it fits together with others.
    faults = list(misfits(hosts))
    if faults:
        raise ConfigurationError([*unkept_settings(hosts), *faults], "import")
    return _Joined(interface, dict(sorted(hosts.items())), source, list(unkept_settings(hosts))).mesh()


class _Joined:
    """Configurations that are usable one by one; `faults` and `notes` grow while they are compared."""

    def __init__(self, interface: str, hosts: Mapping[str, WgQuick], source: Source, faults: list[PlacedFault]) -> None:
        self.interface = interface
        self.hosts = hosts
        self.source = source
        self.faults = faults
        self.notes: list[str] = []
        self._unmatched_peers = find_unmatched_peers(hosts)
        others = {unmatched.name: unmatched.ipv6 for unmatched in self._unmatched_peers if unmatched.ipv6}
        self._inside = Inside(interface, hosts, others)
        # By host, the peers that have it, and how.
        self._known: dict[str, dict[str, ConfiguredPeer]] = {host: {} for host in hosts}
        names = {own.public_key: host for host, own in hosts.items()}
        for host, own in hosts.items():
            for peer in own.peers:
                if peer.public_key in names:
                    self._known[names[peer.public_key]][host] = peer
        self._placed = {host for host, known in self._known.items() if any(peer.endpoint for peer in known.values())}

    def mesh(self) -> FoundMesh:
        inside = self._inside
        sought = {host: self._endpoint(host) for host in self.hosts}
        routing = Routing(inside, self._known, self._unmatched_peers, self.source)
        port = self._port(sought)
        members = tuple(
            FoundMember(
                host,
                inside.ipv6.get(host),
                sought[host].addresses if self._known[host] else None,
                self._keepalive(host),
                own.private_key,
                next(iter(sought[host].addresses), None),
                ipv4=inside.ipv4[host].ip if inside.ipv4 else None,
                routes=routing.routes[host],
                external_port=sought[host].port if sought[host].port != port else None,
            )
            for host, own in self.hosts.items()
        )
        self.faults.extend(routing.faults)
        self.notes.extend(routing.notes)
        self._note_other_addresses(sought)
        self._note_what_is_new({host for host, each in sought.items() if each.addresses})
        preshared_key = self._preshared_key()
        for unmatched in self._unmatched_peers:
            self._check_unmatched(unmatched, preshared_key)
        found = FoundMesh(
            self.interface,
            members,
            port,
            self._mtu(),
            preshared_key,
            tuple(self.notes),
            self._ipv4_prefix(),
            tuple(unmatched.found() for unmatched in self._unmatched_peers),
            self._places(),
        )
        if self.faults:
            raise ConfigurationError(dict.fromkeys(self.faults), "import")
        return found

    def _places(self) -> dict[tuple[str, ...], str]:
        interface = (INTERFACES, self.interface)
        places: dict[tuple[str, ...], str] = {interface: self.source.where}
        for host, own in self.hosts.items():
            member, known = (*interface, "members", host), self._known[host].values()
            endpoint = next((peer.place for peer in known if peer.endpoint), None)
            places[HOSTS, host] = f"{endpoint}: Endpoint" if endpoint else own.where
            places[member] = own.where
            places[*member, "address"] = places[*member, "ipv4"] = f"{own.place('Address')}: Address"
            if sent := next(iter(known), None):
                places[*member, "routes"] = f"{sent.place}: AllowedIPs"
            places.setdefault((*interface, "port"), f"{own.place('ListenPort')}: ListenPort")
            if own.mtu:
                places.setdefault((*interface, "mtu"), f"{own.place('MTU')}: MTU")
        for unmatched in self._unmatched_peers:
            places[*interface, "peers", unmatched.name] = unmatched.place
        return places

    def _ipv4_prefix(self) -> IPv4Network | None:
        if not (ipv4 := self._inside.ipv4):
            return None
        addresses = [*(each.ip for each in ipv4.values()), *(each.ipv4 for each in self._unmatched_peers if each.ipv4)]
        prefix = find_ipv4_prefix(ipv4.values(), addresses)
        if prefix is None:
            self.faults.append(PlacedFault(self.source.where, why_no_prefix(addresses)))
        return prefix

    def _check_unmatched(self, unmatched: UnmatchedPeer, preshared_key: str | None) -> None:
        self.faults.extend(unmatched.faults(preshared_key, bool(self._inside.ipv4)))
        without = set(self.hosts) - set(unmatched.known)
        self.notes.append(
            f"{unmatched.name}: no file has its key, so it becomes a peer that is not managed here; if it is a host, "
            "give its file" + (f"; it is not in the files of {some(without)}, which get it" if without else "")
        )

    def _endpoint(self, host: str) -> Sought:
        known = self._known[host]
        places: dict[Endpoint, str] = {}
        for peer in known.values():
            if peer.endpoint:
                places.setdefault(peer.endpoint, peer.place)
        if not places:
            return Sought()
        if without := [other for other, peer in known.items() if not peer.endpoint]:
            self.notes.append(f"{some(without)}: gets the endpoint of {host}, which it does not have yet")
        uses = Counter[Endpoint | None]()
        for other, peer in known.items():
            # One that is sought nowhere tells no IP version, and gets the address that comes first.
            uses[peer.endpoint] += 1 if other in self._placed else len(self.hosts)
        found, fault = choose_endpoint(host, places, uses)
        self.faults.extend(fault)
        return found

    def _port(self, sought: Mapping[str, Sought]) -> int | None:
        # A router may forward another port to the one that a host listens on.
        listened = {host: self.hosts[host].port or each.port for host, each in sought.items() if each.port}
        own_ports = {host: own.port for host, own in self.hosts.items() if own.port}
        ports = {host: port for host, port in listened.items() if port}
        found = self._only("ListenPort", "ports", ports or own_ports)
        for host in sorted(self.hosts.keys() - ports.keys()) if found else ():
            if (listens := self.hosts[host].port) != found:
                self.notes.append(
                    f"{host}: listens on {listens or 'a random port'}, and with the first up on {found}; a packet that "
                    "is on its way at that moment may be lost"
                )
        return found

    def _note_other_addresses(self, sought: Mapping[str, Sought]) -> None:
        for host, found in sought.items():
            if len(found.addresses) > 1:
                others = [
                    other
                    for other, peer in self._known[host].items()
                    if peer.endpoint and peer.endpoint[0] != found.chosen_by(sought[other])
                ]
                if others:
                    self.notes.append(f"{some(others)}: sends to another address of {host} with the first up")

    def _only(self, setting: str, what: str, values: Mapping[str, int]) -> int | None:
        """Return the one value that all have, the least where they differ, which is a fault."""
        first: dict[int, str] = {}
        for host, value in values.items():
            first.setdefault(value, self.hosts[host].place(setting))
        if len(first) > 1:
            text = ", ".join(f"{value} ({place})" for value, place in sorted(first.items())[:8])
            words = f"{what} {text}; a mesh has one for all hosts, so make them the same first"
            self.faults.append(PlacedFault(self.source.where, words))
        return min(first, default=None)

    def _keepalive(self, host: str) -> int:
        said = {peer.keepalive for peer in self.hosts[host].peers}
        values = sorted(said - {0})
        if len(values) > 1:
            self.notes.append(f"{host}: several keepalives; the shortest, {values[0]} s, will be for all its peers")
        elif values and 0 in said:
            self.notes.append(
                f"{host}: a keepalive for some of its peers only, and with the first up {values[0]} s for all"
            )
        elif not values and said and host not in self._placed:
            self.notes.append(
                f"{host}: no keepalive, and since it is roaming one of {ROAMING_KEEPALIVE} s with the first up"
            )
        return values[0] if values else 0

    def _mtu(self) -> int | None:
        found = {host: own.mtu for host, own in self.hosts.items() if own.mtu}
        mtu = self._only("MTU", "MTU", found)
        for host in sorted(self.hosts.keys() - found.keys()) if mtu else ():
            self.notes.append(f"{host}: no MTU in its file, and {mtu} with the first up, as {some(found)}")
        return mtu

    def _preshared_key(self) -> str | None:
        keys = set[str | None]().union(*(own.preshared_keys for own in self.hosts.values()))
        if len(keys) == 1 and (key := keys.pop()):
            return key
        self.notes.append(
            "no preshared key that all pairs share: the first up makes one, and running tunnels take it with their "
            "next handshake"
        )
        return None

    def _note_what_is_new(self, public: Collection[str]) -> None:
        if without := set(self.hosts) - set(self._inside.ipv6):
            self.notes.append(
                f"{some(without)}: gets an IPv6 address beside its IPv4 address; the tunnels are verified by it"
            )
        lacks: dict[str, list[str]] = defaultdict(list)
        for host, known in self._known.items():
            for other in self.hosts.keys() - known.keys() - {host}:
                if host in public or other in public:
                    lacks[other].append(host)
        for other, hosts in sorted(lacks.items()):
            many = len(hosts) > 1
            self.notes.append(
                f"{other}: gets the {'peers' if many else 'peer'} {some(hosts)}, which it does not have yet"
            )
