"""Peers of hosts that are no hosts themselves, such as phones: they become unmanaged peers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Interface, IPv6Network
from itertools import count

from mesh.cli.importers.claims import Claims
from mesh.cli.importers.found import FoundPeer
from mesh.config.fields import is_host_name
from mesh.config.route_fields import in_order
from mesh.errors import PlacedFault
from mesh.wireguard.addressing import Network
from mesh.wireguard.endpoint import join_endpoint
from mesh.wireguard.wg_quick import ConfiguredPeer, WgQuick

__all__ = ["UnmatchedPeer", "find_unmatched_peers"]

_POINT_TO_POINT = 127


@dataclass(frozen=True, slots=True)
class UnmatchedPeer:
    """One such peer, as the hosts in `known` have it; `networks` are those that the hosts' own addresses are in."""

    name: str
    public_key: str
    networks: Claims = field(repr=False)
    known: dict[str, ConfiguredPeer] = field(default_factory=dict)

    @property
    def allowed_ips(self) -> set[Network]:
        """What the hosts send to it, all together."""
        return set[Network]().union(*(peer.allowed_ips for peer in self.known.values()))

    @property
    def place(self) -> str:
        """Where it stands in the file of the first host that has it."""
        return next(iter(self.known.values())).place

    @property
    def _own_ipv4(self) -> IPv4Network | None:
        singles = [net for net in self.allowed_ips if isinstance(net, IPv4Network) and net.prefixlen == 32]
        return min(singles, key=lambda net: (self._network_of(net) is None, net), default=None)

    @property
    def _own_ipv6(self) -> IPv6Network | None:
        # Where no host has an IPv6 address inside the mesh, a subnet is what lies behind.
        lengths = {128, 64} if any(net.version == 6 for net, _ in self.networks) else {128}
        found = (net for net in self.allowed_ips if isinstance(net, IPv6Network) and net.prefixlen in lengths)
        return min(found, key=lambda net: (net.prefixlen != 128, self._network_of(net) is None, net), default=None)

    def _network_of(self, own: Network) -> Network | None:
        return next((net for net, _ in self.networks.around(own)), None)

    @property
    def ipv4(self) -> IPv4Address | None:
        """Its IPv4 address: one that is in a network of the hosts, if it has several."""
        own = self._own_ipv4
        return own.network_address if own else None

    @property
    def ipv6(self) -> IPv6Interface | None:
        """Its IPv6 address, with the length of the hosts' network that it is in; of a subnet the first address."""
        own = self._own_ipv6
        if own is None:
            return None
        if own.prefixlen < _POINT_TO_POINT:
            return IPv6Interface((own[1], own.prefixlen))
        around = self._network_of(own)
        return IPv6Interface((own[0], around.prefixlen if around else own.prefixlen))

    def faults(self, preshared_key: str | None, has_ipv4: bool) -> Iterator[PlacedFault]:
        """Yield why mesh could not keep it: the hosts configure it differently, or it lacks what all others have."""
        for reason in self._reasons(preshared_key, has_ipv4):
            yield PlacedFault(self.place, f"peer {self.name} has no file here, and {reason}")

    def _reasons(self, preshared_key: str | None, has_ipv4: bool) -> Iterator[str]:
        if len({frozenset(peer.allowed_ips) for peer in self.known.values()}) > 1:
            yield "the hosts send different prefixes to it; make its AllowedIPs the same everywhere first"
        if len({peer.endpoint for peer in self.known.values() if peer.endpoint}) > 1:
            yield "the hosts have several endpoints of it; mesh has one for all, so make them the same first"
        if {peer.preshared_key for peer in self.known.values()} != {preshared_key} or preshared_key is None:
            yield (
                "the preshared key of the mesh would cut it off; give all hosts and peers one preshared key first, or "
                "take it out, and declare it in interfaces.NAME.peers later"
            )
        if not all(net.prefixlen for net in self.allowed_ips):
            yield "it is sent everything; take that out of AllowedIPs first"
        ipv4 = [net for net in self.allowed_ips if net.version == 4 and net.prefixlen]
        if has_ipv4 and self.ipv4 is None:
            yield "it has no IPv4 address among its AllowedIPs, and the hosts have one; give it one first"
        elif ipv4 and not has_ipv4:
            yield "it is sent IPv4, and the hosts have no IPv4 address; give them some, or take that out of AllowedIPs"

    @property
    def owned(self) -> set[Network]:
        """What is sent to it because of its addresses."""
        return {own for own in (self._own_ipv4, self._own_ipv6) if own}

    @property
    def routes(self) -> set[Network]:
        """What is sent to it besides: the networks behind it."""
        return self.allowed_ips - self.owned

    def found(self) -> FoundPeer:
        """Return it as the stack file describes it."""
        endpoint = next((peer.endpoint for peer in self.known.values() if peer.endpoint), None)
        return FoundPeer(
            self.name,
            self.public_key,
            self.ipv6,
            self.ipv4,
            join_endpoint(endpoint[0], str(endpoint[1])) if endpoint else None,
            in_order(self.routes),
        )


def find_unmatched_peers(hosts: Mapping[str, WgQuick]) -> list[UnmatchedPeer]:
    """Return the peers whose key no host has, named by their comments where these are names that are free."""
    keys = {own.public_key for own in hosts.values()}
    known: dict[str, dict[str, ConfiguredPeer]] = {}
    for host, own in hosts.items():
        for peer in own.peers:
            if peer.public_key not in keys:
                known.setdefault(peer.public_key, {})[host] = peer
    networks = Claims()
    for address in {address.network for own in hosts.values() for address in own.addresses}:
        networks.add(address, "")
    called = {
        key: list(dict.fromkeys(peer.name.lower() for peer in entries.values() if is_host_name(peer.name)))
        for key, entries in known.items()
    }
    # A number for a name is none that a comment gives to another one.
    free = (f"peer-{number}" for number in count(1))
    taken = {*hosts, *(name for names in called.values() for name in names)}
    unmatched_peers, used = [], set(hosts)
    for key, entries in known.items():
        name = next((each for each in called[key] if each not in used), None)
        used.add(name := name or next(each for each in free if each not in taken))
        unmatched_peers.append(UnmatchedPeer(name, key, networks, entries))
    return unmatched_peers
