"""Peers of hosts that are no hosts themselves, such as phones: they become peers that mesh does not manage."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

from mesh.endpoints import join_endpoint
from mesh.fields import is_host_name
from mesh.imports.found import FoundPeer
from mesh.routefields import Network
from mesh.wgquick import Peer, WgQuick

__all__ = ["Stranger", "find_strangers"]

_POINT_TO_POINT = 127


@dataclass(frozen=True, slots=True)
class Stranger:
    """One such peer, as the hosts in `known` have it."""

    name: str
    public_key: str
    known: dict[str, Peer] = field(default_factory=dict)

    @property
    def allowed_ips(self) -> set[Network]:
        """What the hosts send to it, all together."""
        return set[Network]().union(*(peer.allowed_ips for peer in self.known.values()))

    @property
    def ipv4(self) -> IPv4Interface | None:
        """Its IPv4 address: the first prefix that is one."""
        singles = sorted(net for net in self.allowed_ips if isinstance(net, IPv4Network) and net.prefixlen == 32)
        return IPv4Interface(singles[0]) if singles else None

    @property
    def _ipv6(self) -> IPv6Network | None:
        """What it owns by IPv6: an address, or else the first subnet."""
        found = (net for net in self.allowed_ips if isinstance(net, IPv6Network))
        return min(found, key=lambda net: (net.prefixlen != net.max_prefixlen, net), default=None)

    def faults(self, preshared_key: str | None, has_ipv4: bool) -> Iterator[str]:
        """Yield why mesh could not keep it: its peers do not agree, or it would lack what all others have."""
        if len({frozenset(peer.allowed_ips) for peer in self.known.values()}) > 1:
            yield "the hosts send different prefixes to it; make its AllowedIPs the same everywhere first"
        if len({peer.endpoint for peer in self.known.values() if peer.endpoint}) > 1:
            yield "the hosts seek it at several endpoints; mesh has one for all, so make them the same first"
        if {peer.preshared_key for peer in self.known.values()} != {preshared_key} or preshared_key is None:
            yield (
                "the preshared key of the mesh would cut it off; give all hosts and peers one preshared key first, or "
                "take it out, and declare it in interfaces.NAME.peers later"
            )
        if has_ipv4 and self.ipv4 is None:
            yield "no IPv4 address among its AllowedIPs, and the hosts have one; give it one first"

    def found(self) -> FoundPeer:
        """Return it as the stack file describes it; a subnet's owner has the first address in it."""
        own, ipv4 = self._ipv6, self.ipv4
        address = None
        if own is not None:
            address = IPv6Interface((own[0] if own.prefixlen >= _POINT_TO_POINT else own[1], own.prefixlen))
        routes = self.allowed_ips - {own, ipv4.network if ipv4 else None}
        endpoint = next((peer.endpoint for peer in self.known.values() if peer.endpoint), None)
        return FoundPeer(
            self.name,
            self.public_key,
            address,
            ipv4.ip if ipv4 else None,
            join_endpoint(endpoint[0], str(endpoint[1])) if endpoint else None,
            tuple(sorted(routes, key=lambda net: (net.version, net))),
        )


def find_strangers(hosts: Mapping[str, WgQuick]) -> list[Stranger]:
    """Return the peers whose key no host has, named by their comments where these are names that are free."""
    keys = {own.public_key for own in hosts.values()}
    known: dict[str, dict[str, Peer]] = {}
    for host, own in hosts.items():
        for peer in own.peers:
            if peer.public_key not in keys:
                known.setdefault(peer.public_key, {})[host] = peer
    taken, strangers = set(hosts), []
    for number, (key, entries) in enumerate(known.items(), 1):
        called = [peer.name.lower() for peer in entries.values()]
        name = next((each for each in called if is_host_name(each) and each not in taken), f"peer-{number}")
        taken.add(name)
        strangers.append(Stranger(name, key, entries))
    return strangers
