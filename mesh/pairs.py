"""Who of a roster is a peer of whom, and what the one is told of the other.

All of it follows from the roster, so nothing of it is stored; `roster` says what a roster holds.
"""

from collections.abc import Iterator, Mapping
from ipaddress import IPv6Interface
from typing import Any

__all__ = ["Pairs", "allowed_ips"]


def allowed_ips(participant: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the prefixes that a participant owns, in canonical form, as `wg` prints them."""
    return (str(participant.get("subnet") or IPv6Interface(participant["address"]).network),)


class Pairs:
    """The pairs of one roster: of all participants with all others, or of those that its peering joins."""

    def __init__(self, roster: Mapping[str, Any]) -> None:
        """Look at the roster once, since a large one is asked for each of its pairs."""
        self._managed: Mapping[str, Mapping[str, Any]] = roster["members"]
        self.participants: dict[str, Mapping[str, Any]] = {**self._managed, **(roster.get("peers") or {})}

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

    def turn(self, host: str, peer: str) -> str:
        """Return `first` or `second`: who of a pair opens it in a proof, since two initiations that cross cost 5 s.

        It is `never` for a pair that cannot meet, and for one that nobody can ask, since it is not managed here.
        """
        if not {host, peer} <= self._managed.keys() or not self.can_meet(host, peer):
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
        """Return the pairs of which neither has an endpoint for the other, so that no first packet can be sent."""
        return [pair for pair in self if not self.can_meet(*pair)]
