"""All that is wrong with a mesh: of each host, of each pair that is silent or narrow; each cause once."""

from collections.abc import Iterator
from dataclasses import replace

from mesh.doctor.answers import MeshAnswers
from mesh.doctor.causes import CAUSES, Finding
from mesh.doctor.host_causes import has_no_ipv6, host_findings
from mesh.doctor.names import name_findings
from mesh.doctor.told import say_counts
from mesh.doctor.trail import Trail
from mesh.errors import show_first

__all__ = ["diagnose"]

# What a pair with it is silent for, whatever else was seen of it.
_EXPLAINS = frozenset(
    {"W05", "W06", "W07", "W08", "W09", "W10", "W11", "W12", "W14", "W24", "W25", "W26", "W28", "W33"}
)
# What one thing on a host brings about for many of its peers.
_OF_A_HOST = frozenset({"W13", "W14", "W15", "W17", "W18", "W20", "W27", "W35"})
# What is a cause of its own all the same, since nothing of that could bring it about.
_APART = frozenset({"W13", "W15", "W16", "W17", "W19", "W27", "W34"})


def diagnose(answers: MeshAnswers) -> list[Finding]:
    """Return what was found, by code, host and peer; empty if the mesh is healthy."""
    found = list(host_findings(answers))
    found.extend(_preshared(answers))
    found.extend(_narrow(answers))
    found.extend(name_findings(answers))
    known = list(found)
    probed = [pair for pair in answers.silent if _is_probed(answers, *pair)]
    for pair in probed:
        found.extend(_of_pair(answers, *pair, known))
    told = {name for finding in found for name in (finding.host, finding.peer)}
    for one, other in answers.silent:
        # Of very many pairs only some are probed; the rest is likely silent for what is found of its hosts.
        if (one, other) not in probed and not {one, other} & told:
            found.append(Finding("W36", one, other, "no answer to pings", ("not tested",), CAUSES["W36"].repair))
    found = _together(found)
    # Packets that go astray are reported with what overlaps.
    astray = {finding.host for finding in found if finding.code == "W14" and finding.evidence}
    found = [finding for finding in found if finding.code != "W38" or finding.host not in astray]
    return sorted(found, key=lambda finding: (finding.code, finding.host, finding.peer))


def _is_probed(answers: MeshAnswers, one: str, other: str) -> bool:
    """Tell whether any of the two looked for the other's packets, or nobody could look for any."""
    return not answers.probes or any(
        peer in answers.probes[host].inner for host, peer in ((one, other), (other, one)) if host in answers.probes
    )


def _together(found: list[Finding]) -> list[Finding]:
    """Return the findings, those that one host has with several peers as one of that host."""
    alike: dict[tuple[str, ...], list[Finding]] = {}
    for finding in found:
        place = (finding.code, finding.host, finding.repair) if finding.code in _OF_A_HOST and finding.peer else ()
        alike.setdefault(place or (finding.code, finding.host, finding.peer, finding.words), []).append(finding)
    joined = []
    for group in alike.values():
        first, peers = group[0], sorted({finding.peer for finding in group})
        if len(peers) > 1:
            rest = show_first([peer for peer in peers if peer != first.peer])
            first = replace(first, peer="", words=f"{first.words}, and so with {rest}")
        joined.append(first)
    return joined


