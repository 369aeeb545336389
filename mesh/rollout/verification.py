"""Compare what the kernels of all hosts report with the roster: keys, preshared keys, handshakes, silent pairs.

`facts` collects the reports. Nothing here talks to a host.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from mesh.plan.pairs import Pairs
from mesh.plan.roster import Roster
from mesh.remote.reports import Facts, PeerFacts
from mesh.rollout.fault import Fault
from mesh.rollout.host_differences import describe_difference
from mesh.rollout.kernel_differences import kernel_differences
from mesh.wireguard.endpoint import host_part

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
) -> list[Fault]:
    """Return what is wrong with the mesh, each with its likely cause; empty when every pair is verified.

    Args:
        roster: What the hosts are to run.
        facts: What each host runs.
        silent: The pairs (from, to) whose ping had no answer.
        changed: The hosts whose key was just switched: a handshake from before the switch does not count for them.
        narrow: The pairs that answer small packets only, with the bytes that pass.
        unresolved: The silent pairs of which the first host cannot resolve the name of the other.
        sources: For silent pairs, the address from which the second host answers, if that may be another one than its
            endpoint.
        reasons: What the first host of a silent pair knows of its own part: `unsent`, it may not send pings;
            `unheard`, the answers come in through the tunnel and are dropped there; `unclear`, so much else comes in
            that it cannot tell.
    """
    pairs = Pairs(roster)
    faults: list[Fault] = []
    for host in sorted(facts):
        faults.extend(kernel_faults(roster, host, facts[host], pairs))
        faults.extend(Fault(host, describe_difference(roster, host, found, pairs)) for found in facts[host].differences)
    lost = set(unresolved)
    unanswered = {*silent, *lost, *reasons}
    fresh = set(changed)
    for host in sorted(facts):
        for peer in pairs.peers_of(host):
            if peer not in facts or pairs.turn(host, peer) == "never":
                continue
            key = pairs.participants[peer]["publicKey"]
            seen = facts[host].peers.get(key)
            outdated = bool({host, peer} & fresh) and key in facts[host].stale
            cause = ""
            if (host, peer) in unanswered:
                reason = "unresolved" if (host, peer) in lost else reasons.get((host, peer), "")
                # A session of the key before says nothing of this one.
                seen = replace(seen, handshake=0) if seen and outdated else seen
                cause = _silence(
                    roster, pairs, (host, peer), seen, sources.get((host, peer), ""), reason, facts[host].stale
                )
            elif (host, peer) in narrow:
                size = narrow[host, peer]
                cause = (
                    f"packets of more than {size} bytes inside the tunnel are lost, and mtu is {int(roster['mtu'])}; "
                    f"set mtu to {size} or less, or let the path between them carry more"
                )
            elif outdated:
                cause = "answers, but has no handshake with the new key yet; run pulumi up again"
            if cause:
                faults.append(Fault(host, cause, peer))
    return faults


def kernel_faults(roster: Roster, host: str, report: Facts, pairs: Pairs) -> list[Fault]:
    """Return what the kernel of one host runs differently from the roster; the age of a handshake is no difference."""
    found = kernel_differences(roster, host, report, pairs)
    return [Fault(host, difference.cause) for difference in found]


def _silence(
    roster: Roster,
    pairs: Pairs,
    pair: tuple[str, str],
    seen: PeerFacts | None,
    source: str,
    reason: str,
    stale: Collection[str],
) -> str:
    """Return the likely cause why the ping of the first host of a pair to the second has no answer."""
    host, peer = pair
    interface, port, name = roster["interface"], int(roster["port"]), pairs.name(host, peer)
    if reason in _OWN_FIREWALL:
        cause = _OWN_FIREWALL[reason].format(host=host)
        return f"no answer: {cause}; let ICMPv6 pass on {interface} of {host}, out and in"
    if relay := pairs.relay_between(host, peer):
        return f"no answer over {relay}; see whether a firewall there denies forwarding from {interface} to {interface}"
    if reason == "unresolved":
        return f"no answer: {name} does not resolve on {host} now; see what {host} asks for names"
    if other := _other_source(pairs, host, peer, source):
        return other
    if name and (seen is None or seen.endpoint == "(none)"):
        return f"no answer: no handshake; {name} has not resolved on {host} so far; see what {host} asks for names"
    if name and seen:
        return (
            f"no answer: {name} resolves to {seen.endpoint}; see whether {peer} is there, and UDP port {port} open "
            "towards it"
        )
    if seen is None or not seen.handshake:
        return (
            f"no answer: no handshake; see whether UDP port {port} is open out of {host}, on the way, and into {peer}"
        )
    if not seen.received:
        return f"no answer: handshake but nothing received; see whether something between them drops UDP port {port}"
    where = f"{peer} or {host}" if reason == "unclear" else peer
    if pairs.participants[peer]["publicKey"] in stale:
        # As where the endpoint in the stack file is wrong: the session is one from before.
        return (
            f"no answer, and no handshake since the change began; see whether {peer} is at {host_part(seen.endpoint)}, "
            f"UDP port {port} is open into it, and ICMPv6 passes inside the mesh on {where}"
        )
    if endpoint := pairs.endpoint(host, peer):
        # Whoever is not there may have made the handshake from elsewhere.
        return (
            f"no answer: handshake but no echo; see whether ICMPv6 is dropped inside the mesh on {where}, the MTU is "
            f"too large, or {peer} is not at {host_part(endpoint)}"
        )
    return (
        f"no answer: handshake but no echo; see whether ICMPv6 is dropped inside the mesh on {where}, or the MTU is "
        "too large"
    )


def _other_source(pairs: Pairs, host: str, peer: str, source: str) -> str:
    """Return what is wrong where a peer answers from an address that the NAT in front of `host` does not let in."""
    endpoint = host_part(pairs.endpoint(host, peer))
    if not source or source == endpoint or pairs.name(host, peer) or pairs.endpoint(peer, host):
        return ""
    return (
        f"no answer: its endpoint is {endpoint}, and WireGuard in userspace answers from {source}, which NAT keeps "
        f"from {host}; on {peer}, make {endpoint} the source of the default route (ip route replace … src), or give it "
        "an external address that it has"
    )
