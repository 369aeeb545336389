"""What a diagnosis makes of the facts of hosts: each cause by its code, and no other beside it."""

import json
import re
from dataclasses import replace
from ipaddress import ip_interface, ip_network
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from rich.console import Console

from mesh.cli.doctor_command import show_diagnosis
from mesh.cli.doctor_json import (
    DoctorDocument,
    PingDocument,
    PingedMesh,
    direction_entry,
    show_findings,
    show_pings,
)
from mesh.cli.json_document import schema_of
from mesh.doctor.answers import MeshAnswers
from mesh.doctor.causes import CAUSES, Finding
from mesh.doctor.concerning import diagnosis_of
from mesh.doctor.diagnosis import diagnose
from mesh.doctor.told import say_counts
from mesh.doctor.trail import Trail
from mesh.plan.pairs import Pairs
from mesh.remote.examinations import Drop, Examination, Measurement, Probe, SessionTraffic
from mesh.remote.replies import NOTHING_THERE
from mesh.remote.reports import Difference, Facts, PeerFacts

PORT = 51825
DIGEST = "d" * 64
HOSTS = {"bernard": "203.0.113.1", "carol": "203.0.113.2", "dora": "203.0.113.3", "edgeworth": ""}
NAT = "203.0.113.4:40000"


def key(name: str) -> str:
    """Return a text with the form of a public key."""
    return f"{name[0] * 43}="


def roster(**changes: Any) -> Any:
    """Return a mesh of three public hosts and a roaming one."""
    members: dict[str, dict[str, Any]] = {
        name: {
            "publicKey": key(name), "address": f"fd00:{number}::1/64",
            "endpoint": f"{address}:{PORT}" if address else "",
            "keepalive": 0 if address else 25, "system": "", "ssh": {},
        }
        for number, (name, address) in enumerate(HOSTS.items(), 1)
    }  # fmt: skip
    return {
        "interface": "testwg", "port": PORT, "mtu": 1420, "deadline": 60, "unreachable": "stop", "forgotten": [],
        "members": members, **changes,
    }  # fmt: skip


ROSTER = roster()


def healthy(plan: Any = ROSTER, **state: Any) -> MeshAnswers:
    """Return what all hosts say of a mesh that is well."""
    pairs = Pairs(plan)
    facts = {
        host: Facts(
            key(host), PORT, 1420, (plan["members"][host]["address"],), True, DIGEST,
            {
                key(peer): PeerFacts(
                    pairs.endpoint(host, peer) or NAT, ",".join(pairs.allowed_ips(host, peer)), 1000, 10, 10,
                    pairs.keepalive(host, peer),
                )
                for peer in pairs.links_of(host)
            },
        )
        for host in HOSTS
    }  # fmt: skip
    examinations = {
        host: Examination(
            1000,
            own=(("eth0", ip_interface(f"{HOSTS[host] or '192.168.77.2'}/32")),),
            preshared={key(peer): "a" * 64 for peer in HOSTS if peer != host},
            names={f"{name}.example.org:{PORT}": address for name, address in HOSTS.items()},
        )
        for host in HOSTS
    }
    measured = {
        host: {peer: Measurement(3, 3, 1.0, 1.0, 1.0, 1420) for peer in HOSTS if peer != host} for host in HOSTS
    }
    recorded: Any = {"roster": plan, "digest": DIGEST, "systems": {}, "pending": [], "notWiped": [], **state}
    return MeshAnswers(recorded, {}, facts, examinations, dict.fromkeys(HOSTS, 0.0), measured)


WELL = healthy()
WORDS = ("out", "sent", "in", "got", "moved")
ECHOES = ("ask", "ask-sent", "ask-in", "ask-got", "reply", "reply-sent", "reply-in", "reply-got")


def silent(answers: MeshAnswers, one: str, other: str, **probes: Probe) -> MeshAnswers:
    """Return the answers with a pair of which no ping is answered, and what was counted of it."""
    mute = Measurement(4, 0, None, None, None, 0)
    measured = {host: dict(peers) for host, peers in answers.measured.items()}
    measured[one][other] = measured[other][one] = mute
    return replace(answers, measured=measured, probes=probes)


