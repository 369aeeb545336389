"""Who of a roster is a peer of whom, and what the one is told of the other.

All of it follows from the roster, so nothing of it is stored; `roster` says what a roster holds.
"""

from collections.abc import Iterator, Mapping
from ipaddress import IPv6Interface
from typing import Any

__all__ = ["Pairs", "allowed_ips"]


def allowed_ips(participant: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the prefixes that a participant owns, in canonical form, as `wg` prints them."""
    subnet = str(participant.get("subnet") or IPv6Interface(participant["address"]).network)
    return (subnet, f"{participant['ipv4']}/32") if participant.get("ipv4") else (subnet,)


class Pairs:
    """The pairs of one roster: of all participants with all others, or of those that its peering joins."""

    def __init__(self, roster: Mapping[str, Any]) -> None:
        """Look at the roster once, since a large one is asked for each of its pairs."""
        self._managed: Mapping[str, Mapping[str, Any]] = roster["members"]
        self.participants: dict[str, Mapping[str, Any]] = {**self._managed, **(roster.get("peers") or {})}
        self._relay: str | None = roster.get("relay") if roster.get("relay") in self._managed else None

    def peers_of(self, name: str) -> list[str]:
        """Return the peers of a participant, sorted; one that is not managed here has none but managed ones."""
        joined = self.participants[name].get("peers")
        others = set(self.participants if joined is None else joined) - {name}
        return sorted(others if name in self._managed else others & self._managed.keys())

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield each pair once, the lower name first."""
        # Of peers that are sets, not of all combinations: a hub has many spokes, which have one peer each.
        for name in sorted(self.participants):
            yield from ((name, peer) for peer in self.peers_of(name) if name < peer)

    def endpoint(self, host: str, peer: str) -> str:
        """Return where `host` first seeks `peer`, an address with a port; empty where it has to wait for a word."""
        own, other = self.participants[host], self.participants[peer]
        site = other.get("site")
        return str((site and site == own.get("site") and other.get("localEndpoint")) or other["endpoint"])

    def can_meet(self, one: str, other: str) -> bool:
        """Tell whether one of the two knows where to send the first packet."""
        return bool(self.endpoint(one, other) or self.endpoint(other, one))

    def relay(self, one: str, other: str) -> str:
        """Return the host over which two that cannot meet talk; empty where they can, or have no way at all."""
        relay = self._relay
        if relay is None or relay in (one, other) or self.can_meet(one, other):
            return ""
        ways = (relay in self.peers_of(end) and self.can_meet(relay, end) for end in (one, other))
        return relay if all(ways) else ""

    def _relayed(self, host: str) -> list[str]:
        return [] if self._relay is None else [peer for peer in self.peers_of(host) if self.relay(host, peer)]

    def relays(self, host: str) -> bool:
        """Tell whether `host` has anything to relay."""
        return host == self._relay and any(self.relay(*pair) for pair in self)

    def links_of(self, host: str) -> list[str]:
        """Return the peers that WireGuard itself knows on `host`: all but those that are reached over the relay."""
        relayed = set(self._relayed(host))
        return [peer for peer in self.peers_of(host) if peer not in relayed]

    def allowed_ips(self, host: str, peer: str) -> tuple[str, ...]:
        """Return the prefixes that `host` sends to `peer`: its own, and of a relay also those behind it."""
        behind = self._relayed(host) if peer == self._relay else ()
        return tuple(prefix for name in (peer, *behind) for prefix in allowed_ips(self.participants[name]))

    def turn(self, host: str, peer: str) -> str:
        """Return `first` or `second`: who of a pair opens it in a proof, since two initiations that cross cost 5 s.

        It is `never` for a pair that cannot meet, and for one that nobody can ask, since it is not managed here.
        """
        if not {host, peer} <= self._managed.keys():
            return "never"
        if self.relay(host, peer):
            # Once both have met the relay; the answer proves the way back.
            return "second" if host < peer else "never"
        if not self.can_meet(host, peer):
            return "never"
        own, other = bool(self.endpoint(peer, host)), bool(self.endpoint(host, peer))
        if own != other:
            return "first" if other else "second"
        return "first" if host < peer else "second"

    def keepalive(self, host: str, peer: str) -> str:
        """Return after how many seconds `host` says something to `peer`, or `off`, as `wg` prints it."""
        seconds = int(self.participants[host]["keepalive"]) if self.can_meet(host, peer) else 0
        return str(seconds or "off")

    def cannot_meet(self) -> list[tuple[str, str]]:
        """Return the pairs of which neither has an endpoint for the other, and that have no relay either."""
        return [pair for pair in self if not self.can_meet(*pair) and not self.relay(*pair)]

    def relayed(self) -> list[tuple[str, str]]:
        """Return the pairs that talk over the relay."""
        return [] if self._relay is None else [pair for pair in self if self.relay(*pair)]
