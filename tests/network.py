"""A model of the network that a stack file describes, and of what hosts do in it with the plan that they are told.

Nothing of the program's own is used, so that it can be wrong without the model being wrong too. Of WireGuard: the
longest prefix of all allowed IPs chooses the peer, a packet counts only where its source would lead back to who sent
it, and a session needs both keys, one preshared key, and a way for a first packet. Of Linux: the longest route, the
rules of an exit node, forwarding with a filter that lets pass what the plan says, and masquerading. Of the world: who
is behind NAT is reached by nobody who was not spoken to, and a local address means something within its site alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any

__all__ = ["INTERNET", "Arrival", "Machine", "Neighbour", "Tunnel", "World", "is_inside"]

Address = IPv4Address | IPv6Address
INTERNET = "the internet"
_OF_EVERYTHING = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}
_MOST_HOPS = 8


@dataclass
class Neighbour:
    """What a tunnel is told of one peer; an `endpoint` is an address or a name, and a port."""

    endpoint: tuple[str, int] | None
    allowed: list[Any]
    preshared_key: str
    keepalive: int


@dataclass
class Tunnel:
    """One interface of WireGuard, and what its host forwards for it: words of the plan, such as `behind PREFIX plain`.

    `is_default` tells of each IP version whether what is for nowhere else goes this way.
    """

    key: str
    port: int | None
    addresses: list[Any]
    peers: dict[str, Neighbour]
    forwards: list[list[str]] = field(default_factory=list)

    def peer_of(self, address: Address) -> str | None:
        """Return the key of the peer with the longest prefix around an address."""
        found = [
            (net.prefixlen, key) for key, peer in self.peers.items() for net in peer.allowed if is_inside(net, address)
        ]
        return max(found)[1] if found else None

    def routes(self) -> list[Any]:
        """Return the prefixes that the routing table has for this interface: never that of everything."""
        allowed = [net for peer in self.peers.values() for net in peer.allowed if net.prefixlen]
        return [*allowed, *(address.network for address in self.addresses)]

    def is_exit(self, version: int) -> bool:
        """Tell whether it is the way to everything else."""
        return any(_OF_EVERYTHING[version] in peer.allowed for peer in self.peers.values())


@dataclass
class Machine:
    """A host or an unmanaged peer: where it is, its tunnels by interface, and the networks that it is attached to."""

    name: str
    tunnels: dict[str, Tunnel]
    outside: set[tuple[str, int, str]] = field(default_factory=set)
    site: str | None = None
    local: set[str] = field(default_factory=set)
    networks: list[Any] = field(default_factory=list)
    forwards_all: bool = False


@dataclass(frozen=True)
class Arrival:
    """Where a packet came out, by which machine, and the one that has to take back what it did to the source."""

    place: str
    by: str
    was_masqueraded: bool = False
    came_in: str = ""


def is_inside(network: Any, address: Address) -> bool:
    """Tell whether a network of either IP version has an address."""
    return network.version == address.version and address in network


class World:
    """All machines; with `fences`, hosts forward nothing but what the plan says, as those that forwarded nothing."""

    def __init__(self, machines: Iterable[Machine], *, fences: bool = True) -> None:
        """Connect them."""
        self.machines = {machine.name: machine for machine in machines}
        self.fences = fences
        self.owners = {
            (name, tunnel.key): machine
            for machine in self.machines.values()
            for name, tunnel in machine.tunnels.items()
        }

    def _listens(self, sender: Machine, endpoint: tuple[str, int]) -> tuple[str, str] | None:
        """Return the machine and the interface that hear what the sender sends to an endpoint."""
        host, port = endpoint
        for machine in self.machines.values():
            if sender.site and machine.site == sender.site and host in machine.local:
                return next(((machine.name, name) for name, own in machine.tunnels.items() if own.port == port), None)
        heard = [(machine.name, place[2]) for machine in self.machines.values() for place in machine.outside
                 if place[:2] == (host, port)]  # fmt: skip
        assert len(heard) < 2, (endpoint, heard)
        return heard[0] if heard else None

    def has_session(self, interface: str, one: Machine, other: Machine) -> bool:
        """Tell whether a session between the two can begin from either end."""
        ours, theirs = one.tunnels[interface], other.tunnels[interface]
        there, back = ours.peers.get(theirs.key), theirs.peers.get(ours.key)
        if there is None or back is None or there.preshared_key != back.preshared_key:
            return False
        return any(
            peer.endpoint is not None and self._listens(sender, peer.endpoint) == (receiver.name, interface)
            for sender, receiver, peer in ((one, other, there), (other, one, back))
        )

    def _way_out(self, machine: Machine, source: Address, target: Address) -> str:
        """Return the interface by which a machine sends; a network that it is attached to is `lan`."""
        routes = [(net.prefixlen, 1, "lan") for net in machine.networks if is_inside(net, target)]
        for name, tunnel in machine.tunnels.items():
            routes += [(net.prefixlen, 0, name) for net in tunnel.routes() if is_inside(net, target)]
        if routes:
            best = max(routes)
            ways = {route[2] for route in routes if route[:2] == best[:2]}
            assert len(ways) == 1, (machine.name, target, ways)
            return best[2]
        for name, tunnel in machine.tunnels.items():
            if tunnel.is_exit(target.version) and source in [address.ip for address in tunnel.addresses]:
                return name
        return INTERNET

    def _may_pass(self, machine: Machine, way: tuple[str, str], ends: tuple[Address, Address], is_answer: bool) -> bool:
        """Tell whether the forward filter of a machine lets a packet pass."""
        (came_in, goes_out), (source, target) = way, ends
        if machine.forwards_all:
            return True
        words = [(name, line) for name, tunnel in machine.tunnels.items() for line in tunnel.forwards]
        if not words:
            return False
        if not self.fences:
            return True
        if came_in != goes_out and came_in in machine.tunnels and goes_out in machine.tunnels:
            return False
        return is_answer or any(self._passes(name, line, way, (source, target)) for name, line in words)

    @staticmethod
    def _passes(name: str, line: list[str], way: tuple[str, str], ends: tuple[Address, Address]) -> bool:
        (came_in, goes_out), (source, target) = way, ends
        match line:
            case ["forward", _]:
                return came_in == goes_out == name and target.version == 6
            case ["forward-ipv4", _]:
                return came_in == goes_out == name and target.version == 4
            case ["behind", prefix, kind]:
                network = ip_network(prefix)
                is_back = kind == "plain" and goes_out == name and is_inside(network, source)
                return (came_in == name and is_inside(network, target)) or is_back
            case ["exit", _]:
                return came_in == name and goes_out != name
        return False

    def _masquerades(self, machine: Machine, came_in: str, goes_out: str, target: Address) -> bool:
        if came_in not in machine.tunnels or goes_out == came_in:
            return False
        lines = machine.tunnels[came_in].forwards
        behind = [line for line in lines if line[0] == "behind" and is_inside(ip_network(line[1]), target)]
        return behind[0][2] == "masquerade" if behind else ["exit", "masquerade"] in lines

    def send(
        self, start: str, source: Address, target: Address, *, came_in: str = "", is_answer: bool = False
    ) -> Arrival | None:
        """Return where a packet comes out that a machine sends, or forwards from its `lan` or from outside."""
        machine = self.machines[start]
        for _ in range(_MOST_HOPS):
            own = {address.ip for tunnel in machine.tunnels.values() for address in tunnel.addresses}
            if target in own:
                return Arrival(machine.name, machine.name, came_in=came_in)
            goes_out = self._way_out(machine, source, target)
            if came_in and not self._may_pass(machine, (came_in, goes_out), (source, target), is_answer):
                return None
            if goes_out not in machine.tunnels:
                place = INTERNET
                if goes_out == "lan":
                    place = str(
                        max((net for net in machine.networks if is_inside(net, target)), key=lambda n: n.prefixlen)
                    )
                hidden = bool(came_in) and self._masquerades(machine, came_in, goes_out, target)
                return Arrival(place, machine.name, hidden, came_in)
            tunnel = machine.tunnels[goes_out]
            key = tunnel.peer_of(target)
            receiver = self.owners.get((goes_out, key)) if key else None
            if receiver is None or not self.has_session(goes_out, machine, receiver):
                return None
            if receiver.tunnels[goes_out].peer_of(source) != tunnel.key:
                return None
            machine, came_in = receiver, goes_out
        return None

    def exchange(self, start: str, source: Address, target: Address) -> Arrival | None:
        """Return where a packet comes out if its answer comes back to who sent it."""
        there = self.send(start, source, target)
        if there is None:
            return None
        came_in = "" if there.place == there.by else "lan" if there.place != INTERNET else INTERNET
        if there.place == INTERNET and there.by != start and not there.was_masqueraded:
            return None
        if there.place != there.by and there.by == start:
            return there
        back = self.send(there.by, target, source, came_in=came_in, is_answer=True)
        return there if back and back.place == start else None