def probe(peer: str, *zeros: str, session: int | None = 10, **fields: Any) -> Probe:
    """Return what a host counted of a peer: something of everything but of `zeros`."""
    counts = {(word, peer): 0 if word in zeros or word == "moved" else 8 for word in (*WORDS, *ECHOES)}
    counts |= {("in", "-"): 0, ("got", "-"): 0}
    return Probe(
        counts | fields.pop("counts", {}), routes={peer: ("eth0", "203.0.113.9")}, inner={peer: "testwg"},
        sessions={peer: SessionTraffic(session, 0, 100)}, counted=True, **fields,
    )  # fmt: skip


def codes(answers: MeshAnswers) -> set[tuple[str, str, str]]:
    """Return what is found, by code and place."""
    return {(finding.code, finding.host, finding.peer) for finding in diagnose(answers)}


def the_one(answers: MeshAnswers, code: str) -> Finding:
    """Return the finding of this code, which is the only one."""
    (found,) = diagnose(answers)
    assert found.code == code, found
    return found


def facts_of(host: str, **changes: Any) -> MeshAnswers:
    """Return the healthy answers with other facts of a host."""
    return replace(WELL, facts={**WELL.facts, host: replace(WELL.facts[host], **changes)})


def examined(host: str, **changes: Any) -> MeshAnswers:
    """Return the healthy answers with something else that a host says of itself."""
    return replace(WELL, examinations={**WELL.examinations, host: replace(WELL.examinations[host], **changes)})


def peer_of(host: str, peer: str, **changes: Any) -> MeshAnswers:
    """Return the healthy answers with something else that a host runs of a peer."""
    peers = dict(WELL.facts[host].peers)
    peers[key(peer)] = replace(peers[key(peer)], **changes)
    return facts_of(host, peers=peers)


def test_nothing_is_found_in_a_mesh_that_is_well() -> None:
    """Also where a host does not say all of itself."""
    assert diagnose(WELL) == []
    assert diagnose(replace(WELL, examinations={}, offsets={})) == []


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        (facts_of("carol", differences=(Difference("down"),)), ("W04", "carol", "")),
        (facts_of("carol", differences=(Difference("absent"),)), ("W03", "carol", "")),
        (facts_of("carol", differences=(Difference("forgotten"), Difference("firewall", "1"))), ("W02", "carol", "")),
        (facts_of("carol", public_key=key("x")), ("W05", "carol", "")),
        (facts_of("carol", addresses=()), ("W09", "carol", "")),
        (facts_of("carol", port=1), ("W11", "carol", "")),
        (facts_of("carol", mtu=1300), ("W22", "carol", "")),
        (facts_of("carol", confirmed="e" * 64), ("W30", "carol", "")),
        (facts_of("carol", differences=(Difference("late"),)), ("W29", "carol", "")),
        (facts_of("carol", differences=(Difference("unsettled"),), mtu=9, confirmed="e"), ("W29", "carol", "")),
        (facts_of("carol", differences=(Difference("forwarding"),)), ("W26", "carol", "")),
        (facts_of("carol", differences=(Difference("firewall", "51825"),)), ("W17", "carol", "")),
        (facts_of("carol", differences=(Difference("edited", "/etc/x"),)), ("W31", "carol", "")),
        (peer_of("carol", "dora", allowed_ips="fd00::/64"), ("W08", "carol", "dora")),
        (peer_of("edgeworth", "dora", keepalive="off"), ("W20", "edgeworth", "dora")),
        (examined("carol", listens=(("named", 7),)), ("W12", "carol", "")),
        (examined("carol", ipv6_off=("default",)), ("W25", "carol", "")),
        (examined("carol", preshared={key("dora"): "b" * 64}), ("W07", "carol", "dora")),
        (replace(WELL, offsets={**WELL.offsets, "carol": -90.0}), ("W23", "carol", "")),
    ],
)  # fmt: skip
def test_a_difference_of_a_host_is_found(answers: MeshAnswers, found: tuple[str, str, str]) -> None:
    """And it alone."""
    assert codes(answers) == {found}


