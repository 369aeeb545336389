"""Find the `routes` of hosts in a mesh that was found, from the AllowedIPs that their peers have.

WireGuard sends a packet to the peer with the narrowest prefix around its address. mesh sends each host its own
prefixes, and as `routes` all others in its AllowedIPs. So every packet goes where it went before, or the import is
refused.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from mesh.cli.importers.claims import Claims
from mesh.cli.importers.inside import Inside
from mesh.cli.importers.source import Source, listed, some
from mesh.cli.importers.unmatched_peers import UnmatchedPeer
from mesh.config.route_fields import in_order
from mesh.errors import PlacedFault
from mesh.wireguard.addressing import Network
from mesh.wireguard.wg_quick import ConfiguredPeer

__all__ = ["Routing"]


class Routing:
    """The `routes` of each host, with the `faults` and `notes` that finding them made.

    `known` are the peers that have a host, by host and peer.
    """

    def __init__(
        self,
        inside: Inside,
        known: Mapping[str, Mapping[str, ConfiguredPeer]],
        unmatched_peers: Iterable[UnmatchedPeer],
        source: Source,
    ) -> None:
        """Find them."""
        self.faults: list[PlacedFault] = []
        self.notes: list[str] = []
        self._inside, self._known, self._source = inside, known, source
        found = {host: self._behind(host) for host in inside.hosts}
        self._refuse_everything(found)
        self._refuse_conflicts(found, list(unmatched_peers))
        self.routes = {host: in_order(routes) for host, routes in found.items()}

    def _behind(self, host: str) -> set[Network]:
        """Return what the others send to a host besides what it owns."""
        owned = self._inside.owned(host)
        known = self._known[host]
        routes = set[Network]().union(*(peer.allowed_ips for peer in known.values())) - owned
        # A host that could not be sent what is its own makes no sense of the rest.
        wrong = False
        for peer in known.values():
            for missing in owned.difference(peer.allowed_ips):
                if not any(_is_in(missing, prefix) for prefix in peer.allowed_ips):
                    wrong = True
                    self._refuse_missing(host, peer, missing)
        if wrong:
            return set()
        self._note_new(host, routes)
        return routes

    def _refuse_missing(self, host: str, peer: ConfiguredPeer, missing: Network) -> None:
        lost = next((prefix for prefix in peer.lost if _is_in(missing, prefix)), None)
        why = f", since a later peer has {lost} too and WireGuard lets the last have it" if lost else ""
        advice = self._source.send(host, self._inside.hosts[host], self._inside.owned(host))
        words = f"{host} is sent {listed(peer.allowed_ips)}{why}, and mesh would send it {missing}; {advice}"
        self.faults.append(PlacedFault(peer.place, words))

    def _note_new(self, host: str, routes: set[Network]) -> None:
        lacking: dict[frozenset[Network], list[str]] = defaultdict(list)
        for other, peer in self._known[host].items():
            if new := frozenset(routes.difference(peer.allowed_ips)):
                lacking[new].append(other)
        for new, others in lacking.items():
            self.notes.append(f"{some(others)}: sends {listed(new)} to {host} too, with the first up")
        own = [route for route in routes if any(_is_in(owned, route) for owned in self._inside.owned(host))]
        if own and all(route.prefixlen for route in own):
            self.notes.append(
                f"{host}: is sent all of {listed(own)}, which becomes its routes; take that out of the stack file "
                "after the first up if nothing else is there"
            )

    def _refuse_everything(self, found: Mapping[str, set[Network]]) -> None:
        for host, routes in found.items():
            for route in [route for route in routes if not route.prefixlen]:
                routes.discard(route)
                words = (
                    f"{host} is sent everything; take that out of its AllowedIPs first, and name it as exitNode after "
                    "the first up"
                )
                self.faults.append(PlacedFault(self._place(host, route), words))

    def _refuse_conflicts(self, found: Mapping[str, set[Network]], unmatched_peers: list[UnmatchedPeer]) -> None:
        owned, routed = Claims(), Claims()
        for host, routes in found.items():
            for prefix in self._inside.owned(host):
                owned.add(prefix, host)
            for route in routes:
                routed.add(route, host)
        for unmatched in unmatched_peers:
            for prefix in unmatched.owned:
                owned.add(prefix, unmatched.name)
            for route in unmatched.routes:
                # That it is sent everything is reported with what else is wrong with it.
                if route.prefixlen:
                    routed.add(route, unmatched.name)
        conflicts: dict[tuple[str, Network], set[str]] = defaultdict(set)
        for name, route, other in _conflicts(owned, routed):
            conflicts[name, route].add(other)
        places = {unmatched.name: unmatched.place for unmatched in unmatched_peers}
        for (name, route), others in conflicts.items():
            place = places.get(name) or self._place(name, route)
            others.discard(name)
            what = f"where {some(others)} {'are' if len(others) > 1 else 'is'} too" if others else "and what holds it"
            advice = self._source.leave_out(name, self._inside.hosts.get(name), route)
            self.faults.append(PlacedFault(place, f"{name} is sent {route}, {what}; {advice}"))

    def _place(self, host: str, route: Network) -> str:
        return next(peer.place for peer in self._known[host].values() if route in peer.allowed_ips)


def _is_in(prefix: Network, other: Network) -> bool:
    return prefix.version == other.version and prefix.prefixlen >= other.prefixlen and prefix.overlaps(other)


def _conflicts(owned: Claims, routed: Claims) -> Iterator[tuple[str, Network, str]]:
    """Yield each route with its participant, and each other participant that has a prefix in it or around it."""
    for prefix, owner in owned:
        # A route may hold what is its host's own.
        yield from ((host, route, owner) for route, host in routed.around(prefix) if host != owner)
    for route, host in routed:
        yield from ((host, route, owner) for _, owner in owned.around(route))
        for wider, other in routed.around(route):
            if (wider, other) != (route, host):
                yield host, route, other
                yield other, wider, host
