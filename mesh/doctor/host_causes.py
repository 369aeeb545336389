"""What is wrong with single hosts: what they run beside what is planned, and what they say of themselves."""

from collections.abc import Collection, Iterator
from ipaddress import ip_network
from statistics import median_high, median_low

from mesh.doctor.answers import MeshAnswers
from mesh.doctor.causes import CAUSES, Finding
from mesh.errors import show_first
from mesh.plan.pairs import EVERYWHERE
from mesh.remote.replies import NOTHING_THERE
from mesh.rollout.host_differences import REPAIR, ROTATE, describe_difference
from mesh.rollout.kernel_differences import kernel_differences

__all__ = ["has_no_ipv6", "host_findings", "overlaps"]

_OF_KERNEL = {
    "key": "W05", "port": "W11", "mtu": "W22", "address": "W09", "no-peer": "W10", "stranger": "W10",
    "allowed-ips": "W08", "endpoint": "W33", "keepalive": "W20", "preshared": "W07",
}  # fmt: skip
_OF_HOST = {
    "forgotten": "W02", "absent": "W03", "down": "W04", "unsettled": "W29", "late": "W29", "forwarding": "W26",
    "masquerade": "W26", "firewall": "W17", "route": "W14", "exit": "W14",
}  # fmt: skip
_EVERYWHERE = {ip_network(prefix) for prefix in EVERYWHERE}
# WireGuard's own clocks differ by less, and so do those of hosts that anybody sets.
_CLOCK_SECONDS = 60


def _finding(code: str, host: str, cause: str, peer: str = "", evidence: tuple[str, ...] = ()) -> Finding:
    """Return a finding from the cause of a fault, which says at its end what to do: all of these are set again."""
    repair = f"{REPAIR}, then rotate the key of {host}" if cause.endswith(ROTATE) else REPAIR
    return Finding(code, host, peer, cause.rpartition("; ")[0] or cause, evidence, repair)


def host_findings(answers: MeshAnswers) -> Iterator[Finding]:
    """Yield what is wrong with each host, and with what it has of each peer."""
    pending = set(answers.recorded["pending"])
    for host, reason in sorted(answers.absent.items()):
        if host not in pending:
            evidence = tuple(_seen_by_peers(answers, host))
            if reason == NOTHING_THERE:
                yield _finding("W02", host, reason, evidence=evidence)
            else:
                # What is wrong with the way there says itself what to do, as a rule.
                what, _, remedy = reason.rpartition("; ")
                yield Finding("W01", host, "", what or reason, evidence, remedy if what else CAUSES["W01"].repair)
    for host in answers.asked:
        yield from _of_itself(answers, host)
        # While a change is unfinished, the host runs neither all of the old plan nor all of the new one.
        if not answers.is_dead(host) and "unsettled" not in answers.kinds(host):
            yield from _of_kernel(answers, host)
            if answers.facts[host].confirmed != answers.recorded["digest"]:
                words = "the last rollout was not confirmed here"
                yield Finding("W30", host, "", words, (), CAUSES["W30"].repair)
        yield from _of_system(answers, host)
    yield from _twins(answers)
    yield from _clocks(answers)


def _seen_by_peers(answers: MeshAnswers, host: str) -> Iterator[str]:
    asking = [peer for peer in answers.pairs.peers_of(host) if (peer, host) in answers.expected]
    for answered, words in ((True, "answers"), (False, "does not answer")):
        if who := [peer for peer in asking if answers.answers(peer, host) == answered]:
            yield f"its tunnel {words} {show_first(who)}"


def has_no_ipv6(answers: MeshAnswers, host: str) -> bool:
    """Tell whether the interface can have no addresses and routes now."""
    examination = answers.examinations.get(host)
    return bool(examination and {"kernel", "all", answers.roster["interface"]} & set(examination.ipv6_off))


def _of_itself(answers: MeshAnswers, host: str) -> Iterator[Finding]:
    kinds = answers.kinds(host)
    for difference in answers.facts[host].differences:
        code = _OF_HOST.get(difference.kind, "W31")
        # A host that lost everything lacks each thing; one finding says so.
        if code in ("W31", "W03", "W14", "W17") and "forgotten" in kinds:
            continue
        # While it is down, or without IPv6, it has no routes.
        if code == "W14" and ("down" in kinds or has_no_ipv6(answers, host)):
            continue
        evidence: tuple[str, ...] = ()
        peer = ""
        if difference.kind == "route":
            evidence = tuple(overlaps(answers, host, [difference.subject]))
            links = answers.pairs.links_of(host)
            peer = next((name for name in links if difference.subject in answers.pairs.allowed_ips(host, name)), "")
        yield _finding(code, host, describe_difference(answers.roster, host, difference, answers.pairs), peer, evidence)


