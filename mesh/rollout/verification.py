"""Judge what the kernels of all hosts report against the roster: keys, preshared key, handshakes, silent pairs.

Collecting the reports belongs to `rollout`. Nothing here talks to a host.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from mesh.plan.pairs import Pairs
from mesh.plan.roster import Roster
from mesh.remote.reports import Facts, Peer
from mesh.rollout.host_differences import describe_difference

__all__ = ["find_faults", "kernel_faults", "salted_digest"]

# What a host knows to be in the way on itself.
_OWN_FIREWALL = {
    "unsent": "a firewall of {host} itself drops its pings on their way out",
    "unheard": "the answers reach {host}, and a firewall of {host} itself drops them",
}


def salted_digest(salt: str, preshared_keys: Collection[str]) -> str:
    """Return what a host replies to `facts SALT` when its peers have just these preshared keys."""
    lines = "".join(f"{salt}{key}\n" for key in sorted(preshared_keys))
    return hashlib.sha256(lines.encode()).hexdigest()


def find_faults(
    roster: Roster,
    facts: Mapping[str, Facts],
    silent: Iterable[tuple[str, str]],
    changed: Iterable[str] = (),
    narrow: Mapping[tuple[str, str], int] = MappingProxyType({}),
    unresolved: Iterable[tuple[str, str]] = (),
    sources: Mapping[tuple[str, str], str] = MappingProxyType({}),
    reasons: Mapping[tuple[str, str], str] = MappingProxyType({}),
) -> list[str]:
    """Return what disproves the mesh, a line each with its likely cause; empty when every pair is proven.

    `silent` are the pairs (from, to) whose ping had no answer, `unresolved` those of them whose first does not find out
    where the name of the other leads, `changed` the hosts whose key was just switched, for which a handshake older than
    the switch proves nothing, `narrow` the pairs that answer small packets only, with the bytes that pass, and
    `sources` from where the second of silent pairs answers, where that may be another place than it is asked at. What
    the first of a silent pair knows of its own part is in `reasons`: `unsent`, it may not send pings; `unheard`, their
    answers come in through the tunnel and are dropped there; `unclear`, so much else comes in that it cannot tell.
    """
    pairs = Pairs(roster)
    faults: list[str] = []
    for host in sorted(facts):
        faults.extend(kernel_faults(roster, host, facts[host], pairs))
        faults.extend(f"{host}: {describe_difference(roster, host, found)}" for found in facts[host].differences)
    lost = set(unresolved)
    mute = {*silent, *lost, *reasons}
    fresh = set(changed)
    for host in sorted(facts):
        for peer in pairs.peers_of(host):
            if peer not in facts or pairs.turn(host, peer) == "never":
                continue
            seen = facts[host].peers.get(pairs.participants[peer]["publicKey"])
            reason = reasons.get((host, peer), "")
            if reason in _OWN_FIREWALL:
                faults.append(
                    f"{host} → {peer}: no answer: {_OWN_FIREWALL[reason].format(host=host)}; let ICMPv6 pass on "
                    f"{roster['interface']} of {host}, out and in"
                )
            elif (host, peer) in mute and (relay := pairs.relay(host, peer)):
                faults.append(
                    f"{host} → {peer}: no answer over {relay}; does a firewall there deny forwarding from "
                    f"{roster['interface']} to {roster['interface']}?"
                )
            elif (host, peer) in lost:
                name = pairs.name(host, peer)
                faults.append(
                    f"{host} → {peer}: no answer: {name} does not resolve on {host} now; see what {host} asks for names"
                )
            elif (host, peer) in mute:
                faults.append(
                    _other_source(pairs, host, peer, sources.get((host, peer), ""))
                    or _silence(roster, host, peer, seen, pairs.name(host, peer), reason)
                )
            elif (host, peer) in narrow:
                size = narrow[host, peer]
                faults.append(
                    f"{host} → {peer}: packets of more than {size} bytes inside the tunnel are lost, and mtu is "
                    f"{int(roster['mtu'])}; set mtu to {size} or less, or let the path between them carry more"
                )
            elif seen and {host, peer} & fresh and seen.handshake < facts[host].since - 1:
                faults.append(
                    f"{host} → {peer}: answers, but has no handshake with the new key yet; run pulumi up again"
                )
    return faults


def kernel_faults(roster: Roster, host: str, report: Facts, pairs: Pairs | None = None) -> list[str]:
    """Return what the kernel of one host runs differently from the roster, a line each; never a handshake's age."""
    members, pairs = roster["members"], pairs or Pairs(roster)
    faults: list[str] = []
    if report.public_key != members[host]["publicKey"]:
        faults.append(f"{host}: runs another public key than the state has; run pulumi up --refresh")
    if report.port != int(roster["port"]):
        faults.append(f"{host}: listens on UDP port {report.port}, not {int(roster['port'])}; run pulumi up --refresh")
    if not report.has_preshared_key:
        # Running sessions would not notice for minutes, and then end.
        faults.append(f"{host}: has another preshared key than the state; run pulumi up --refresh")
    if report.mtu != int(roster["mtu"]):
        faults.append(f"{host}: has MTU {report.mtu}, not {int(roster['mtu'])}; run pulumi up --refresh")
    addresses = [members[host]["address"]]
    if ipv4 := members[host].get("ipv4"):
        addresses.append(f"{ipv4}/32")
    faults.extend(
        f"{host}: lacks its address {address}; run pulumi up --refresh"
        for address in addresses
        if address not in report.addresses
    )
    wanted = {pairs.participants[peer]["publicKey"]: peer for peer in pairs.links_of(host)}
    for key, peer in sorted(wanted.items(), key=lambda entry: entry[1]):
        if key not in report.peers:
            faults.append(f"{host}: has no peer {peer}; run pulumi up --refresh")
            continue
        running = report.peers[key]
        # The kernel lists them as they came, wireguard-go by their bits.
        if set(running.allowed_ips.split(",")) != set(pairs.allowed_ips(host, peer)):
            faults.append(f"{host}: allowed IPs of {peer} are {running.allowed_ips}; run pulumi up --refresh")
        if running.endpoint == "(none)" and (endpoint := pairs.endpoint(host, peer)) and not pairs.name(host, peer):
            faults.append(f"{host}: knows no endpoint of {peer}, {endpoint}; run pulumi up --refresh")
        if (seen := running.keepalive) != (sends := pairs.keepalive(host, peer)):
            faults.append(f"{host}: persistent keepalive to {peer} is {seen}, not {sends}; run pulumi up --refresh")
    faults.extend(
        f"{host}: has the address {address}, which is not its own; run pulumi up --refresh"
        for address in report.addresses
        if address not in addresses
    )
    faults.extend(
        f"{host}: has a peer that the roster lacks, {key} ({report.peers[key].allowed_ips}); run pulumi up --refresh"
        for key in sorted(set(report.peers) - set(wanted))
    )
    return faults