def test_a_key_in_the_place_of_the_planned_one_is_one_finding() -> None:
    """And not a missing peer and a strange one."""
    peers = dict(WELL.facts["carol"].peers)
    peers[key("x")] = peers.pop(key("dora"))
    found = the_one(facts_of("carol", peers=peers), "W06")
    assert found.evidence == (f"dora itself runs {key('dora')}",)


def test_two_hosts_with_one_key_are_one_finding() -> None:
    """The copy's key is not told as a third one, and what is silent beside them is explained."""
    answers = facts_of("carol", public_key=key("bernard"))
    assert codes(answers) == {("W28", "bernard", "carol")}
    assert codes(silent(answers, "carol", "dora", carol=probe("dora"), dora=probe("carol"))) == {
        ("W28", "bernard", "carol")
    }


def test_whose_preshared_key_is_the_odd_one_is_told() -> None:
    """By how many hosts have the other one."""
    found = the_one(examined("carol", preshared={key("dora"): "b" * 64}), "W07")
    assert found.evidence == ("that of carol is in use nowhere else",)


def test_clocks_are_compared_with_most_others() -> None:
    """A machine of the operator that is off accuses nobody."""
    assert diagnose(replace(WELL, offsets=dict.fromkeys(HOSTS, 4000.0))) == []


def test_of_two_clocks_the_one_that_is_off_is_not_halved() -> None:
    """Where a single host answers, it is compared with this machine."""
    words = the_one(replace(WELL, offsets={"carol": 86400.0}), "W23").words
    assert words == "its clock is 24 hours ahead of the others"


def test_a_key_that_others_could_read_is_to_be_rotated() -> None:
    """As a refresh says it: another mode does not make it secret again."""
    found = the_one(facts_of("carol", differences=(Difference("readable", "/etc/wireguard/testwg.conf"),)), "W31")
    assert found.repair == "pulumi up --refresh, then rotate the key of carol"


def test_a_host_that_is_not_asked_is_told_with_what_its_peers_see() -> None:
    """A tunnel that answers says that it lives; nobody is probed for it."""
    answers = replace(
        WELL,
        absent={"carol": "cannot be reached"},
        facts={host: facts for host, facts in WELL.facts.items() if host != "carol"},
    )
    assert the_one(answers, "W01").evidence == ("its tunnel answers bernard, dora, edgeworth",)
    dead = silent(answers, "bernard", "carol")
    assert "its tunnel does not answer bernard" in the_one(dead, "W01").evidence
    assert dead.to_probe(9) == {}


@pytest.mark.parametrize(
    ("reason", "words", "repair"),
    [
        ("refuses your SSH key; check ssh.user", "refuses your SSH key", "check ssh.user"),
        ("hung up", "hung up", CAUSES["W01"].repair),
    ],
)
def test_what_a_host_that_cannot_be_asked_needs_is_what_its_reason_says(reason: str, words: str, repair: str) -> None:
    """Where that says nothing, the way to it is looked at by hand."""
    found = the_one(replace(WELL, absent={"carol": reason}, facts={}), "W01")
    assert (found.words, found.repair) == (words, repair)


def test_a_host_that_has_nothing_of_the_mesh_lost_it() -> None:
    """It lets us in, so that its login is not what is to be looked at."""
    answers = replace(
        WELL,
        absent={"carol": NOTHING_THERE},
        facts={host: facts for host, facts in WELL.facts.items() if host != "carol"},
    )
    found = the_one(answers, "W02")
    assert (found.words, found.repair) == ("has nothing of this mesh", "pulumi up --refresh")
    assert found.evidence == ("its tunnel answers bernard, dora, edgeworth",)


def test_a_host_whose_change_is_pending_is_no_fault() -> None:
    """It was left out, and everybody knows."""
    answers = replace(healthy(pending=["carol"]), absent={"carol": "cannot be reached"})
    assert diagnose(silent(answers, "bernard", "carol")) == []


def between(one: str, other: str, near: Probe, far: Probe) -> MeshAnswers:
    """Return a silent pair with what both counted."""
    return silent(WELL, one, other, **{one: near, other: far})