def overlaps(answers: MeshAnswers, host: str, prefixes: Collection[str]) -> list[str]:
    """Return the other interfaces of a host that have one of the prefixes or a part of it, each with what it has."""
    if (examination := answers.examinations.get(host)) is None:
        return []
    wanted = {ip_network(prefix, strict=False) for prefix in prefixes} - _EVERYWHERE
    lengths = {(network.version, network.prefixlen) for network in wanted}
    taken = {*examination.others, *((device, address.network) for device, address in examination.own)}
    return sorted(
        f"{device} has {network}"
        for device, network in taken
        if any(
            version == network.version and length <= network.prefixlen and network.supernet(new_prefix=length) in wanted
            for version, length in lengths
        )
    )


def _of_kernel(answers: MeshAnswers, host: str) -> Iterator[Finding]:
    facts = answers.facts[host]
    members = answers.roster["members"]
    others = {member["publicKey"] for name, member in members.items() if name != host}
    prefixes = {peer: set(answers.pairs.allowed_ips(host, peer)) for peer in answers.pairs.links_of(host)}
    found = list(kernel_differences(answers.roster, host, facts, answers.pairs))
    # A key that stands in the place of a planned one is one difference, not two.
    exchanged = {
        peer: key
        for peer in (each.peer for each in found if each.kind == "no-peer")
        for key in (each.peer for each in found if each.kind == "stranger")
        if set(facts.peers[key].allowed_ips.split(",")) & prefixes[peer]
    }
    for difference in found:
        peer = difference.peer if difference.peer in prefixes else ""
        if difference.kind == "stranger" and difference.peer in exchanged.values():
            continue
        if difference.kind == "key" and facts.public_key in others:
            continue
        if difference.kind == "address" and has_no_ipv6(answers, host):
            continue
        if difference.kind == "no-peer" and peer in exchanged:
            running = answers.facts[peer].public_key if peer in answers.facts else ""
            evidence = f"{peer} itself runs {running}" if running else f"{peer} does not say which key it runs"
            planned = answers.pairs.participants[peer]["publicKey"]
            words = f"knows {peer} by the key {exchanged[peer]}, and {planned} is planned"
            yield Finding("W06", host, peer, words, (evidence,), CAUSES["W06"].repair)
            continue
        evidence_of_key: tuple[str, ...] = ()
        if difference.kind == "key":
            knowing = [
                other for other in answers.asked if host != other and facts.public_key in answers.facts[other].peers
            ]
            evidence_of_key = (
                f"it runs {facts.public_key}, and {members[host]['publicKey']} is planned",
                f"by the key that it runs it is known to {show_first(knowing) or 'nobody'}",
            )
        yield _finding(_OF_KERNEL[difference.kind], host, difference.cause, peer, evidence_of_key)


def _of_system(answers: MeshAnswers, host: str) -> Iterator[Finding]:
    if (examination := answers.examinations.get(host)) is None:
        return
    for program, process in examination.listens:
        number = f", process {process}" if process else ""
        words = f"UDP port {int(answers.roster['port'])} is taken by {program}{number}"
        yield Finding("W12", host, "", words, (), CAUSES["W12"].repair)
    prefixes = [prefix for peer in answers.pairs.links_of(host) for prefix in answers.pairs.allowed_ips(host, peer)]
    if taken := overlaps(answers, host, prefixes):
        yield Finding("W38", host, "", f"{', '.join(taken)}, and the mesh has it too", (), CAUSES["W38"].repair)
    if examination.ipv6_off:
        where = "by the kernel" if "kernel" in examination.ipv6_off else f"on {', '.join(examination.ipv6_off)}"
        yield Finding("W25", host, "", f"IPv6 is disabled {where}", (), CAUSES["W25"].repair)


def _twins(answers: MeshAnswers) -> Iterator[Finding]:
    owners: dict[str, list[str]] = {}
    for host in answers.asked:
        if key := answers.facts[host].public_key:
            owners.setdefault(key, []).append(host)
    for key, hosts in owners.items():
        for other in hosts[1:]:
            yield Finding("W28", hosts[0], other, "run one and the same key", (key,), CAUSES["W28"].repair)


def _clocks(answers: MeshAnswers) -> Iterator[Finding]:
    # This machine has a say too, but is not what others are measured by: its own clock may be the one that is off.
    # Of two in the middle, the nearer to this machine's is one that somebody has, as that between them is not.
    said = [0.0, *answers.offsets.values()]
    usual = min(median_low(said), median_high(said), key=abs)
    for host, offset in sorted(answers.offsets.items()):
        if host in answers.asked and abs(offset - usual) > _CLOCK_SECONDS:
            ahead = "ahead of" if offset > usual else "behind"
            words = f"its clock is {_duration(abs(offset - usual))} {ahead} the others"
            yield Finding("W23", host, "", words, (f"{offset:+.0f} s from this machine's",), CAUSES["W23"].repair)


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
