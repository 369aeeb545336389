"""Where the DNS names of endpoints lead, beside where the peers are."""

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from mesh.doctor.answers import MeshAnswers
from mesh.doctor.causes import CAUSES, Finding

__all__ = ["leads_astray", "name_findings"]

# A host that has only these is behind a NAT, and nobody knows what its addresses outside are.
_INSIDE = tuple(
    map(ip_network, ("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
)


def leads_astray(answers: MeshAnswers, peer: str, address: str) -> bool:
    """Tell whether an address is not that of a peer, which has others on the internet of the same IP version."""
    examination = answers.examinations.get(peer)
    if not address or examination is None:
        return False
    wanted = ip_address(address)
    owned = {own.ip for _, own in examination.own if own.version == wanted.version}
    outside = {own for own in owned if not any(own in network for network in _INSIDE if own.version == network.version)}
    return bool(outside) and wanted not in owned


def name_findings(answers: MeshAnswers) -> Iterator[Finding]:
    """Yield each name that leads nowhere on a host, or to somebody else than the peer, also while the tunnel lives."""
    for host, peer in answers.directions():
        name, examination = answers.pairs.name(host, peer), answers.examinations.get(host)
        if not name or examination is None:
            continue
        address = examination.names.get(answers.pairs.endpoint(host, peer), "")
        words = ""
        if not address:
            words = f"{name} does not resolve here"
        elif leads_astray(answers, peer, address):
            words = f"{name} leads to {address}, and {peer} has no such address"
        if words:
            yield Finding("W24", host, peer, words, (), CAUSES["W24"].repair)
