"""Measure how fast packets come between two hosts: one stream after the other, so that none slows another down."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mesh.doctor.throughput import Arrival, Flow, arrival_script, read_arrival, read_sent, sender_script
from mesh.errors import HostError
from mesh.plan.pairs import Pairs
from mesh.remote.sessions import run_everywhere
from mesh.stored.forms import RecordedRollout
from mesh.wireguard.endpoint import split_endpoint

__all__ = ["Speed", "flows_between", "measure_speed"]


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured of one stream; `sent` are bytes, None where the sender did not tell them."""

    host: str
    peer: str
    way: str
    sent: int | None
    arrival: Arrival


def flows_between(rollout: RecordedRollout, one: str, other: str, *, tunnel_only: bool) -> Iterator[tuple[str, Flow]]:
    """Yield the streams between two hosts that can be: in both directions, inside the tunnel and then beside it."""
    roster = rollout["roster"]
    pairs = Pairs(roster)
    interface, mtu = roster["interface"], int(roster["mtu"])
    port = int(roster["port"])
    keys = {name: pairs.participants[name]["publicKey"] for name in (one, other)}
    both = ((one, other), (other, one))
    for host, peer in both:
        yield "tunnel", Flow(host, peer, interface, pairs.address(peer), port, mtu, (keys[host], keys[peer]))
    for host, peer in () if tunnel_only else both:
        # Where WireGuard's own messages go. A roaming host has no such place for others, and what else a user of an
        # exit node sends goes over that.
        endpoint = pairs.endpoint(host, peer)
        if endpoint and not pairs.participants[host].get("exitNode"):
            address, port = split_endpoint(endpoint)
            yield "direct", Flow(host, peer, interface, address, port, mtu, (keys[host], keys[peer]), is_direct=True)


async def measure_speed(
    rollout: RecordedRollout, flows: Iterable[tuple[str, Flow]], seconds: int, most_bytes: int
) -> list[Speed]:
    """Return what was measured of each stream; one that failed says why."""
    members = rollout["roster"]["members"]
    found = []
    for way, flow in flows:
        scripts = {
            flow.host: sender_script(flow, seconds, most_bytes),
            flow.peer: arrival_script(flow, seconds),
        }
        connections = {host: members[host]["ssh"] for host in scripts}
        said, failures = await run_everywhere(connections, scripts, "how fast it is")
        found.append(_read(way, flow, said, failures))
    return found


def _read(way: str, flow: Flow, said: dict[str, str], failures: dict[str, HostError]) -> Speed:
    if failures:
        fault = "; ".join(f"{host}: {error.message}" for host, error in failures.items())
        return Speed(flow.host, flow.peer, way, None, Arrival(fault=fault))
    try:
        sent, broke = read_sent(flow, said[flow.host])
        arrival = read_arrival(flow, said[flow.peer], sent)
    except HostError as error:
        return Speed(flow.host, flow.peer, way, None, Arrival(fault=f"{error.host}: {error.message}"))
    if broke:
        arrival = Arrival(fault=f"{flow.host} could not go on sending: {broke}")
    return Speed(flow.host, flow.peer, way, sent, arrival)
