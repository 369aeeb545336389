"""The status of a mesh: judged from what hosts say, and shown."""

import json
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from mesh.cli.status import MeshStatus, judge
from mesh.cli.status_tables import show_json, show_tables
from mesh.remote.reports import Facts, Peer
from mesh.stored.forms import RecordedRollout
from tests.unit.test_proof import ADDRESSES, KEYS, ROSTER

DIGEST = "d" * 64
ROLLOUT: Any = {
    "roster": {
        **ROSTER,
        "members": {
            host: {**member, "system": "", "keepalive": 0 if member["endpoint"] else 25}
            for host, member in ROSTER["members"].items()
        },
    },
    "digest": DIGEST,
    "systems": {"bernard": {"system": "aarch64-linux"}},
    "pending": [],
    "notWiped": [],
}
HEALTHY = ("bernard", "edgeworth", "phoenix")


def rollout(**changes: list[str]) -> RecordedRollout:
    """Return the rollout with something else in it."""
    changed: RecordedRollout = ROLLOUT | changes
    return changed


def report(host: str) -> Facts:
    """Return what a host says that is as it should be."""
    sends = "off" if host == "bernard" else "25"
    peers = {
        KEYS[other]: Peer(
            "1.2.3.4:1", ADDRESSES[other].replace("1/64", "/64"), 1000, 10, 20,
            sends if "bernard" in (host, other) else "off",
        )
        for other in KEYS
        if other != host
    }  # fmt: skip
    return Facts(KEYS[host], 51825, 1420, 900, (ADDRESSES[host],), True, DIGEST, peers)


FACTS = {host: report(host) for host in HEALTHY}
DIGESTS = dict.fromkeys(HEALTHY, "same")
PINGS: dict[tuple[str, str], float | None] = {
    ("bernard", "edgeworth"): 1.5,
    ("edgeworth", "bernard"): 1.5,
    ("bernard", "phoenix"): 2.0,
    ("phoenix", "bernard"): 2.0,
}


def states(status: MeshStatus) -> dict[str, str]:
    """Return the state of each host by name."""
    return {host.host: host.state for host in status.hosts}


def shown(status: MeshStatus, **options: Any) -> str:
    """Return the tables as text."""
    console = Console(width=200, no_color=True)
    with console.capture() as captured:
        console.print(show_tables([status], all_pairs=options.get("all_pairs", False)))
    return captured.get()


def test_a_mesh_that_is_as_the_state_says_is_well() -> None:
    """Two roaming hosts cannot meet, which is no fault."""
    status = judge(ROLLOUT, FACTS, DIGESTS, PINGS, {})
    assert status.is_well
    assert set(states(status).values()) == {"up"}
    assert {(pair.host, pair.peer): pair.state for pair in status.pairs if pair.state != "up"} == {
        ("edgeworth", "phoenix"): "cannot-meet",
        ("phoenix", "edgeworth"): "cannot-meet",
    }
    assert next(host.system for host in status.hosts) == "aarch64-linux"


def test_a_drifted_host_is_named_with_what_differs() -> None:
    """In the words of the proof."""
    facts = {**FACTS, "bernard": replace(FACTS["bernard"], mtu=1280)}
    status = judge(ROLLOUT, facts, DIGESTS, PINGS, {})
    assert not status.is_well
    assert states(status)["bernard"] == "drifted"
    assert "bernard: has MTU 1280, not 1420; run pulumi up --refresh" in status.faults


def test_a_silent_pair_is_a_fault_of_the_pair() -> None:
    """Both hosts may run all that they should."""
    status = judge(ROLLOUT, FACTS, DIGESTS, {**PINGS, ("bernard", "phoenix"): None}, {})
    assert not status.is_well
    assert [(pair.host, pair.peer) for pair in status.pairs if pair.state == "silent"] == [("bernard", "phoenix")]


def test_a_host_that_does_not_answer_is_a_row_with_its_reason() -> None:
    """And what it would say of its pairs is unknown."""
    facts = {host: said for host, said in FACTS.items() if host != "phoenix"}
    status = judge(ROLLOUT, facts, DIGESTS, {**PINGS, ("bernard", "phoenix"): None}, {"phoenix": "is off"})
    assert states(status) == {"bernard": "up", "edgeworth": "up", "phoenix": "unreachable"}
    assert status.faults == ("phoenix: is off",)


def test_a_pending_host_is_said_and_no_fault() -> None:
    """It is known to lag behind."""
    facts = {host: said for host, said in FACTS.items() if host != "phoenix"}
    status = judge(rollout(pending=["phoenix"]), facts, DIGESTS, PINGS, {"phoenix": "is off"})
    assert status.is_well
    assert "pending: it was left out" in shown(status)


@pytest.mark.parametrize(
    ("facts", "digests", "words"),
    [
        ({**FACTS, "bernard": replace(FACTS["bernard"], confirmed="other")}, DIGESTS, "was not confirmed here"),
        (FACTS, {**DIGESTS, "phoenix": "another"}, "have different preshared keys"),
    ],
)
def test_an_unconfirmed_plan_or_another_preshared_key_is_a_fault(
    facts: dict[str, Facts], digests: dict[str, str], words: str
) -> None:
    """Neither shows in a ping."""
    status = judge(ROLLOUT, facts, digests, PINGS, {})
    assert not status.is_well
    assert any(words in fault for fault in status.faults)


def test_tables_show_pairs_and_faults() -> None:
    """With ages and bytes for people."""
    text = shown(judge(rollout(notWiped=["miles"]), FACTS, DIGESTS, PINGS, {}))
    assert "1.5 ms" in text
    assert "20 bytes" in text
    assert "! miles has left and is not wiped" in text


def test_the_json_document_has_all_of_it() -> None:
    """For scripts, under names that stay."""
    content = json.loads(show_json([judge(ROLLOUT, FACTS, DIGESTS, PINGS, {})]))["testwg"]
    assert content["well"] is True
    assert set(content) == {"well", "hosts", "pairs", "faults", "notWiped"}
    assert set(content["pairs"][0]) == {"host", "peer", "state", "endpoint", "handshake", "received", "sent", "ping"}
