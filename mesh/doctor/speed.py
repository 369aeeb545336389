"""Measure how fast packets come between two hosts: one stream after the other, so that none slows another down."""

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mesh.doctor.tcp_throughput import client_script, read_report, server_script
from mesh.doctor.throughput import Arrival, Flow, arrival_script, read_arrival, read_sent, sender_script
from mesh.errors import HostError
from mesh.plan.pairs import Pairs
from mesh.remote.sessions import run_everywhere
from mesh.stored.forms import RecordedRollout
from mesh.wireguard.endpoint import split_endpoint

__all__ = ["Speed", "flows_between", "measure_speed"]

# Ports that nobody is given by name (RFC 6335). Another one each time, since a measurement may still be ending.
_FIRST_PORT = 49152
_PORTS = 65536 - _FIRST_PORT


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured of one stream; `sent` are bytes, None where the sender did not tell them.

    `way` is tunnel, or direct for outside it, and `protocol` is udp or tcp.
    """

    host: str
    peer: str
    way: str
    protocol: str
    sent: int | None
    arrival: Arrival


def flows_between(rollout: RecordedRollout, one: str, other: str, *, tunnel_only: bool) -> Iterator[tuple[str, Flow]]:
    """Yield the streams between two hosts that can be: in both directions, inside the tunnel and then outside it."""
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
    rollout: RecordedRollout, flows: Iterable[tuple[str, Flow]], seconds: int, most_bytes: int, *, tcp: bool
) -> list[Speed]:
    """Return what was measured of each stream; one that failed says why."""
    members = rollout["roster"]["members"]
    found = []
    for way, flow in flows:
        if tcp:
            port = _FIRST_PORT + secrets.randbelow(_PORTS)
            scripts = {
                flow.host: client_script(flow, port, seconds, most_bytes),
                flow.peer: server_script(flow, port, seconds),
            }
        else:
            scripts = {flow.host: sender_script(flow, seconds, most_bytes), flow.peer: arrival_script(flow, seconds)}
        connections = {host: members[host]["ssh"] for host in scripts}
        said, failures = await run_everywhere(connections, scripts, "how fast it is")
        sent, arrival = _read(flow, said, failures, tcp=tcp)
        found.append(Speed(flow.host, flow.peer, way, "tcp" if tcp else "udp", sent, arrival))
    return found


def _read(flow: Flow, said: dict[str, str], failures: dict[str, HostError], *, tcp: bool) -> tuple[int | None, Arrival]:
    if failures:
        return None, Arrival(fault="; ".join(f"{host}: {error.message}" for host, error in failures.items()))
    try:
        if tcp:
            return read_report(flow, said[flow.host])
        sent, broke = read_sent(flow, said[flow.host])
        arrival = read_arrival(flow, said[flow.peer], sent)
    except HostError as error:
        return None, Arrival(fault=f"{error.host}: {error.message}")
    return sent, Arrival(
        fault=f"{flow.host} could not go on sending: {broke}; run python -m mesh doctor"
    ) if broke else arrival
