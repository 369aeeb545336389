"""Judge what the kernels of all hosts report against the roster: keys, preshared key, handshakes, silent pairs.

Collecting the reports belongs to `rollout`. Nothing here talks to a host.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mesh.roster import Roster, speaks_first, subnet_of

__all__ = ["Facts", "Peer", "find_faults", "parse_facts"]


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer as a host's kernel has it; `handshake` is in seconds since the epoch, 0 for never."""

    endpoint: str
    allowed_ips: str
    handshake: int
    received: int
    sent: int
    keepalive: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What one host runs; `preshared` holds a salted digest for each distinct key; `since` is the last switch."""

    public_key: str = ""
    port: int = 0
    mtu: int = 0
    since: int = 0
    addresses: tuple[str, ...] = ()
    preshared: frozenset[str] = frozenset()
    digests: tuple[str, ...] = ()
    peers: Mapping[str, Peer] = field(default_factory=dict)


def parse_facts(lines: Iterable[str]) -> Facts:
    """Return the reply to the order `facts`."""
    public_key, port, mtu, since = "", 0, 0, 0
    addresses: list[str] = []
    preshared: set[str] = set()
    digests: tuple[str, ...] = ()
    peers: dict[str, Peer] = {}
    for line in lines:
        match line.split():
            case ["interface", key, listen]:
                public_key, port = key, int(listen)
            case ["mtu", value]:
                mtu = int(value)
            case ["since", value]:
                since = int(value)
            case ["address", value]:
                addresses.append(value)
            case ["preshared", value]:
                preshared.add(value)
            case ["digest", *values]:
                digests = tuple(values)
            case ["peer", key, endpoint, allowed, handshake, received, sent, keepalive]:
                peers[key] = Peer(endpoint, allowed, int(handshake), int(received), int(sent), keepalive)
            case _:
                pass
    return Facts(public_key, port, mtu, since, tuple(addresses), frozenset(preshared), digests, peers)


def find_faults(
    roster: Roster, facts: Mapping[str, Facts], silent: Iterable[tuple[str, str]], changed: Iterable[str] = ()
) -> list[str]:
    """Return what disproves the mesh, a line each with its likely cause; empty when every pair is proven.

    `silent` are the pairs (from, to) whose ping had no answer, `changed` the hosts whose key was just switched, for
    which a handshake older than the switch proves nothing.
    """
    members = roster["members"]
    faults: list[str] = []
    for host in sorted(facts):
        faults.extend(_kernel_faults(roster, host, facts[host]))
    digests = {digest for report in facts.values() for digest in report.preshared}
    if len(digests) > 1:
        faults.append("the preshared key differs between hosts; run pulumi up again")
    mute = set(silent)
    fresh = set(changed)
    for host in sorted(facts):
        for peer in sorted(members):
            if peer == host or peer not in facts or speaks_first(members, host, peer) == "never":
                continue
            seen = facts[host].peers.get(members[peer]["publicKey"])
            if (host, peer) in mute:
                faults.append(_silence(roster, host, peer, seen))
            elif seen and {host, peer} & fresh and seen.handshake < facts[host].since - 1:
                faults.append(
                    f"{host} → {peer}: answers, but has no handshake with the new key yet; run pulumi up again"
                )
    return faults


def _kernel_faults(roster: Roster, host: str, report: Facts) -> list[str]:
    members = roster["members"]
    faults: list[str] = []
    if report.public_key != members[host]["publicKey"]:
        faults.append(f"{host}: runs another public key than the state has; run pulumi up --refresh")
    if report.port != int(roster["port"]):
        faults.append(f"{host}: listens on UDP port {report.port}, not {int(roster['port'])}; run pulumi up --refresh")
    wanted = {members[peer]["publicKey"]: peer for peer in members if peer != host}
    for key, peer in sorted(wanted.items(), key=lambda entry: entry[1]):
        if key not in report.peers:
            faults.append(f"{host}: has no peer {peer}; run pulumi up --refresh")
        elif report.peers[key].allowed_ips != subnet_of(members[peer]):
            faults.append(f"{host}: allowed IPs of {peer} are {report.peers[key].allowed_ips}; run pulumi up --refresh")
    extra = len(set(report.peers) - set(wanted))
    if extra:
        faults.append(f"{host}: has {extra} peer(s) that the roster lacks; run pulumi up --refresh")
    return faults


def _silence(roster: Roster, host: str, peer: str, seen: Peer | None) -> str:
    port = int(roster["port"])
    if seen is None or not seen.handshake:
        cause = f"no handshake; is UDP port {port} open towards {peer}, also in a firewall between them?"
    elif not seen.received:
        cause = f"handshake but nothing received; does something between them drop UDP port {port}?"
    else:
        cause = f"handshake but no echo; is ICMPv6 dropped inside the mesh on {peer}, or the MTU too large?"
    return f"{host} → {peer}: no answer: {cause}"