def _other_source(pairs: Pairs, host: str, peer: str, source: str) -> str:
    """Return what is wrong where a peer answers from an address of which the NAT in front of `host` knows nothing."""
    sought = pairs.endpoint(host, peer).rpartition(":")[0].strip("[]")
    if not source or source == sought or pairs.name(host, peer) or pairs.endpoint(peer, host):
        return ""
    return (
        f"{host} → {peer}: no answer: its endpoint is {sought}, and WireGuard in userspace answers from {source}, "
        f"which NAT keeps from {host}; on {peer}, make {sought} the source of the default route "
        "(ip route replace … src)"
    )


def _silence(roster: Roster, host: str, peer: str, seen: Peer | None, name: str, reason: str) -> str:
    port = int(roster["port"])
    if name and (seen is None or seen.endpoint == "(none)"):
        cause = f"no handshake; {name} has led nowhere on {host} so far; see what {host} asks for names"
    elif name and seen:
        cause = f"sought at {seen.endpoint} by the name {name}; is {peer} there, and UDP port {port} open towards it?"
    elif seen is None or not seen.handshake:
        cause = f"no handshake; is UDP port {port} open out of {host}, on the way, and into {peer}?"
    elif not seen.received:
        cause = f"handshake but nothing received; does something between them drop UDP port {port}?"
    else:
        where = f"{peer} or {host}" if reason == "unclear" else peer
        cause = f"handshake but no echo; is ICMPv6 dropped inside the mesh on {where}, or the MTU too large?"
    return f"{host} → {peer}: no answer: {cause}"
