"""Which participants of a roster are peers, and what each is told of the other.

All of it follows from the roster, so nothing of it is stored; `roster` says what a roster holds.
"""

from collections.abc import Collection, Iterator
from functools import cached_property
from ipaddress import IPv6Interface, ip_address, ip_network

from mesh.plan.roster import Participant, Roster, participants_of
from mesh.wireguard.endpoint import host_part, ip_version

__all__ = ["EVERYWHERE", "Pairs", "allowed_ips"]

# What is sent to an exit node, except what another peer owns.
EVERYWHERE = ("0.0.0.0/0", "::/0")


def allowed_ips(participant: Participant) -> tuple[str, ...]:
    """Return the prefixes that are a participant's own, in canonical form, as `wg` prints them."""
    subnet = str(participant.get("subnet") or IPv6Interface(participant["address"]).network)
    return (subnet, f"{participant['ipv4']}/32") if participant.get("ipv4") else (subnet,)


class Pairs:
    """The pairs of one roster: of all participants with all others, or of those that its peering joins."""

    def __init__(self, roster: Roster) -> None:
        """Read the roster once, since a large one is asked for each of its pairs."""
        self._managed = roster["members"]
        self.participants = participants_of(roster)
        self._relay_name: str | None = roster.get("relay") if roster.get("relay") in self._managed else None
        self._sorted = sorted(self.participants)

    def peers_of(self, name: str) -> list[str]:
        """Return the peers of a participant, sorted; those of an unmanaged one are hosts only."""
        joined = self.participants[name].get("peers")
        others = self._sorted if joined is None else sorted(self.participants.keys() & set(joined))
        return [other for other in others if other != name and (name in self._managed or other in self._managed)]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield each pair once, the lower name first."""
        # Of the peers of each, not of all combinations: a hub has many spokes, which have one peer each.
        for name in self._sorted:
            yield from ((name, peer) for peer in self.peers_of(name) if name < peer)

    def address(self, name: str) -> str:
        """Return the address of a participant inside the mesh, without a prefix length."""
        return str(self.participants[name]["address"].partition("/")[0])

    def endpoint(self, host: str, peer: str) -> str:
        """Return the endpoint at which `host` first contacts `peer`; empty where it has to wait for the peer."""
        # Nearly all have one, and of a million pairs each is asked about several times.
        if (only := self._only_endpoints.get(peer)) is not None:
            return only
        own, other = self.participants[host], self.participants[peer]
        site = other.get("site")
        if site and site == own.get("site") and other.get("localEndpoint"):
            return str(other["localEndpoint"])
        if other.get("otherEndpoint") and (version := self.own_version(host)):
            return str(other["endpoint" if ip_version(other["endpoint"]) == version else "otherEndpoint"])
        return str(other["endpoint"])

    @cached_property
    def _only_endpoints(self) -> dict[str, str]:
        """The endpoints of those that have the same one for everybody."""
        several = ("localEndpoint", "otherEndpoint")
        return {
            name: str(entry["endpoint"])
            for name, entry in self.participants.items()
            if not any(entry.get(word) for word in several)
        }

    def name(self, host: str, peer: str) -> str:
        """Return the DNS name of the endpoint that `host` uses for `peer`; empty where that is an address."""
        if peer not in self._named:
            return ""
        endpoint = self.endpoint(host, peer)
        return "" if ip_version(endpoint) else host_part(endpoint)

    @property
    def has_names(self) -> bool:
        """Whether any endpoint of the mesh is a DNS name."""
        return bool(self._named)

    @cached_property
    def _named(self) -> frozenset[str]:
        """The participants whose endpoint is a DNS name."""
        endpoints = {name: str(entry["endpoint"]) for name, entry in self.participants.items()}
        return frozenset(name for name, endpoint in endpoints.items() if endpoint and not ip_version(endpoint))

    def own_version(self, host: str) -> int | None:
        """Return the only IP version of which `host` has addresses, since it may reach no others; None if not known."""
        own = self.participants[host]
        # A roaming one tells nothing of itself, and neither does a name.
        return None if own.get("otherEndpoint") else ip_version(own["endpoint"])

    def can_meet(self, one: str, other: str) -> bool:
        """Tell whether one of the two knows where to send the first packet."""
        return bool(self.endpoint(one, other) or self.endpoint(other, one))

    def relay_between(self, one: str, other: str) -> str:
        """Return the host over which two that cannot meet talk; empty where they can, or have no way at all."""
        relay = self._relay_name
        if relay is None or relay in (one, other) or self.can_meet(one, other):
            return ""
        return relay if {one, other} <= self._served else ""

    @cached_property
    def _served(self) -> frozenset[str]:
        """Those to which the relay can forward packets."""
        relay = self._relay_name or ""
        return frozenset(peer for peer in self.peers_of(relay) if self.can_meet(relay, peer))

    def _peers_over_relay(self, host: str) -> list[str]:
        return (
            [] if self._relay_name is None else [peer for peer in self.peers_of(host) if self.relay_between(host, peer)]
        )

    def is_relay(self, host: str) -> bool:
        """Tell whether `host` has anything to relay."""
        return host == self._relay_name and any(self.relay_between(*pair) for pair in self)

    def tools(self, host: str) -> tuple[str, ...]:
        """Return the commands that `host` needs beside those of every host: nft where it forwards anything."""
        forwards = self.behind(host) or self.exit_users(host) or self.is_relay(host)
        return ("nft",) if forwards else ()

    def links_of(self, host: str) -> list[str]:
        """Return the peers that WireGuard itself knows on `host`: all but those that are reached over the relay."""
        relayed = set(self._peers_over_relay(host))
        return [peer for peer in self.peers_of(host) if peer not in relayed]

    def allowed_ips(self, host: str, peer: str) -> tuple[str, ...]:
        """Return the prefixes that `host` sends to `peer`: its own, those behind it, of a relay also others'."""
        if peer in self._with_own_prefixes and not self.participants[host].get("exitNode"):
            return self._prefixes[peer]
        behind = self._peers_over_relay(host) if peer == self._relay_name else ()
        owners = (peer, *behind)
        prefixes = tuple(prefix for name in owners for prefix in (*self._prefixes[name], *self.routes(host, name)))
        return prefixes + EVERYWHERE if self.participants[host].get("exitNode") == peer else prefixes

    def routes(self, host: str, peer: str) -> tuple[str, ...]:
        """Return the networks behind `peer` that `host` reaches over it: none if it is in the same site."""
        own, other = self.participants[host], self.participants[peer]
        if not other.get("routes") or (other.get("site") and other.get("site") == own.get("site")):
            return ()
        return tuple(other["routes"])

    def behind(self, host: str) -> tuple[str, ...]:
        """Return the networks to which `host` forwards packets: its routes, except a range around its own address."""
        own = self.participants[host]
        inside = [ip_address(word.partition("/")[0]) for word in (own["address"], own.get("ipv4")) if word]
        networks = {route: ip_network(route) for route in own.get("routes") or ()}
        return tuple(route for route, network in networks.items() if not any(each in network for each in inside))

    def exit_users(self, host: str) -> list[str]:
        """Return the participants that use `host` as exit node, sorted."""
        return [peer for peer in self.peers_of(host) if self.participants[peer].get("exitNode") == host]

    @cached_property
    def _prefixes(self) -> dict[str, tuple[str, ...]]:
        return {name: allowed_ips(participant) for name, participant in self.participants.items()}

    def owner_of(self, prefix: str) -> str:
        """Return the participant that has a prefix, or routes to it; empty for none."""
        return self._owners.get(prefix, "")

    @cached_property
    def _owners(self) -> dict[str, str]:
        owners: dict[str, str] = {}
        for name, participant in self.participants.items():
            for prefix in (*self._prefixes[name], *(participant.get("routes") or ())):
                owners.setdefault(prefix, name)
        return owners

    @cached_property
    def _with_own_prefixes(self) -> frozenset[str]:
        """Those to which all hosts send only what is their own, unless it is the exit node of one."""
        return frozenset(
            name
            for name, participant in self.participants.items()
            if name != self._relay_name and not participant.get("routes")
        )

    def turn(self, host: str, peer: str) -> str:
        """Return in which turn of a verification `host` pings `peer`, `first` or `second`.

        Two handshakes that are begun at once would cost 5 s.

        It is `never` for a pair that cannot meet, and for one with an unmanaged peer, which cannot be asked.
        """
        if host not in self._managed or peer not in self._managed:
            return "never"
        own, other = bool(self.endpoint(peer, host)), bool(self.endpoint(host, peer))
        if not own and not other:
            # Over a relay, once both have a session with it; the answer verifies the other direction too.
            return "second" if host < peer and self.relay_between(host, peer) else "never"
        if own != other:
            return "first" if other else "second"
        return "first" if host < peer else "second"

    def should_answer(self, host: str, peer: str) -> bool:
        """Tell whether a ping from `host` to `peer` should be answered, directly or over the relay.

        An unmanaged peer need not: it may be off.
        """
        is_joined = self.turn(host, peer) != "never" or bool(self.relay_between(host, peer))
        return is_joined and {host, peer} <= self._managed.keys()

    def asked(self, host: str, turn: str, absent: Collection[str] = ()) -> frozenset[str]:
        """Return the peers that `host` pings in its first or second `turn` of a verification, except the `absent`."""
        peers = self.peers_of(host)
        return frozenset(peer for peer in peers if peer not in absent and self.turn(host, peer) == turn)

    def keepalive(self, host: str, peer: str) -> str:
        """Return the persistent keepalive of `host` for `peer`, in seconds or `off`, as `wg` prints it."""
        seconds = int(self.participants[host]["keepalive"]) if self.can_meet(host, peer) else 0
        return str(seconds or "off")

    def cannot_meet(self) -> list[tuple[str, str]]:
        """Return the pairs of which neither has an endpoint for the other, and that have no relay either."""
        return [pair for pair in self if not self.can_meet(*pair) and not self.relay_between(*pair)]

    def relayed_pairs(self) -> list[tuple[str, str]]:
        """Return the pairs that talk over the relay."""
        return [] if self._relay_name is None else [pair for pair in self if self.relay_between(*pair)]
