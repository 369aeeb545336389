"""How far the packets of a silent pair came, host by host, and what stopped them."""

from collections.abc import Iterator
from dataclasses import dataclass

from mesh.doctor.answers import MeshAnswers
from mesh.doctor.causes import CAUSES, UP, Finding
from mesh.doctor.firewalls import find_drops, open_firewall, say_drop
from mesh.doctor.host_causes import overlaps
from mesh.doctor.names import leads_astray
from mesh.remote.examinations import Drop, Probe
from mesh.wireguard.endpoint import host_part

__all__ = ["Trail"]

_NOBODY = "-"
# After so long WireGuard gives a session up.
_SESSION_SECONDS = 180
_ECHO = {"ask": "echo-request", "reply": "echo-reply"}


@dataclass(frozen=True)
class Trail:
    """The way of packets from `host` to `peer`, of which each counted what it saw."""

    answers: MeshAnswers
    host: str
    peer: str

    @property
    def back(self) -> "Trail":
        """The other direction."""
        return Trail(self.answers, self.peer, self.host)

    def probe(self, host: str) -> Probe | None:
        """Return what a host counted."""
        return self.answers.probes.get(host)

    def count(self, host: str, word: str, peer: str) -> int | None:
        """Return a count; None where nothing could be counted."""
        probe = self.probe(host)
        return probe.counts.get((word, peer)) if probe and probe.counted else None

    def arrived(self, word: str) -> int | None:
        """Return how many messages came to the peer; of a host behind NAT, also those of nobody that it knows."""
        known, others = (self.count(self.peer, word, name) for name in (self.host, _NOBODY))
        if known is None or not self.answers.pairs.endpoint(self.peer, self.host):
            return None if known is None and others is None else (known or 0) or (others or 0)
        return known

    def _finding(self, code: str, host: str, peer: str, words: str, *evidence: str, repair: str = "") -> Finding:
        told = tuple(filter(None, evidence))
        return Finding(code, host, peer, words, told, repair or CAUSES[code].repair)

    @property
    def endpoint(self) -> str:
        """Where WireGuard on the host sends to; empty where it does not know."""
        seen = self.answers.facts[self.host].peers.get(self.answers.pairs.participants[self.peer]["publicKey"])
        return "" if seen is None or seen.endpoint == "(none)" else seen.endpoint

    def messages(self) -> Iterator[Finding]:
        """Yield what stops the messages of WireGuard on this way; nothing where they arrive, or nobody knows."""
        host, peer, probe = self.host, self.peer, self.probe(self.host)
        device, _ = probe.routes.get(peer, ("", "")) if probe else ("", "")
        if device == "none":
            yield self._finding("W13", host, peer, f"there is no route to {self.endpoint}")
            return
        if device == self.answers.roster["interface"]:
            yield self._finding("W14", host, peer, f"messages to {self.endpoint} go into the tunnel itself")
            return
        made, sent = (self.count(host, word, peer) for word in ("out", "sent"))
        if made and sent == 0:
            drops = find_drops(probe, "udp", target=self.endpoint, leaves=True)
            yield self._kept_in(drops, f"{host} made {made} messages, and none left it")
        elif made == 0 and self.count(host, "ask-sent", peer):
            words = f"WireGuard has packets for {peer} and sends nothing to {self.endpoint}"
            yield self._finding("W33", host, peer, words)
        elif self.answers.facts[peer].port != self._port:
            # What is lost is lost for that, which is told of the peer.
            return
        elif sent and self.arrived("in") == 0:
            yield from self._lost(sent)
        elif self.arrived("in") and self.arrived("got") == 0:
            yield self._unheard()
        elif self.is_uncounted():
            yield from self._uncounted()

    def is_uncounted(self) -> bool:
        """Tell whether one of the two has no nft, which counts."""
        return any(probe is not None and not probe.counted for probe in map(self.probe, (self.host, self.peer)))

    def _uncounted(self) -> Iterator[Finding]:
        """Yield what WireGuard's own counters and those of iptables tell, where a host has no nft."""
        host, peer = self.host, self.peer
        near, far = self.probe(host), self.probe(peer)
        out, came = near.sessions.get(peer) if near else None, far.sessions.get(host) if far else None
        if not out or not came or came.received:
            return
        told = f"WireGuard on {host} sent {out.sent} bytes, and that on {peer} took none"
        # What is refused at once does not count as sent, nor what WireGuard refuses as received.
        leaving = find_drops(near, "udp", target=self.endpoint, leaves=True)
        arriving = find_drops(far, "udp", source=self.back.endpoint, leaves=False)
        if leaving:
            yield self._kept_in(leaving, told)
        elif out.sent and arriving:
            yield self._kept_out(arriving, told)

    def _kept_in(self, drops: list[Drop], evidence: str) -> Finding:
        what = f"the messages that WireGuard sends to {self.endpoint}"
        return self._dropped("W15", self.host, self.peer, what, drops, evidence, f"udp sport {self._port}")

    def _kept_out(self, drops: list[Drop], evidence: str) -> Finding:
        what = f"the messages of WireGuard from {self.host}"
        return self._dropped("W17", self.peer, self.host, what, drops, evidence, f"udp dport {self._port}")

    def _dropped(
        self, code: str, host: str, peer: str, what: str, drops: list[Drop], evidence: str, match: str
    ) -> Finding:
        """Return that the firewall of `host` drops `what`; a rule of nft with `match` would let it pass."""
        repair = open_firewall(host, drops, match, "OUTPUT" if code == "W15" else "INPUT")
        words = f"its own firewall drops {what}"
        return self._finding(code, host, peer, words, evidence, *map(say_drop, drops), repair=repair)

    def _lost(self, sent: int) -> Iterator[Finding]:
        host, peer, pairs = self.host, self.peer, self.answers.pairs
        planned = pairs.endpoint(host, peer)
        probe = self.probe(host)
        device, source = probe.routes.get(peer, ("", "")) if probe else ("", "")
        way = f" by {device} from {source}" if device else ""
        evidence = f"{host} sent {sent} messages to {self.endpoint}{way}, and none arrived at {peer}"
        if not planned:
            # Whether anything gets to a host behind NAT depends on what that sends.
            moved = (self.count(host, "moved", peer) or 0) + (self.count(host, "in", _NOBODY) or 0)
            if moved:
                words = f"sends to {self.endpoint}, and {peer} speaks from elsewhere"
                told = f"{moved} messages came from elsewhere"
                repair = CAUSES["W19"].repair.replace("HOST PEER", f"{peer} {host}")
                yield self._finding("W19", host, peer, words, evidence, told, repair=repair)
            elif self.back.sends_nothing():
                words = f"the NAT in front of {peer} lets nothing in, and {peer} sends nothing that would open it"
                yield self._finding("W20", peer, host, words, evidence)
            return
        if not pairs.name(host, peer) and planned != self.endpoint:
            words = f"sends to {self.endpoint}, and the plan says {planned}"
            key = pairs.participants[peer]["publicKey"]
            repair = f"wg set {self.answers.roster['interface']} peer {key} endpoint {planned} on {host}"
            yield self._finding("W34", host, peer, words, evidence, repair=repair)
            return
        if pairs.name(host, peer) and leads_astray(self.answers, peer, host_part(self.endpoint)):
            words = f"sends to {self.endpoint}, and {peer} has no such address"
            yield self._finding("W24", host, peer, words, evidence)
            return
        words = f"messages of WireGuard from {host} to {self.endpoint} are lost on the way"
        repair = f"let UDP port {self._port} pass from {host} to {peer} in whatever filters between them"
        others = self.count(peer, "in", _NOBODY)
        strangers = f"{others} messages came to {peer} from addresses that it does not know" if others else ""
        yield self._finding("W16", host, peer, words, evidence, strangers, repair=repair)

    def sends_nothing(self) -> bool:
        """Tell whether WireGuard on the host makes no message for the peer."""
        return self.count(self.host, "out", self.peer) == 0

    def _unheard(self) -> Finding:
        peer, host = self.peer, self.host
        came = self.arrived("in")
        probe = self.probe(peer)
        arrived = f"{came} messages of {host} arrived at {peer}, and none reached WireGuard"
        if probe and probe.reverse_path:
            words = f"its reverse path filter drops the messages of {host}"
            device, _ = probe.routes.get(host, ("", ""))
            way = f"answers to {host} would go by {device}" if device else ""
            return self._finding("W27", peer, host, words, arrived, f"{probe.reverse_path} packets dropped by it", way)
        return self._kept_out(find_drops(probe, "udp", source=self.back.endpoint, leaves=False), arrived)

    def echoes(self) -> Iterator[Finding]:
        """Yield what stops pings inside the tunnel from the host to the peer, or the answers to them."""
        host, peer, probe = self.host, self.peer, self.probe(self.host)
        interface = self.answers.roster["interface"]
        if probe and (device := probe.inner.get(peer, interface)) != interface:
            yield self._astray(device)
            return
        yield from self.echo("ask")
        if not self.count(peer, "ask-got", host):
            return
        other = self.probe(peer)
        if self.count(peer, "reply", host) == 0 and (not other or other.inner.get(host, interface) == interface):
            got = self.count(peer, "ask-got", host)
            yield self._finding("W35", peer, host, f"does not answer pings of {host}", f"{got} pings got to it")
        yield from self.back.echo("reply")

    def echo(self, word: str) -> Iterator[Finding]:
        """Yield what stops pings (`ask`), or answers to them (`reply`), on this way."""
        host, peer, kind = self.host, self.peer, _ECHO[word]
        interface = self.answers.roster["interface"]
        made, sent = (self.count(host, name, peer) for name in (word, f"{word}-sent"))
        came, got = (self.count(peer, f"{word}-{name}", host) for name in ("in", "got"))
        near, far = (self.answers.pairs.address(name) for name in (host, peer))
        what = "pings" if word == "ask" else "answers to pings"
        if made and sent == 0:
            drops = find_drops(self.probe(host), kind, source=near, target=far, leaves=True)
            what = f"{what} to {peer} on their way into the tunnel"
            match = f'oifname "{interface}" icmpv6 type {kind}'
            yield self._dropped("W15", host, peer, what, drops, f"{made} made, none sent", match)
        elif came and got == 0:
            drops = find_drops(self.probe(peer), kind, source=near, target=far, leaves=False)
            what = f"{what} of {host} that come out of the tunnel"
            match = f'iifname "{interface}" icmpv6 type {kind}'
            yield self._dropped("W18", peer, host, what, drops, f"{came} came in, none got through", match)

    def _astray(self, device: str) -> Finding:
        host, peer = self.host, self.peer
        address = self.answers.pairs.address(peer)
        where = "nowhere" if device == "none" else f"by {device}"
        prefixes = self.answers.pairs.allowed_ips(host, self.answers.pairs.relay_between(host, peer) or peer)
        taken = overlaps(self.answers, host, prefixes)
        # Nothing of ours is missing here, which would have been told of the host.
        repair = f"ip -6 rule show and ip route get {address} on {host} show what takes them"
        repair = CAUSES["W38"].repair if taken else repair
        return self._finding("W14", host, peer, f"packets for {address} go {where}", *taken, repair=repair)

    def is_refused(self) -> bool:
        """Tell whether messages get to WireGuard in both directions, and no session comes of them."""
        if not (self.arrived("got") and self.back.arrived("got")):
            return False
        probes = [(self.probe(self.host), self.peer), (self.probe(self.peer), self.host)]
        sessions = [probe.sessions.get(name) for probe, name in probes if probe]
        return all(each is None or each.age is None or each.age > _SESSION_SECONDS for each in sessions)

    def forget(self) -> str:
        """Return what makes one of the two forget the time of the other's last handshake."""
        # Of a roaming host, it is its handshakes that are refused, since nobody else can begin one.
        to, of = (self.peer, self.host) if self.answers.pairs.endpoint(self.host, self.peer) else (self.host, self.peer)
        key = self.answers.pairs.participants[of]["publicKey"]
        return f"wg set {self.answers.roster['interface']} peer {key} remove on {to}, then {UP}".replace("`", "")

    def is_answered(self) -> bool:
        """Tell whether pings of the host were answered while they were counted."""
        return bool(self.count(self.host, "reply-got", self.peer))

    @property
    def _port(self) -> int:
        return int(self.answers.roster["port"])