def uncounted(peer: str, received: int, *drops: str) -> Probe:
    """Return what a host without nft says of a peer, and which rules of iptables have dropped something."""
    return Probe(
        routes={peer: ("eth0", "")}, inner={peer: "testwg"}, sessions={peer: SessionTraffic(None, received, 592)},
        drops=tuple(Drop("other", "", "", f"ip filter {rule.split()[1]}", rule) for rule in drops),
    )  # fmt: skip


RULE = Drop("udp", "203.0.113.1", "203.0.113.2", "inet own i", "udp dport 51825 drop")


@pytest.mark.parametrize(
    ("answers", "found", "evidence"),
    [
        pytest.param(
            between("bernard", "carol", probe("carol"), probe("bernard", "in", "got")),
            ("W16", "bernard", "carol"), "bernard sent 8 messages to 203.0.113.2:51825", id="lost between",
        ),
        pytest.param(
            between(
                "bernard", "carol", probe("carol"), probe("bernard", "in", "got", counts={("in", "-"): 3}),
            ),
            ("W16", "bernard", "carol"), "3 messages came to carol from addresses that it does not", id="strangers",
        ),
        pytest.param(
            between("bernard", "carol", probe("carol", "sent"), uncounted("bernard", 0)),
            ("W15", "bernard", "carol"), "bernard made 8 messages, and none left it", id="no nft there",
        ),
        pytest.param(
            between("bernard", "carol", probe("carol", "sent"), probe("bernard", "in", "got")),
            ("W15", "bernard", "carol"), "bernard made 8 messages, and none left it", id="own firewall, out",
        ),
        pytest.param(
            between("bernard", "carol", probe("carol"), probe("bernard", "got", drops=(RULE,))),
            ("W17", "carol", "bernard"), "dropped in inet own i: udp dport 51825 drop", id="own firewall, in",
        ),
        pytest.param(
            between("bernard", "carol", probe("carol"), probe("bernard", "got", reverse_path=8)),
            ("W27", "carol", "bernard"), "answers to bernard would go by eth0", id="reverse path",
        ),
        pytest.param(
            between("bernard", "carol", replace(probe("carol"), routes={"carol": ("none", "")}), probe("bernard")),
            ("W13", "bernard", "carol"), "", id="no route",
        ),
        pytest.param(
            between("bernard", "carol", replace(probe("carol"), inner={"carol": "eth1"}), probe("bernard")),
            ("W14", "bernard", "carol"), "", id="another way",
        ),
        pytest.param(
            between("bernard", "carol", probe("carol", "out", "sent"), probe("bernard", "in", "got")),
            ("W33", "bernard", "carol"), "", id="nothing made",
        ),
        pytest.param(
            between("bernard", "carol", probe("carol", "ask-sent", "reply-in", "reply-got"), probe("bernard")),
            ("W15", "bernard", "carol"), "8 made, none sent", id="pings, out",
        ),
        pytest.param(
            between("bernard", "carol", probe("carol"), probe("bernard", "ask-got", "reply-in", "reply-got")),
            ("W18", "carol", "bernard"), "8 came in, none got through", id="pings, in",
        ),
        pytest.param(
            between("bernard", "carol", probe("carol", "reply-in", "reply-got"), probe("bernard", "reply")),
            ("W35", "carol", "bernard"), "8 pings got to it", id="no answer",
        ),
        pytest.param(
            between("bernard", "carol", probe("carol", "reply-got"), probe("bernard")),
            ("W18", "bernard", "carol"), "", id="answers, in",
        ),
        pytest.param(
            between(
                "bernard", "carol", probe("carol", *ECHOES, session=None), probe("bernard", *ECHOES, session=400),
            ),
            ("W32", "bernard", "carol"), "their clocks differ by 0 s", id="refused",
        ),
        pytest.param(
            between("bernard", "carol", probe("carol"), probe("bernard")), ("W37", "bernard", "carol"), "", id="late",
        ),
        pytest.param(
            between("bernard", "carol", probe("carol", *ECHOES), probe("bernard", *ECHOES)),
            ("W36", "bernard", "carol"), "", id="unknown",
        ),
        pytest.param(
            between(
                "bernard", "edgeworth",
                probe("edgeworth", "in", "got", counts={("in", "-"): 3, ("got", "-"): 3}),
                probe("bernard", "in", "got"),
            ),
            ("W19", "bernard", "edgeworth"), "3 messages came from elsewhere", id="moved by NAT",
        ),
        pytest.param(
            between(
                "bernard", "edgeworth",
                probe("edgeworth", "in", "got"), probe("bernard", "out", "sent", "in", "got", "ask-sent"),
            ),
            ("W20", "edgeworth", "bernard"), "bernard sent 8 messages to 203.0.113.4:40000", id="NAT forgot",
        ),
    ],
)  # fmt: skip
def test_a_silent_pair_has_the_cause_where_its_packets_stop(
    answers: MeshAnswers, found: tuple[str, str, str], evidence: str
) -> None:
    """Whatever was counted behind that is no cause."""
    assert codes(answers) == {found}
    assert evidence in "\n".join(the_one(answers, found[0]).evidence)


