"""The status of a mesh: judged from what hosts say, and shown."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from rich.console import Console

from mesh.cli.console import Screen
from mesh.cli.json_document import schema_of
from mesh.cli.look import narrow
from mesh.cli.status import judge
from mesh.cli.status_command import watch_status
from mesh.cli.status_json import StatusDocument, show_json
from mesh.cli.status_rates import rates_between
from mesh.cli.status_rows import HostStatus, MeshStatus, PairStatus
from mesh.cli.status_tables import show_tables
from mesh.errors import MeshError
from mesh.remote.host_program import program_digest
from mesh.remote.replies import NOTHING_THERE
from mesh.remote.reports import Device, Difference, Facts, PeerFacts, read_facts
from mesh.rollout.fault import Fault
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
        KEYS[other]: PeerFacts(
            "1.2.3.4:1", ADDRESSES[other].replace("1/64", "/64"), 1000, 10, 20,
            sends if "bernard" in (host, other) else "off",
        )
        for other in KEYS
        if other != host
    }  # fmt: skip
    device = Device("kernel", 500, 700, program_digest(), 90061)
    return Facts(KEYS[host], 51825, 1420, (ADDRESSES[host],), True, DIGEST, peers, preshared="same", device=device)


FACTS = {host: report(host) for host in HEALTHY}
OTHER_KEY = {**FACTS, "phoenix": replace(FACTS["phoenix"], preshared="another")}
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
    status = judge(ROLLOUT, FACTS, PINGS, {})
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
    status = judge(ROLLOUT, facts, PINGS, {})
    assert not status.is_well
    assert states(status)["bernard"] == "drifted"
    cause = "has MTU 1280, not 1420; run pulumi up --refresh"
    assert Fault("bernard", cause) in status.faults
    assert status.hosts[0].reasons == (cause,)


def test_a_fault_of_the_mesh_is_none_of_a_host_that_is_called_as_the_interface() -> None:
    """A host may have the name of the interface; the fault is an object, and not a line that begins with a name."""
    called: RecordedRollout = ROLLOUT | {"roster": {**ROLLOUT["roster"], "interface": "bernard"}}
    status = judge(called, OTHER_KEY, PINGS, {})
    assert "have different preshared keys" in str(*status.faults)
    assert states(status)["bernard"] == "up"


def test_an_interface_that_is_set_down_is_the_one_fault() -> None:
    """No firewall of anybody is to be looked at for its silence, and no address is to be missed."""
    down = replace(FACTS["phoenix"], addresses=(), differences=(Difference("down"),))
    pings = {pair: None if "phoenix" in pair else time for pair, time in PINGS.items()}
    status = judge(ROLLOUT, {**FACTS, "phoenix": down}, pings, {})
    assert list(map(str, status.faults)) == [
        "phoenix: interface testwg is set down; pulumi up --refresh sets it up again"
    ]
    assert {host.host: host.state for host in status.hosts}["phoenix"] == "drifted"


def test_a_silent_pair_is_a_fault_of_the_pair() -> None:
    """Both hosts may run all that they should."""
    status = judge(ROLLOUT, FACTS, {**PINGS, ("bernard", "phoenix"): None}, {})
    assert not status.is_well
    assert [(pair.host, pair.peer) for pair in status.pairs if pair.state == "silent"] == [("bernard", "phoenix")]


def test_a_host_that_does_not_answer_is_a_row_with_its_reason() -> None:
    """And what it would say of its pairs is unknown."""
    facts = {host: said for host, said in FACTS.items() if host != "phoenix"}
    status = judge(ROLLOUT, facts, {**PINGS, ("bernard", "phoenix"): None}, {"phoenix": "is off"})
    assert states(status) == {"bernard": "up", "edgeworth": "up", "phoenix": "unreachable"}
    assert status.faults == (Fault("phoenix", "is off"),)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("absent", "interface testwg is not there; pulumi up --refresh brings it up again"),
        ("down", "interface testwg is set down; pulumi up --refresh sets it up again"),
    ],
)
def test_a_host_whose_interface_is_gone_has_drifted(kind: str, words: str) -> None:
    """It can be reached, and says so itself; its peers are not told of besides."""
    said = read_facts("phoenix", [f"differs {kind}"], None, "status")
    status = judge(ROLLOUT, {**FACTS, "phoenix": said}, {**PINGS, ("bernard", "phoenix"): None}, {})
    assert states(status) == {"bernard": "up", "edgeworth": "up", "phoenix": "drifted"}
    assert status.faults == (Fault("phoenix", words),)
    assert {pair.state for pair in status.pairs if pair.host == "phoenix"} <= {"unknown", "cannot-meet"}


def test_a_peer_that_somebody_added_is_not_told_as_a_wrong_preshared_key() -> None:
    """What a host says is a digest over all of its peers, and that one has no preshared key as a rule."""
    added = {**FACTS["phoenix"].peers, "A" * 43 + "=": PeerFacts("(none)", "10.0.0.9/32", 0, 0, 0, "off")}
    said = replace(FACTS["phoenix"], peers=added, preshared="another", has_preshared_key=False)
    (fault,) = judge(ROLLOUT, {**FACTS, "phoenix": said}, PINGS, {}).faults
    assert fault.cause.startswith("has a peer that the roster lacks")


def test_a_phone_over_the_relay_need_not_answer() -> None:
    """As any unmanaged peer: nobody is to be woken because it is off, and what answers is told."""
    phone = {**ROSTER["members"]["phoenix"], "publicKey": "P" * 43 + "=", "address": "fd00:99::1/64", "tags": []}
    recorded = {**ROLLOUT, "roster": {**ROLLOUT["roster"], "relay": "bernard", "peers": {"phone": phone}}}
    pings = {**PINGS, ("edgeworth", "phoenix"): 3.0, ("phoenix", "edgeworth"): 3.0, ("phoenix", "phone"): 9.0}
    facts = {host: replace(said, peers={**said.peers}) for host, said in FACTS.items()}
    status = judge(recorded, facts, {**pings, ("edgeworth", "phone"): None}, {})  # type: ignore[arg-type]
    found = {(pair.host, pair.peer): pair.state for pair in status.pairs}
    assert found["edgeworth", "phoenix"] == "relayed"
    assert found["edgeworth", "phone"] == "not-managed"
    assert found["phoenix", "phone"] == "relayed"


def test_a_host_that_has_nothing_of_the_mesh_has_drifted() -> None:
    """It says so over SSH, so it can be reached."""
    facts = {host: said for host, said in FACTS.items() if host != "phoenix"}
    reason = NOTHING_THERE
    status = judge(ROLLOUT, facts, PINGS, {"phoenix": reason})
    assert states(status) == {"bernard": "up", "edgeworth": "up", "phoenix": "drifted"}
    assert status.faults == (Fault("phoenix", reason),)


def test_a_pending_host_is_said_and_no_fault() -> None:
    """It is known to lag behind."""
    facts = {host: said for host, said in FACTS.items() if host != "phoenix"}
    status = judge(rollout(pending=["phoenix"]), facts, PINGS, {"phoenix": "is off"})
    assert status.is_well
    assert "pending: it was left out" in shown(status)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({**FACTS, "bernard": replace(FACTS["bernard"], confirmed="other")}, "was not confirmed here"),
        (OTHER_KEY, "have different preshared keys"),
    ],
)
def test_an_unconfirmed_plan_or_another_preshared_key_is_a_fault(facts: dict[str, Facts], words: str) -> None:
    """Neither shows in a ping."""
    status = judge(ROLLOUT, facts, PINGS, {})
    assert not status.is_well
    assert any(words in fault.cause for fault in status.faults)


def test_tables_show_pairs_and_faults() -> None:
    """With ages and bytes for people."""
    text = shown(judge(rollout(notWiped=["miles"]), FACTS, PINGS, {}))
    assert "1.5 ms" in text
    assert "20 bytes" in text
    assert "4 of 4 directions between them, and in 2 more they cannot meet" in text
    assert "! miles has left and is not wiped" in text


def test_of_many_hosts_a_dead_one_hides_no_silent_pair() -> None:
    """Its own directions follow from what is said of it above the tables."""
    names = [f"h{number}" for number in range(20)]
    hosts = tuple(HostStatus(name, "", "", "unreachable" if name == "h7" else "up", "") for name in names)

    def state(host: str, peer: str) -> str:
        return "unknown" if host == "h7" else "silent" if peer == "h7" or (host, peer) == ("h3", "h4") else "up"

    pairs = tuple(PairStatus(host, peer, state(host, peer)) for host in names for peer in names if host != peer)
    mesh = MeshStatus("testwg", hosts, pairs, (Fault("h7", "is off"), Fault("h3", "no answer", "h4")))
    text = shown(mesh)
    assert text.count("silent") == 1
    assert "unknown" not in text
    assert "379 more directions without a fault of their own; --pairs shows them" in text


def test_of_a_large_mesh_that_has_parted_no_more_pairs_are_shown_than_are_read() -> None:
    """Each of one half is silent for each of the other; what is wrong with hosts is told all the same."""
    names = [f"h{number:02}" for number in range(24)]
    ends = [(one, other) for one in names for other in names if (one < "h12") != (other < "h12")]
    mesh = MeshStatus(
        "testwg",
        tuple(HostStatus(name, f"fd00::{name[1:]}/64", "", "up", "x86_64-linux") for name in names),
        tuple(PairStatus(one, other, "silent") for one, other in ends),
        (*(Fault(one, "lost", other) for one, other in ends), Fault("h07", "runs another MTU")),
    )
    text, lines = shown(mesh), shown(mesh).splitlines()
    assert len([line for line in lines if line.endswith(": lost")]) == 100
    assert "! 188 more faults of pairs, which --pairs shows" in lines
    assert "runs another MTU" in text
    assert "188 more directions with something wrong; --pairs shows them" in lines
    assert len(lines) < 250
    every = shown(mesh, all_pairs=True)
    assert len([line for line in every.splitlines() if line.endswith(": lost")]) == len(ends)
    assert "more" not in every


@pytest.mark.parametrize("width", [60, 140])
def test_no_name_or_endpoint_is_cut_off(width: int) -> None:
    """However narrow it is: the end of a name tells which host it is."""
    screen = Screen(file=io.StringIO(), width=width)
    screen.print(show_tables([judge(ROLLOUT, FACTS, PINGS, {})], all_pairs=True))
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text
    assert "latest handshake" in text or width < 140


@pytest.mark.parametrize("silent", [{}, {"phoenix": "is off"}])
def test_first_comes_a_sentence_then_what_is_wrong_then_tables(silent: dict[str, str]) -> None:
    """Whoever looks for a moment has seen the worst."""
    facts = {host: said for host, said in FACTS.items() if host not in silent}
    lines = shown(judge(rollout(notWiped=["miles"]), facts, PINGS, silent)).splitlines()
    if silent:
        assert lines[0].startswith("testwg has 1 fault: 2 of 3 hosts are up (1 unreachable), and 3 of 4 directions")
        assert lines[1:3] == ["! phoenix: is off", "! miles has left and is not wiped"]
    else:
        assert lines[0].startswith("testwg is healthy: 3 of 3 hosts are up, and 4 of 4 directions between them")
        assert lines[1] == "! miles has left and is not wiped"


def test_the_age_of_a_key_and_its_end_are_shown() -> None:
    """In days."""
    status = judge(ROLLOUT, FACTS, PINGS, {})
    now = datetime.now(UTC)
    made, end = (now - timedelta(days=12)).isoformat(), (now + timedelta(days=168, hours=1)).isoformat()
    dated = replace(status, hosts=(replace(status.hosts[0], key_made=made, key_expires=end), *status.hosts[1:]))
    assert "12 d old, 168 d left" in shown(dated)


def test_what_all_hosts_have_alike_is_told_once() -> None:
    """In the title; a column is for what differs."""
    text = shown(judge(ROLLOUT, FACTS, PINGS, {}))
    assert "WireGuard kernel, program as here" in text
    assert not any("│" in line and "kernel" in line for line in text.splitlines())


def test_a_host_is_one_line_with_what_runs_there() -> None:
    """The kind of WireGuard, whether it has our version of the program, and since when the interface is there."""
    other = replace(FACTS["phoenix"], device=Device("userspace", 1, 2, "0123456789abcdef"))
    status = judge(ROLLOUT, {"bernard": FACTS["bernard"], "phoenix": other}, PINGS, {"edgeworth": "is off"})
    table = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown(status).splitlines()]
    # That of pairs has more columns.
    rows = {cells[0]: cells for cells in table if len(cells) == 8}
    assert rows["bernard"][-2:] == ["kernel", "as here"]
    assert rows["phoenix"][-2:] == ["userspace", "01234567"]
    assert [rows[host][1] for host in ("bernard", "edgeworth", "phoenix")] == ["up", "unreachable", "up"]
    assert [rows[host][4] for host in ("bernard", "edgeworth", "phoenix")] == ["25 h", "", "unknown"]
    content = json.loads(show_json([status]))["meshes"]["testwg"]["hosts"]
    told = ("wireguard", "program", "ownProgram", "uptime", "packetsReceived", "packetsSent")
    assert [tuple(host[field] for field in told) for host in content] == [
        ("kernel", program_digest(), True, 90061, 500, 700),
        ("", "", False, None, None, None),
        ("userspace", "0123456789abcdef", False, None, 1, 2),
    ]


@pytest.mark.parametrize(
    ("site", "endpoint", "way"),
    [("here", "10.0.0.7:40000", "lan"), ("here", "9.9.9.9:51825", "direct"), ("there", "10.0.0.7:51825", "direct")],
)
def test_the_way_of_a_pair_is_told(site: str, endpoint: str, way: str) -> None:
    """In a site, the address that is used may still be the external one."""
    members = ROLLOUT["roster"]["members"]
    local = {"bernard": {"site": "here"}, "edgeworth": {"site": site, "localEndpoint": "10.0.0.7:51825"}}
    changed = {host: member | local.get(host, {}) for host, member in members.items()}
    recorded: RecordedRollout = ROLLOUT | {"roster": {**ROLLOUT["roster"], "members": changed}}
    peers = dict(FACTS["bernard"].peers)
    peers[KEYS["edgeworth"]] = replace(peers[KEYS["edgeworth"]], endpoint=endpoint)
    status = judge(recorded, {**FACTS, "bernard": replace(FACTS["bernard"], peers=peers)}, PINGS, {})
    ways = {(pair.host, pair.peer): pair.way for pair in status.pairs}
    assert ways["bernard", "edgeworth"] == way
    assert ways["edgeworth", "phoenix"] == ""


def later(status: MeshStatus, received: int, sent: int) -> MeshStatus:
    """Return what is seen two seconds later: so many packets, and 200 bytes more from each peer."""
    hosts = [replace(host, device=Device("kernel", received, sent)) for host in status.hosts]
    pairs = [replace(pair, received=pair.received + 200) for pair in status.pairs]
    return replace(status, hosts=tuple(hosts), pairs=tuple(pairs), moment=status.moment + 2)


def test_rates_are_what_was_counted_between_two_looks() -> None:
    """Of an interface that counts anew, there is none."""
    first = judge(ROLLOUT, FACTS, PINGS, {})
    assert rates_between([], [first]).a_second == {}
    found = rates_between([first], [later(first, 520, 700)]).a_second
    assert found["testwg", "bernard", ""] == (10.0, 0.0)
    assert found["testwg", "bernard", "edgeworth"] == (100.0, 0.0)
    assert ("testwg", "edgeworth", "phoenix") not in found
    anew = rates_between([first], [later(first, 3, 4)]).a_second
    assert {peer for _, _, peer in anew} == {*KEYS}


def test_watching_redraws_in_place_until_it_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the rates from the second look on; what was shown last decides how the command ends."""
    first = judge(ROLLOUT, FACTS, PINGS, {})
    looks = iter([[first], [later(first, 520, 700)]])

    def ask() -> list[MeshStatus]:
        for found in looks:
            return found
        raise KeyboardInterrupt

    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    console = Screen(force_terminal=True, width=200, height=60, file=io.StringIO(), no_color=True)
    (last,) = watch_status(console, ask, 7, all_pairs=False)
    assert last.moment == first.moment + 2
    assert waited == [7, 7]
    before, _, after = console.file.getvalue().partition("\x1b[1A")  # type: ignore[attr-defined]
    assert "10/s, 0/s" in after
    assert "100 bytes/s" in after
    assert "testwg is healthy" in before
    assert "/s" not in before


