"""What `python -m mesh speed` asks two hosts, between whom, and what it makes of their answers."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from mesh.cli.json_document import schema_of
from mesh.cli.pulumi_cli import RecordedMesh
from mesh.cli.speed_command import check_pair
from mesh.cli.speed_json import SpeedDocument, show_speeds
from mesh.doctor.speed import Speed, flows_between
from mesh.doctor.tcp_throughput import client_script, read_report, server_script
from mesh.doctor.throughput import Arrival, Flow, arrival_script, read_arrival, read_sent, sender_script
from mesh.errors import MeshError

KEYS = ("A" * 43 + "=", "B" * 43 + "=")


def recorded(**members: dict[str, Any]) -> RecordedMesh:
    """Return a mesh with these members, and what every member has."""
    entries = {
        name: {"publicKey": f"{name:A<43}=", "address": f"fd00:{number}::1/64", "endpoint": "", "keepalive": 0, **entry}
        for number, (name, entry) in enumerate(members.items())
    }
    roster: Any = {"interface": "testwg", "port": 51825, "mtu": 1420, "members": entries}
    rollout: Any = {"roster": roster, "pending": [], "notWiped": [], "systems": {}, "digest": ""}
    return RecordedMesh(frozenset(members), frozenset(), rollout)


MESH = recorded(
    bernard={"endpoint": "203.0.113.1:51825"},
    carol={"endpoint": "[2001:db8::2]:51999", "exitNode": "bernard"},
    dora={},
    edgeworth={},
)


def test_streams_go_where_wireguard_itself_sends() -> None:
    """Inside the tunnel both ways; beside it to hosts with an endpoint, and from none that sends over an exit node."""
    found = [
        (way, flow.host, flow.address, flow.port)
        for way, flow in flows_between(MESH.rollout, "bernard", "carol", tunnel_only=False)
    ]
    assert found == [
        ("tunnel", "bernard", "fd00:1::1", 51825),
        ("tunnel", "carol", "fd00:0::1", 51825),
        ("direct", "bernard", "2001:db8::2", 51999),
    ]
    assert [
        flow.host for way, flow in flows_between(MESH.rollout, "bernard", "dora", tunnel_only=False) if way == "direct"
    ] == ["dora"]
    assert {way for way, _ in flows_between(MESH.rollout, "bernard", "dora", tunnel_only=True)} == {"tunnel"}


def test_packets_are_as_large_as_those_of_the_tunnel() -> None:
    """Inside it its MTU, and beside it what carries such a packet."""
    sizes = {
        (way, flow.host): (flow.payload, flow.packet)
        for way, flow in flows_between(MESH.rollout, "bernard", "dora", tunnel_only=False)
    }
    assert sizes["tunnel", "bernard"] == (1372, 1420)
    assert sizes["direct", "dora"] == (1452, 1480)


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        (("bernard", "h9"), "speed: h9 is no host of any mesh; give two of bernard, carol, dora, edgeworth"),
        (("dora", "edgeworth"), "speed: dora and edgeworth do not reach each other in any mesh; see"),
        (("dora", "dora"), "speed: dora and dora do not reach each other in any mesh; see"),
    ],
)
def test_two_that_are_no_pair_are_told(pair: tuple[str, str], said: str) -> None:
    """Before a host is asked."""
    with pytest.raises(MeshError, match=re.escape(said)):
        check_pair({"testwg": MESH}, *pair)
    assert list(check_pair({"testwg": MESH}, "dora", "bernard")) == ["testwg"]


def run(script: str) -> str:
    """Run a script as a host does."""
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, timeout=30).stdout


def test_a_host_sends_for_a_bounded_time_and_counts_what_came() -> None:
    """By what is in every system: on loopback, where nobody listens, the stream is broken off and told so."""
    flow = Flow("bernard", "carol", "lo", "127.0.0.1", 9, 1420, KEYS)
    sent, broke = read_sent(flow, run(sender_script(flow, 1, 1 << 20)))
    assert broke == "Connection refused"
    assert sent >= flow.payload
    assert read_arrival(flow, run(arrival_script(flow, 1).replace("sleep 0.2", "sleep 0.02")), 0).received >= 0


def test_a_host_without_a_way_to_the_other_says_so() -> None:
    """As one that has no such tunnel any more."""
    flow = Flow("bernard", "carol", "nowg", "127.0.0.1", 9, 1420, KEYS)
    for script in (sender_script(flow, 1, 1), arrival_script(flow, 1)):
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 1
        assert done.stderr == "no device leads to the other one\n"


def test_the_document_follows_its_schema() -> None:
    """A stream that could not be measured has no speed, and a fault."""
    speeds = [
        Speed("bernard", "carol", "tunnel", "tcp", 2000, Arrival(1000, 2.0)),
        Speed("carol", "bernard", "direct", "udp", None, Arrival(fault="nothing arrived")),
    ]
    document = json.loads(show_speeds({"testwg": (1420, speeds)}))
    Draft202012Validator(json.loads(schema_of(SpeedDocument))).validate(document)
    assert not document["well"]
    assert [each["bitsPerSecond"] for each in document["meshes"]["testwg"]["streams"]] == [4000.0, None]


ADVICE = "; let carol admit TCP in the mesh, or leave --tcp out"
REPORT = {"end": {"sum_sent": {"bytes": 4000, "seconds": 2.0}, "sum_received": {"bytes": 3000, "seconds": 2, "x": 1}}}


@pytest.mark.parametrize(
    ("report", "sent", "speed", "fault"),
    [
        (REPORT, 4000, 12000.0, ""),
        ({"end": {"sum_received": {"bytes": 3000, "seconds": 2}}}, None, 12000.0, ""),
        (
            {"start": {}, "error": "unable to connect to server: \x1b[2J"},
            None, None, f"iperf3 on bernard says: unable to connect to server: \\x1b[2J{ADVICE}",
        ),
        ({}, None, None, f"iperf3 on bernard says: nothing arrived{ADVICE}"),
    ],
)  # fmt: skip
def test_a_report_of_iperf3_is_read(report: Any, sent: int | None, speed: float | None, fault: str) -> None:
    """As far as it is needed; an error of its own is told in its words."""
    flow = Flow("bernard", "carol", "testwg", "fd00::1", 51825, 1420, KEYS)
    found, arrival = read_report(flow, json.dumps(report))
    assert (found, arrival.bits_per_second, arrival.fault) == (sent, speed, fault)


def test_a_host_without_iperf3_says_so(tmp_path: Path) -> None:
    """And listens nowhere; one that does listens on its address in the mesh alone."""
    flow = Flow("bernard", "carol", "testwg", "fd00::1", 51825, 1420, KEYS)
    for script in (client_script(flow, 50000, 3, 1 << 20), server_script(flow, 50000, 3)):
        done = subprocess.run(
            ["/bin/sh", "-c", script], capture_output=True, text=True, check=False, env={"PATH": str(tmp_path)}
        )
        assert (done.returncode, done.stderr) == (1, "no iperf3, which --tcp takes\n")
    assert "timeout 11 iperf3 -s -1 -B fd00::1 -p 50000" in server_script(flow, 50000, 3)