def test_an_endpoint_that_is_not_the_planned_one_is_told() -> None:
    """Whoever set it; nothing that is sent there arrives."""
    answers = peer_of("bernard", "carol", endpoint="203.0.113.99:1")
    probes = {"bernard": probe("carol"), "carol": probe("bernard", "in", "got")}
    found = silent(answers, "bernard", "carol", **probes)
    assert codes(found) == {("W34", "bernard", "carol")}
    assert re.fullmatch(
        r"wg set testwg peer \S{44} endpoint 203.0.113.2:51825 on bernard", the_one(found, "W34").repair
    )


def test_what_goes_to_a_port_that_is_not_the_planned_one_is_lost_for_that() -> None:
    """Nothing between the two hosts filters it."""
    facts = {**WELL.facts, "dora": replace(WELL.facts["dora"], port=51999)}
    answers = replace(between("carol", "dora", probe("dora"), probe("carol", "in", "got")), facts=facts)
    assert codes(answers) == {("W11", "dora", "")}
    unheard = replace(between("carol", "dora", probe("dora"), probe("carol", "got")), facts=facts)
    assert codes(unheard) == {("W11", "dora", "")}


def test_a_peer_whose_endpoint_is_not_known_is_the_cause_of_the_silence() -> None:
    """And the host has nft, though its messages to nowhere were not counted."""
    near = probe("carol")
    counts = {place: number for place, number in near.counts.items() if place[0] not in ("out", "sent", "in", "got")}
    answers = replace(
        between("bernard", "carol", replace(near, counts=counts), probe("bernard")),
        facts=peer_of("bernard", "carol", endpoint="(none)").facts,
    )
    assert codes(answers) == {("W33", "bernard", "carol")}
    told = say_counts(Trail(answers, "bernard", "carol"))
    assert told[0] == "bernard knew no endpoint of carol, so that messages between the two were not told from others"
    assert told[1].startswith("pings: ask 8")


def test_who_refuses_the_handshakes_of_a_roaming_host_is_to_forget_it() -> None:
    """A refresh alone finds nothing to repair, since no key differs; one that lacks a peer adds it."""
    roaming = probe("bernard", *ECHOES, session=None)
    found = the_one(between("bernard", "edgeworth", probe("edgeworth", *ECHOES, session=None), roaming), "W32")
    assert found.repair == f"wg set testwg peer {key('edgeworth')} remove on bernard, then pulumi up --refresh"


def test_a_host_on_which_counting_failed_is_told_with_its_words() -> None:
    """And not as one that has no nft."""
    answers = silent(WELL, "bernard", "carol", bernard=probe("carol", "in", "got"))
    answers = replace(answers, unprobed={"carol": "did not finish 'probe' within 60 seconds; run again"})
    evidence = the_one(answers, "W36").evidence
    assert evidence[0] == "nothing was counted on carol: did not finish 'probe' within 60 seconds; run again"
    assert not any("nft" in line for line in evidence)


