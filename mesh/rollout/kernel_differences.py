"""Compare what the kernel of one host runs with the roster, each difference with its kind."""

from collections.abc import Iterator
from typing import NamedTuple

from mesh.plan.pairs import Pairs
from mesh.plan.roster import Roster
from mesh.remote.reports import Facts

__all__ = ["KernelDifference", "has_strangers", "kernel_differences"]


class KernelDifference(NamedTuple):
    """A difference as a cause of a fault; `peer` is whom it is about, a key for one that nobody knows."""

    kind: str
    cause: str
    peer: str = ""


def kernel_differences(roster: Roster, host: str, report: Facts, pairs: Pairs) -> Iterator[KernelDifference]:
    """Yield what the kernel of `host` runs differently from the roster."""
    member = roster["members"][host]
    if report.public_key != member["publicKey"]:
        yield KernelDifference("key", "runs another public key than the state has; run pulumi up --refresh")
    if report.port != int(roster["port"]):
        yield KernelDifference(
            "port", f"listens on UDP port {report.port}, not {int(roster['port'])}; run pulumi up --refresh"
        )
    wanted = _wanted(host, pairs)
    unknown = sorted(report.peers.keys() - wanted.keys())
    # The digest is of the preshared keys of all peers, so it says nothing of the host's own where there are others.
    if not report.has_preshared_key and not unknown:
        # Running sessions would not notice for minutes, and then end.
        yield KernelDifference("preshared", "has another preshared key than the state; run pulumi up --refresh")
    if report.mtu != int(roster["mtu"]):
        yield KernelDifference("mtu", f"has MTU {report.mtu}, not {int(roster['mtu'])}; run pulumi up --refresh")
    addresses = [member["address"], *([f"{member['ipv4']}/32"] if member.get("ipv4") else [])]
    for address in addresses:
        if address not in report.addresses:
            yield KernelDifference("address", f"lacks its address {address}; run pulumi up --refresh")
    for key, peer in sorted(wanted.items(), key=lambda entry: entry[1]):
        yield from _of_peer(report, pairs, host, peer, key)
    for address in report.addresses:
        if address not in addresses:
            yield KernelDifference(
                "address", f"has the address {address}, which is not its own; run pulumi up --refresh"
            )
    for key in unknown:
        cause = f"has a peer that the roster lacks, {key} ({report.peers[key].allowed_ips}); run pulumi up --refresh"
        yield KernelDifference("stranger", cause, key)


def has_strangers(report: Facts, host: str, pairs: Pairs) -> bool:
    """Tell whether `host` runs a peer that the roster does not give it."""
    return not report.peers.keys() <= _wanted(host, pairs).keys()


def _wanted(host: str, pairs: Pairs) -> dict[str, str]:
    return {pairs.participants[peer]["publicKey"]: peer for peer in pairs.links_of(host)}


def _of_peer(report: Facts, pairs: Pairs, host: str, peer: str, key: str) -> Iterator[KernelDifference]:
    if key not in report.peers:
        yield KernelDifference("no-peer", f"has no peer {peer}; run pulumi up --refresh", peer)
        return
    running = report.peers[key]
    # The kernel lists them as they came, wireguard-go by their bits.
    if set(running.allowed_ips.split(",")) != set(pairs.allowed_ips(host, peer)):
        yield KernelDifference(
            "allowed-ips", f"allowed IPs of {peer} are {running.allowed_ips}; run pulumi up --refresh", peer
        )
    if running.endpoint == "(none)" and (endpoint := pairs.endpoint(host, peer)) and not pairs.name(host, peer):
        yield KernelDifference("endpoint", f"knows no endpoint of {peer}, {endpoint}; run pulumi up --refresh", peer)
    if (seen := running.keepalive) != (sends := pairs.keepalive(host, peer)):
        yield KernelDifference(
            "keepalive", f"persistent keepalive to {peer} is {seen}, not {sends}; run pulumi up --refresh", peer
        )