def _of_pair(answers: MeshAnswers, one: str, other: str, known: list[Finding]) -> list[Finding]:
    """Return why a pair is silent, beside what is known of its hosts."""
    there = Trail(answers, one, other)
    back = there.back
    explained = any(_concerns(answers, finding, one, other) for finding in known)
    relay = answers.pairs.relay_between(one, other)
    if relay:
        legs = [(one, relay), (other, relay)]
        if explained or relay not in answers.facts or any(not answers.answers(*leg) for leg in legs):
            return []
    found = [] if relay else [*there.messages(), *back.messages()]
    if not found:
        found = [*there.echoes(), *back.echoes()]
    if explained:
        return [finding for finding in found if finding.code in _APART]
    if found:
        return found
    told = tuple(dict.fromkeys((*say_counts(there), *say_counts(back))))
    if relay:
        words = f"does not pass on what {one} and {other} send each other"
        return [Finding("W26", relay, "", words, told, CAUSES["W26"].repair)]
    if there.is_answered() and back.is_answered():
        repair = CAUSES["W37"].repair.replace("HOST PEER", f"{one} {other}")
        return [Finding("W37", one, other, "no answer to pings at first, and then one", told, repair)]
    if there.is_refused():
        words = f"messages arrive at WireGuard in both directions, and {one} and {other} have no session"
        return [Finding("W32", one, other, words, (*told, *_clocks(answers, one, other)), there.forget())]
    return [Finding("W36", one, other, "no answer to pings", told, CAUSES["W36"].repair)]


def _concerns(answers: MeshAnswers, finding: Finding, one: str, other: str) -> bool:
    """Tell whether what was found explains that two hosts do not hear of each other."""
    if finding.code not in _EXPLAINS:
        return False
    concerned = {finding.host, finding.peer} - {""}
    between = {one, other, answers.pairs.relay_between(one, other)} - {""}
    if finding.code == "W28":
        # Peers of two hosts with one key send to whichever spoke last.
        return bool(concerned & between)
    if finding.code == "W25" and not has_no_ipv6(answers, finding.host):
        return False
    if finding.code == "W26":
        return finding.host not in (one, other) and concerned <= between
    return concerned <= between


def _clocks(answers: MeshAnswers, one: str, other: str) -> Iterator[str]:
    if {one, other} <= answers.offsets.keys():
        yield f"their clocks differ by {abs(answers.offsets[one] - answers.offsets[other]):.0f} s"


def _preshared(answers: MeshAnswers) -> Iterator[Finding]:
    keys = {name: entry["publicKey"] for name, entry in answers.pairs.participants.items()}
    digests = {
        (host, peer): examination.preshared[keys[peer]]
        for host, examination in answers.examinations.items()
        if host in answers.asked
        for peer in answers.pairs.links_of(host)
        if keys[peer] in examination.preshared
    }
    everywhere = list(digests.values())
    for (host, peer), digest in sorted(digests.items()):
        other = digests.get((peer, host))
        if host < peer and other is not None and other != digest:
            odd = [
                f"that of {name} is in use nowhere else"
                for name, own, its in ((host, digest, other), (peer, other, digest))
                if everywhere.count(own) == 1 and everywhere.count(its) > 1
            ]
            words = f"{host} and {peer} have different preshared keys for each other"
            yield Finding("W07", host, peer, words, tuple(odd), CAUSES["W07"].repair)


def _narrow(answers: MeshAnswers) -> Iterator[Finding]:
    mtu = int(answers.roster["mtu"])
    sizes: dict[tuple[str, str], dict[tuple[str, str], int]] = {}
    for host, peer in answers.directions():
        seen = answers.measured.get(host, {}).get(peer)
        # What a host sends at most is a matter of its own MTU, which is compared apart.
        # One of which not even the least passes has fallen silent meanwhile.
        if seen and 0 < seen.largest < min(mtu, answers.facts[host].mtu or mtu):
            one, other = sorted((host, peer))
            sizes.setdefault((one, other), {})[host, peer] = seen.largest
    for (one, other), found in sorted(sizes.items()):
        size = min(found.values())
        words = f"packets of more than {size} bytes inside the tunnel are lost, and mtu is {mtu}"
        repair = f"set mtu to {size} or less in the stack file, then pulumi up, or let the path carry more"
        evidence = tuple(f"{host} → {peer}: {most} bytes pass" for (host, peer), most in sorted(found.items()))
        yield Finding("W21", one, other, words, evidence, repair)