def test_what_takes_packets_away_is_to_be_found_where_nothing_of_the_mesh_is_missing() -> None:
    """A refresh repairs what is ours, and that is in order."""
    near = replace(probe("carol", *ECHOES), inner={"carol": "none"})
    found = the_one(between("bernard", "carol", near, probe("bernard", *ECHOES)), "W14")
    assert found.repair == "ip -6 rule show and ip route get fd00:2::1 on bernard show what takes them"


def test_a_rule_that_drops_is_opened_where_it_is() -> None:
    """By the tool whose table it is."""
    answers = between("bernard", "carol", probe("carol"), probe("bernard", "got", drops=(RULE,)))
    assert the_one(answers, "W17").repair == "nft insert rule inet own i udp dport 51825 accept on carol"
    drop = replace(RULE, place="ip filter INPUT", rule="policy drop")
    answers = between("bernard", "carol", probe("carol"), probe("bernard", "got", drops=(drop,)))
    assert the_one(answers, "W17").repair == "iptables -I INPUT -p udp --dport 51825 -j ACCEPT on carol"
    drop = replace(RULE, place="ip-legacy filter mine", rule="-A mine -j DROP")
    answers = between("bernard", "carol", probe("carol"), probe("bernard", "got", drops=(drop,)))
    assert the_one(answers, "W17").repair == "iptables-legacy -I INPUT -p udp --dport 51825 -j ACCEPT on carol"
    assert "dropped in iptables-legacy filter mine: -A mine -j DROP" in the_one(answers, "W17").evidence
    other = replace(RULE, source="203.0.113.77")
    answers = between("bernard", "carol", probe("carol"), probe("bernard", "got", drops=(other,)))
    assert "nft list ruleset, or iptables -vnL, on carol" in the_one(answers, "W17").repair


def test_a_known_difference_explains_a_silence_and_hides_no_firewall() -> None:
    """What WireGuard does not send follows from it; what is lost on the way does not."""
    answers = peer_of("bernard", "carol", allowed_ips="fd00:dead::/64")
    unsent = {"bernard": probe("carol", "out", "sent"), "carol": probe("bernard", "in", "got")}
    assert codes(silent(answers, "bernard", "carol", **unsent)) == {("W08", "bernard", "carol")}
    lost = {"bernard": probe("carol"), "carol": probe("bernard", "in", "got")}
    assert codes(silent(answers, "bernard", "carol", **lost)) == {
        ("W08", "bernard", "carol"),
        ("W16", "bernard", "carol"),
    }


def test_another_network_with_the_prefix_of_a_peer_is_named() -> None:
    """A part of it is enough, a larger one takes nothing."""
    others = (("eth1", ip_network("fd00:2::/72")), ("eth2", ip_network("fd00::/16")))
    answers = examined("bernard", others=others)
    astray = {"bernard": replace(probe("carol"), inner={"carol": "eth1"}), "carol": probe("bernard")}
    found = the_one(silent(answers, "bernard", "carol", **astray), "W14")
    assert found.words == "packets for fd00:2::1 go by eth1"
    assert found.evidence == ("eth1 has fd00:2::/72",)


def test_large_packets_that_are_lost_are_told_with_the_size_that_passes() -> None:
    """Of both directions the smaller one; a host with a smaller MTU of its own can send no more."""
    measured = {host: dict(peers) for host, peers in WELL.measured.items()}
    measured["bernard"]["carol"] = replace(measured["bernard"]["carol"], largest=1328)
    measured["carol"]["bernard"] = replace(measured["carol"]["bernard"], largest=1332)
    found = the_one(replace(WELL, measured=measured), "W21")
    assert found.words == "packets of more than 1328 bytes inside the tunnel are lost, and mtu is 1420"


def named(**names: str) -> MeshAnswers:
    """Return a mesh that finds carol by her name."""
    plan = roster()
    plan["members"]["carol"]["endpoint"] = f"carol.example.org:{PORT}"
    answers = healthy(plan)
    facts = dict(answers.facts)
    peers = dict(facts["bernard"].peers)
    peers[key("carol")] = replace(peers[key("carol")], endpoint=names["endpoint"])
    facts["bernard"] = replace(facts["bernard"], peers=peers)
    return replace(answers, facts=facts)


