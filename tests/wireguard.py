"""A model of WireGuard: what a handshake needs, what waits for it, where packets go; enough to see what loses them.

Of the protocol (the WireGuard paper, sections 5 and 6): an initiation counts only for the key of the other end, and
its answer only while nothing has replaced it; each end begins none within 5 seconds of its last message of a
handshake, and tries again after that; up to 128 packets wait for a session, and the end that answered sends when it
has heard the first packet of it. A new private key leaves sessions to be heard, and takes away the right to send by
them. A peer that is removed takes all that with it. The source of anything authentic becomes a peer's endpoint. NAT
is symmetric: a port for each destination, and nothing comes in but from there. Ages of sessions are left out: a
replay lasts seconds.
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

__all__ = ["NOWHERE", "Host", "Peer", "World"]

REKEY_TIMEOUT = 5.0
MAX_STAGED = 128
Place = tuple[str, int]
NOWHERE: Place = ("nowhere", 9)


@dataclass
class Session:
    """One end of a session."""

    number: int
    may_send: bool = True


@dataclass
class Peer:
    """What a host knows of one peer, and what it has with it."""

    key: str
    preshared: str = ""
    endpoint: Place | None = None
    allowed: frozenset[str] = frozenset()
    keepalive: bool = False
    waiting: list[tuple[str, int]] = field(default_factory=list)
    current: Session | None = None
    upcoming: Session | None = None
    previous: Session | None = None
    initiation: int | None = None
    last_sent: float = -REKEY_TIMEOUT
    attempt: int = 0

    @property
    def sessions(self) -> Iterable[Session]:
        """Those by which something can be heard."""
        return [each for each in (self.current, self.upcoming, self.previous) if each]


@dataclass
class Message:
    """What goes over the wire; `payload` are the source address and the number of a packet of a user, if it is one."""

    kind: str
    sender: str
    receiver: str
    number: int
    preshared: str = ""
    payload: tuple[str, int] | None = None


class World:
    """Hosts, the network between them and the time, in seconds."""

    def __init__(self, seed: int) -> None:
        """Begin at 0."""
        self.random = Random(seed)  # noqa: S311
        self.now = 0.0
        self.hosts: dict[str, Host] = {}
        self.places: dict[str, Host] = {}
        self.arrived: dict[tuple[str, str, int], float] = {}
        self._mappings: dict[tuple[str, int, Place], int] = {}
        self._numbers = count(1)
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def number(self) -> int:
        """Return a number that nothing else has."""
        return next(self._numbers)

    def at(self, when: float, work: Callable[[], None]) -> None:
        """Do something then."""
        heapq.heappush(self._events, (when, self.number(), work))

    def run(self, until: float) -> None:
        """Let the time pass."""
        while self._events and self._events[0][0] <= until:
            self.now, _, work = heapq.heappop(self._events)
            work()
        self.now = until

    def send(self, host: "Host", target: Place, message: Message) -> None:
        """Carry a message to whoever is there when it comes."""
        source: Place = (host.address, host.port)
        if host.is_behind_nat:
            mapped = self._mappings.setdefault((host.name, host.port, target), 1024 + self.number())
            source = (host.address, mapped)
        self.at(self.now + self.random.uniform(0.0002, 0.003), lambda: self._deliver(source, target, message))

    def _deliver(self, source: Place, target: Place, message: Message) -> None:
        host = self.places.get(target[0])
        if host is None:
            return
        port = target[1]
        if host.is_behind_nat:
            ports = [own for (name, own, to), mapped in self._mappings.items()
                     if name == host.name and mapped == port and to == source]  # fmt: skip
            if not ports:
                return
            port = ports[0]
        if port == host.port:
            host.receive(source, message)


class Host:
    """One host that runs WireGuard."""

    def __init__(self, world: World, name: str, key: str, port: int, *, is_behind_nat: bool) -> None:
        """Put it on the network, at the address that is its name."""
        self.world, self.name, self.key, self.port, self.is_behind_nat = world, name, key, port, is_behind_nat
        self.address = name
        self.tunnel_address = ""
        self.peers: dict[str, Peer] = {}
        world.hosts[name] = world.places[name] = self

    def set_private_key(self, key: str) -> None:
        """Take another key: sessions can be heard on, and nothing is sent by them."""
        if key == self.key:
            return
        self.key = key
        for peer in self.peers.values():
            peer.initiation = None
            peer.last_sent = self.world.now - REKEY_TIMEOUT
            for session in (peer.current, peer.upcoming):
                if session:
                    session.may_send = False

    def set_peer(self, key: str, **changes: Any) -> None:
        """Do what `wg set peer` does; a keepalive that is turned on says something at once."""
        if key not in self.peers:
            self.peers[key] = Peer(key)
        peer = self.peers[key]
        begins = changes.get("keepalive", False) and not peer.keepalive
        for name, value in changes.items():
            setattr(peer, name, value)
        if "allowed" in changes:
            for other in self.peers.values():
                if other is not peer:
                    other.allowed -= peer.allowed
        if begins and not peer.waiting:
            peer.waiting.append(("", 0))
        if begins or peer.waiting:
            self._flush(peer)

    def remove_peer(self, key: str) -> None:
        """Forget a peer, and what waits for it."""
        self.peers.pop(key, None)

    def send(self, address: str, number: int) -> None:
        """Send a packet of a user to an address inside the tunnel."""
        for peer in self.peers.values():
            if address in peer.allowed:
                peer.waiting = [*peer.waiting, (self.tunnel_address, number)][-MAX_STAGED:]
                self._flush(peer)
                return

    def _flush(self, peer: Peer) -> None:
        if peer.current and peer.current.may_send:
            for payload in peer.waiting:
                if peer.endpoint:
                    data = Message("data", self.key, peer.key, peer.current.number, payload=payload)
                    self.world.send(self, peer.endpoint, data)
            peer.waiting = []
        else:
            self._initiate(peer)

    def _initiate(self, peer: Peer) -> None:
        if self.world.now - peer.last_sent < REKEY_TIMEOUT:
            return
        peer.last_sent = self.world.now
        peer.initiation = self.world.number()
        if peer.endpoint:
            self.world.send(self, peer.endpoint, Message("initiation", self.key, peer.key, peer.initiation))
        peer.attempt += 1
        attempt = peer.attempt

        def again() -> None:
            if self.peers.get(peer.key) is peer and peer.attempt == attempt:
                self._initiate(peer)

        self.world.at(self.world.now + REKEY_TIMEOUT + self.world.random.uniform(0, 0.334), again)

    def receive(self, source: Place, message: Message) -> None:
        """Take what came from the network."""
        peer = self.peers.get(message.sender)
        if message.kind == "data":
            self._take_data(source, message)
        elif peer is None or message.receiver != self.key:
            return
        elif message.kind == "initiation":
            # It takes the place of one that was sent, whose answer will mean nothing any more.
            peer.initiation, peer.endpoint, peer.last_sent = None, source, self.world.now
            peer.upcoming = Session(self.world.number())
            self.world.send(
                self,
                source,
                Message(f"answer {message.number}", self.key, peer.key, peer.upcoming.number, peer.preshared),
            )
        elif message.kind == f"answer {peer.initiation}" and message.preshared == peer.preshared:
            peer.initiation, peer.endpoint = None, source
            peer.previous, peer.current, peer.upcoming = peer.current, Session(message.number), None
            peer.attempt += 1
            peer.waiting = peer.waiting or [("", 0)]
            self._flush(peer)

    def _take_data(self, source: Place, message: Message) -> None:
        for peer in self.peers.values():
            for session in peer.sessions:
                if session.number != message.number:
                    continue
                peer.endpoint = source
                if session is peer.upcoming:
                    peer.previous, peer.current, peer.upcoming = peer.current, session, None
                    peer.attempt += 1
                    if peer.waiting:
                        self._flush(peer)
                if message.payload and message.payload[0] in peer.allowed:
                    source_address, number = message.payload
                    self.world.arrived.setdefault((source_address, self.tunnel_address, number), self.world.now)
                return