def test_a_terminal_of_another_size_is_cleared_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a part of the tables of before would stay above those of now."""
    console = Screen(force_terminal=True, width=200, height=60, file=io.StringIO(), no_color=True)
    widths = iter([200, 200, 90])

    def ask() -> list[MeshStatus]:
        for console.width in widths:
            return [judge(ROLLOUT, FACTS, PINGS, {})]
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", lambda _: None)
    watch_status(console, ask, 1, all_pairs=False)
    before, _, after = console.file.getvalue().partition("\x1b[2J")  # type: ignore[attr-defined]
    assert before.count("testwg is healthy") == 2
    assert after.startswith("\x1b[H")
    assert "testwg is healthy" in after


def test_only_what_concerns_a_host_is_left() -> None:
    """Also what others say of it, and what is wrong with the mesh itself."""
    facts = {"edgeworth": replace(FACTS["edgeworth"], mtu=1280, preshared="other"), "bernard": FACTS["bernard"]}
    status = judge(ROLLOUT, facts, PINGS, {"phoenix": "is off"})
    assert len(status.faults) == 3
    (left,) = narrow([status], ["phoenix"])
    assert list(states(left)) == ["phoenix"]
    assert {(pair.host, pair.peer) for pair in left.pairs} == {
        ("phoenix", "bernard"), ("phoenix", "edgeworth"), ("bernard", "phoenix"), ("edgeworth", "phoenix"),
    }  # fmt: skip
    assert [str(fault).partition(":")[0] for fault in left.faults] == ["testwg", "phoenix"]
    assert narrow([status, replace(status, interface="other", hosts=())], ["phoenix"]) == [left]
    assert narrow([status], []) == [status]
    with pytest.raises(
        MeshError, match="status: miles is no host of any mesh; give some of bernard, edgeworth, phoenix"
    ):
        narrow([status], ["miles"])


@pytest.mark.parametrize("silent", [{}, {"phoenix": "is off"}])
def test_the_json_document_is_as_its_schema_says(silent: dict[str, str]) -> None:
    """With every field, and no other."""
    schema = json.loads(schema_of(StatusDocument))
    facts = {host: said for host, said in FACTS.items() if host not in silent}
    text = show_json([judge(ROLLOUT, facts, PINGS, silent)])
    validator = Draft202012Validator(schema)
    content = json.loads(text)
    assert list(validator.iter_errors(content)) == []
    assert list(validator.iter_errors({**content, "schemaVersion": 2})) != []
    mesh = content["meshes"]["testwg"]
    for name, entry in {
        "MeshEntry": mesh, "HostEntry": mesh["hosts"][0], "PairEntry": mesh["pairs"][0], "Totals": content["totals"],
    }.items():  # fmt: skip
        assert set(schema["$defs"][name]["required"]) == set(entry)


def test_the_json_document_has_all_of_it() -> None:
    """For scripts, under names that stay."""
    exchanges = {"bernard": "mlkem768x25519-sha256", "edgeworth": "curve25519-sha256"}
    content = json.loads(show_json([judge(ROLLOUT, FACTS, PINGS, {}, exchanges)]))
    assert [(host["keyExchange"], host["postQuantum"]) for host in content["meshes"]["testwg"]["hosts"]] == [
        ("mlkem768x25519-sha256", True),
        ("curve25519-sha256", False),
        ("", False),
    ]
    assert content["well"] is True
    assert content["totals"] == {"hosts": 3, "hostsUp": 3, "directions": 4, "directionsUp": 4, "faults": 0}
    assert datetime.now(UTC) - datetime.fromisoformat(content["generatedAt"]) < timedelta(minutes=1)
    pair = content["meshes"]["testwg"]["pairs"][0]
    assert pair == {
        "host": "bernard", "peer": "edgeworth", "state": "up", "way": "direct", "endpoint": "1.2.3.4:1",
        "handshake": "1970-01-01T00:16:40Z", "received": 10, "sent": 20, "ping": 1.5, "publicKey": KEYS["edgeworth"],
        "allowedIps": [ADDRESSES["edgeworth"].replace("1/64", "/64")],
    }  # fmt: skip