def test_a_name_that_leads_elsewhere_or_nowhere_is_told() -> None:
    """Elsewhere is an address that the peer does not have, where nothing arrives."""
    astray = named(endpoint="198.51.100.9:51825")
    probes = {"bernard": probe("carol"), "carol": probe("bernard", "in", "got")}
    found = the_one(silent(astray, "bernard", "carol", **probes), "W24")
    assert found.words == "sends to 198.51.100.9:51825, and carol has no such address"
    well = named(endpoint=f"203.0.113.2:{PORT}")
    assert diagnose(well) == []
    nowhere = replace(well, examinations={**well.examinations, "dora": replace(well.examinations["dora"], names={})})
    assert the_one(nowhere, "W24").words == "carol.example.org does not resolve here"


def relayed(**probes: Probe) -> MeshAnswers:
    """Return a mesh in which dora and edgeworth are roaming and talk over bernard, and do not."""
    plan = roster(relay="bernard")
    plan["members"]["dora"] |= {"endpoint": "", "keepalive": 25}
    return silent(healthy(plan), "dora", "edgeworth", **probes)


def test_a_relay_that_passes_nothing_on_is_named() -> None:
    """Both have a session with it, and the pings of one do not come to the other."""
    lost = (*ECHOES[2:],)
    answers = relayed(
        dora=replace(probe("edgeworth", *lost), routes={}),
        edgeworth=replace(probe("dora", *lost), routes={}),
    )
    assert the_one(answers, "W26").words == "does not pass on what dora and edgeworth send each other"


@pytest.mark.parametrize(
    ("near", "far", "found"),
    [
        (uncounted("carol", 0), uncounted("bernard", 0, "-A INPUT -s 203.0.113.1/32 -p udp -j DROP"), "W17"),
        (uncounted("carol", 0), uncounted("bernard", 0, "-A INPUT -s 203.0.113.9/32 -p udp -j DROP"), "W36"),
        (uncounted("carol", 0), uncounted("bernard", 0, "-A INPUT -p tcp -j DROP"), "W36"),
        (uncounted("carol", 0, "-A OUTPUT -d 203.0.113.2/32 -j DROP"), uncounted("bernard", 0), "W15"),
        (uncounted("carol", 9), uncounted("bernard", 9), "W36"),
    ],
)
def test_without_nft_counters_of_wireguard_and_of_iptables_tell(near: Probe, far: Probe, found: str) -> None:
    """As far as they do: which rules dropped something, and whether they could have dropped this."""
    assert found in {code for code, *_ in codes(between("bernard", "carol", near, far))}


def test_what_one_host_does_to_many_peers_is_one_finding() -> None:
    """Also where only some of its pairs were probed; the others are not told as a riddle of their own."""
    answers, drops = WELL, (replace(RULE, source=""),)
    for peer in ("bernard", "dora", "edgeworth"):
        answers = silent(answers, "carol", peer)
    assert answers.to_probe(2) == {"bernard": ["carol"], "carol": ["bernard", "dora"], "dora": ["carol"]}
    mine, of_dora = probe("bernard", "got", drops=drops), probe("dora", "got")
    both = replace(mine, counts={**mine.counts, **of_dora.counts}, inner={**mine.inner, **of_dora.inner})
    found = the_one(replace(answers, probes={"carol": both, "bernard": probe("carol"), "dora": probe("carol")}), "W17")
    assert (found.host, found.peer) == ("carol", "")
    assert found.words == "its own firewall drops the messages of WireGuard from bernard, and so with dora"


def test_another_network_with_a_prefix_of_the_mesh_is_told_before_anything_is_silent() -> None:
    """A larger one is not, since the mesh's own routes go before it."""
    within = examined("carol", own=(("eth1", ip_interface("fd00:1::9/64")), ("eth2", ip_interface("fd00::9/16"))))
    assert the_one(within, "W38").words == "eth1 has fd00:1::/64, and the mesh has it too"


def test_without_ipv6_a_missing_address_is_no_finding_of_its_own() -> None:
    """It comes back with the rest."""
    answers = facts_of("carol", addresses=(), differences=(Difference("route", "fd00:1::/64"),))
    off = {**WELL.examinations, "carol": replace(WELL.examinations["carol"], ipv6_off=("testwg",))}
    assert the_one(replace(answers, examinations=off), "W25").words == "IPv6 is disabled on testwg"


def test_where_nothing_could_be_counted_the_silence_is_told_all_the_same() -> None:
    """As of unknown cause."""
    assert codes(silent(WELL, "bernard", "carol")) == {("W36", "bernard", "carol")}
    quiet = replace(probe("carol"), counts={}, counted=False, sessions={})
    assert codes(between("bernard", "carol", quiet, probe("bernard"))) == {("W36", "bernard", "carol")}


def test_the_document_of_pings_follows_its_schema() -> None:
    """A host that could not be asked has sent nothing, and lost all."""
    entries = (
        direction_entry("bernard", "carol", Measurement(4, 3, 0.5, 1.0, 2.0, 1420)),
        direction_entry("carol", "bernard", None),
    )
    mesh = PingedMesh(mtu=1420, unasked={"carol": "cannot be reached"}, directions=entries)
    document = json.loads(show_pings({"testwg": mesh}, well=False))
    Draft202012Validator(json.loads(schema_of(PingDocument))).validate(document)
    assert [each["loss"] for each in document["meshes"]["testwg"]["directions"]] == [0.25, 1.0]


def test_the_document_follows_its_schema_and_the_text_has_the_same() -> None:
    """Control characters from a host reach no terminal."""
    rule = replace(RULE, rule="udp\x1b[2Jdrop")
    answers = between("bernard", "carol", probe("carol"), probe("bernard", "got", drops=(rule,)))
    found = diagnosis_of(answers)
    document = json.loads(show_findings([found]))
    schema = json.loads(schema_of(DoctorDocument))
    Draft202012Validator(schema).validate(document)
    assert document["schemaVersion"] == 1
    mesh = document["meshes"]["testwg"]
    assert [(each["code"], each["host"], each["peer"]) for each in mesh["findings"]] == [("W17", "carol", "bernard")]
    assert len(mesh["directions"]) == 12
    console = Console(width=200, no_color=True)
    with console.capture() as captured:
        console.print(show_diagnosis(found))
    text = captured.get()
    assert text.startswith("testwg has 1 finding: 4 of 4 hosts were asked, and 10 of 12 directions answer\n")
    assert f"W17 carol → bernard: {CAUSES['W17'].title}" in text


def sentence(answers: MeshAnswers, *only: str) -> str:
    """Return the first line that is printed of what concerns some hosts."""
    console = Console(width=200, no_color=True)
    with console.capture() as captured:
        console.print(show_diagnosis(diagnosis_of(answers, only)))
    return captured.get().splitlines()[0]


def test_of_what_concerns_a_host_nothing_more_is_said() -> None:
    """A mesh is not called healthy for what is left out, nor are its directions counted."""
    answers = between("bernard", "carol", probe("carol"), probe("bernard", "got"))
    assert sentence(answers, "dora") == (
        "testwg is healthy as far as dora is concerned: 1 of 1 hosts were asked, and 6 of 6 directions answer"
    )
    assert sentence(answers, "bernard", "dora") == (
        "testwg has 1 finding as far as bernard and dora are concerned: "
        "2 of 2 hosts were asked, and 8 of 10 directions answer"
    )
    document = json.loads(show_findings([diagnosis_of(answers, ["dora"])]))["meshes"]["testwg"]
    assert (document["well"], len(document["directions"])) == (True, 6)


def test_what_a_host_is_silent_for_concerns_its_peers() -> None:
    """Though it is a finding of that host alone."""
    answers = replace(
        silent(WELL, "bernard", "carol"),
        absent={"carol": "cannot be reached"},
        facts={host: facts for host, facts in WELL.facts.items() if host != "carol"},
    )
    assert [finding.code for finding in diagnosis_of(answers, ["bernard"]).findings] == ["W01"]
    document = json.loads(show_findings([diagnosis_of(answers, ["bernard"])]))["meshes"]["testwg"]
    assert document["unasked"] == {}
    assert diagnosis_of(answers, ["dora"]).findings == ()
