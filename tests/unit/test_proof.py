"""How `mesh.proof` judges what kernels report, and the cause it names for each fault."""

from dataclasses import replace
from typing import Any

import pytest

from mesh.errors import HostError
from mesh.remote.reports import Facts, PeerFacts, read_facts
from mesh.rollout.verification import find_faults, salted_digest

KEYS = {"bernard": "B" * 43 + "=", "edgeworth": "E" * 43 + "=", "phoenix": "P" * 43 + "="}
ADDRESSES = {
    "bernard": "fd00:1c86:78d4:dcef::1/64",
    "edgeworth": "fd00:cac2:10cb:6ee9::1/64",
    "phoenix": "fd00:a1b::1/64",
}
ROSTER: Any = {
    "interface": "testwg",
    "port": 51825.0,
    "mtu": 1420,
    "members": {
        name: {
            "publicKey": key,
            "address": ADDRESSES[name],
            "endpoint": "1.2.3.4:1" if name == "bernard" else "",
            "keepalive": 25.0,
        }
        for name, key in KEYS.items()
    },
}


def peer(name: str, keepalive: str = "25") -> PeerFacts:
    """Return a healthy peer that is `name`."""
    return PeerFacts("1.2.3.4:1", ADDRESSES[name].replace("1/64", "/64"), 1000, 10, 10, keepalive)


@pytest.fixture
def facts() -> dict[str, Facts]:
    """Return what three hosts report that are as the roster says."""
    return {
        name: Facts(
            public_key=KEYS[name],
            port=51825,
            mtu=1420,
            addresses=(ADDRESSES[name],),
            # Two roaming hosts have nothing to keep alive.
            peers={
                KEYS[other]: peer(other, "25" if "bernard" in (name, other) else "off")
                for other in KEYS
                if other != name
            },
        )
        for name in KEYS
    }


def lines(roster: Any, facts: dict[str, Facts], silent: list[tuple[str, str]], *more: Any, **named: Any) -> list[str]:
    """Return the faults that verification finds, as it shows them."""
    return [str(fault) for fault in find_faults(roster, facts, silent, *more, **named)]


def change(facts: dict[str, Facts], host: str, other: str, **fields: Any) -> dict[str, Facts]:
    """Return the facts with one peer of one host changed."""
    changed = {**facts[host].peers, KEYS[other]: replace(facts[host].peers[KEYS[other]], **fields)}
    return {**facts, host: replace(facts[host], peers=changed)}


REPORT = [
    "confirmed d0",
    "mtu 1420",
    "address fd00:1c86:78d4:dcef::1/64",
    "preshared abc",
    f"interface {KEYS['bernard']} 51825",
    f"peer {KEYS['edgeworth']} 1.2.3.4:51825 fd00:cac2:10cb:6ee9::/64 1700000001 20 30 25",
]


def test_a_report_is_read_whole() -> None:
    """As `order_facts` of the host program prints it."""
    assert read_facts("bernard", REPORT, "abc") == Facts(
        KEYS["bernard"],
        51825,
        1420,
        ("fd00:1c86:78d4:dcef::1/64",),
        True,
        "d0",
        {KEYS["edgeworth"]: PeerFacts("1.2.3.4:51825", "fd00:cac2:10cb:6ee9::/64", 1700000001, 20, 30, "25")},
        preshared="abc",
    )


@pytest.mark.parametrize("line", ["something that nobody asked for", "mtu 1420 1420", "mtu x", "mtu 1421"])
def test_a_report_with_a_line_that_is_none_is_its_hosts_fault(line: str) -> None:
    """The program there is ours by its digest, so that somebody else must have said it."""
    with pytest.raises(HostError, match=f"host 'bernard': answers facts with what cannot be read .'{line}'.; check"):
        read_facts("bernard", [*REPORT, line], "abc")


@pytest.mark.parametrize("number", range(6))
def test_a_report_that_leaves_anything_out_is_its_hosts_fault(number: int) -> None:
    """But for its addresses and peers, whose absence is a difference."""
    lines = [line for at, line in enumerate(REPORT) if at != number]
    if REPORT[number].split()[0] in {"address", "peer"}:
        read_facts("bernard", lines, "abc")
    else:
        with pytest.raises(HostError, match=f"answers facts without {REPORT[number].split()[0]}"):
            read_facts("bernard", lines, "abc")


def test_hosts_that_run_what_the_roster_says_are_verified(facts: dict[str, Facts]) -> None:
    """A pair of roaming hosts needs no answer."""
    assert lines(ROSTER, facts, [("edgeworth", "phoenix")], list(KEYS)) == []


def test_another_public_key_is_a_fault(facts: dict[str, Facts]) -> None:
    """The kernel and the state must agree."""
    facts["bernard"] = replace(facts["bernard"], public_key="X" * 43 + "=")
    assert lines(ROSTER, facts, []) == ["bernard: runs another public key than the state has; run pulumi up --refresh"]


def test_another_port_is_a_fault(facts: dict[str, Facts]) -> None:
    """Peers would send to nobody."""
    facts["bernard"] = replace(facts["bernard"], port=1)
    assert lines(ROSTER, facts, []) == ["bernard: listens on UDP port 1, not 51825; run pulumi up --refresh"]


def test_a_missing_and_a_surplus_peer_are_faults(facts: dict[str, Facts]) -> None:
    """The surplus one is shown with what it would get."""
    stranger = {**facts["bernard"].peers, "S" * 43 + "=": peer("phoenix")}
    del stranger[KEYS["phoenix"]]
    facts["bernard"] = replace(facts["bernard"], peers=stranger)
    assert lines(ROSTER, facts, []) == [
        "bernard: has no peer phoenix; run pulumi up --refresh",
        f"bernard: has a peer that the roster lacks, {'S' * 43}= (fd00:a1b::/64); run pulumi up --refresh",
    ]


def test_other_allowed_ips_are_a_fault(facts: dict[str, Facts]) -> None:
    """A peer without its prefix gets no packet."""
    changed = change(facts, "bernard", "edgeworth", allowed_ips="(none)")
    assert lines(ROSTER, changed, []) == ["bernard: allowed IPs of edgeworth are (none); run pulumi up --refresh"]


def test_a_lost_endpoint_is_a_fault(facts: dict[str, Facts]) -> None:
    """One that was planned; where the peer has to begin, and where the kernel learned another, there is none."""
    changed = change(facts, "edgeworth", "bernard", endpoint="(none)")
    assert lines(ROSTER, changed, []) == [
        f"edgeworth: knows no endpoint of bernard, {ROSTER['members']['bernard']['endpoint']}; run pulumi up --refresh"
    ]
    assert lines(ROSTER, change(facts, "bernard", "edgeworth", endpoint="(none)"), []) == []


def test_preshared_keys_that_differ_are_a_fault(facts: dict[str, Facts]) -> None:
    """Running sessions would not notice for minutes."""
    facts["bernard"] = replace(facts["bernard"], has_preshared_key=False)
    assert lines(ROSTER, facts, []) == ["bernard: has another preshared key than the state; run pulumi up --refresh"]


def test_another_mtu_and_a_missing_address_are_faults(facts: dict[str, Facts]) -> None:
    """What `wg` does not show is compared too."""
    facts["bernard"] = replace(facts["bernard"], mtu=9000, addresses=())
    assert lines(ROSTER, facts, []) == [
        "bernard: has MTU 9000, not 1420; run pulumi up --refresh",
        f"bernard: lacks its address {ADDRESSES['bernard']}; run pulumi up --refresh",
    ]


def test_another_keepalive_and_a_stranger_address_are_faults(facts: dict[str, Facts]) -> None:
    """A roaming host without keepalive is lost behind its NAT within a minute."""
    changed = change(facts, "edgeworth", "bernard", keepalive="off")
    changed["edgeworth"] = replace(changed["edgeworth"], addresses=(ADDRESSES["edgeworth"], "10.9.9.9/24"))
    assert lines(ROSTER, changed, []) == [
        "edgeworth: persistent keepalive to bernard is off, not 25; run pulumi up --refresh",
        "edgeworth: has the address 10.9.9.9/24, which is not its own; run pulumi up --refresh",
    ]


def test_a_learned_endpoint_and_an_old_handshake_are_no_faults(facts: dict[str, Facts]) -> None:
    """They change by themselves, without anybody's doing."""
    changed = change(facts, "bernard", "edgeworth", endpoint="9.9.9.9:9", handshake=0, received=0)
    assert lines(ROSTER, changed, []) == []


def test_a_preshared_key_is_compared_by_a_salted_digest() -> None:
    """As the host's `sha256sum` makes it; a host without peers has none."""
    report = [line for line in REPORT if not line.startswith("preshared")]
    report.insert(0, f"preshared {salted_digest('salt', 'key')}")
    assert read_facts("bernard", report, salted_digest("salt", "key")).has_preshared_key
    assert not read_facts("bernard", report, salted_digest("salt", "other")).has_preshared_key
    assert read_facts("bernard", report[:-1], salted_digest("salt", "other")).has_preshared_key


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        (
            {"handshake": 0},
            "no handshake; see whether UDP port 51825 is open out of edgeworth, on the way, and into bernard",
        ),
        ({"received": 0}, "handshake but nothing received; see whether something between them drops UDP port 51825"),
        (
            {},
            "handshake but no echo; see whether ICMPv6 is dropped inside the mesh on bernard, the MTU is too large, or",
        ),
    ],
    ids=["no handshake", "nothing received", "no echo"],
)
def test_a_silent_pair_is_named_with_its_likely_cause(
    facts: dict[str, Facts], fields: dict[str, int], cause: str
) -> None:
    """What the kernel knows of the peer tells where packets are lost."""
    changed = change(facts, "edgeworth", "bernard", **fields)
    [line] = lines(ROSTER, changed, [("edgeworth", "bernard")])
    assert line.startswith(f"edgeworth → bernard: no answer: {cause}")
    assert line.endswith(" or bernard is not at 1.2.3.4") == (fields == {})


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        (
            "unsent",
            "a firewall of edgeworth itself drops its pings on their way out; let ICMPv6 pass on testwg of edgew",
        ),
        ("unheard", "the answers reach edgeworth, and a firewall of edgeworth itself drops them; let ICMPv6 pass on"),
        (
            "unclear",
            "handshake but no echo; see whether ICMPv6 is dropped inside the mesh on bernard or edgeworth, the MTU",
        ),
        (
            "of a later version",
            "handshake but no echo; see whether ICMPv6 is dropped inside the mesh on bernard, the MTU is too large",
        ),
    ],
)
def test_a_silence_is_blamed_on_the_host_that_is_known_to_make_it(
    facts: dict[str, Facts], reason: str, cause: str
) -> None:
    """A wrong cause would be worse than none, so where it can be either host, both are named."""
    [fault] = find_faults(ROSTER, facts, [], reasons={("edgeworth", "bernard"): reason})
    assert str(fault).startswith(f"edgeworth → bernard: no answer: {cause}")


@pytest.mark.parametrize(
    ("endpoint", "unresolved", "cause"),
    [
        (
            "203.0.113.9:1",
            False,
            "b.example.org resolves to 203.0.113.9:1; see whether bernard is there, and UDP port 51825",
        ),
        ("(none)", False, "no handshake; b.example.org has not resolved on edgeworth so far; see what edgeworth asks"),
        ("203.0.113.9:1", True, "b.example.org does not resolve on edgeworth now; see what edgeworth asks for names"),
    ],
    ids=["resolves to another place", "never resolved", "does not resolve now"],
)
def test_a_silent_peer_whose_endpoint_is_a_name_is_told_with_what_that_resolves_to(
    facts: dict[str, Facts], endpoint: str, unresolved: bool, cause: str
) -> None:
    """The name may be right, and the answer old."""
    members = {**ROSTER["members"], "bernard": {**ROSTER["members"]["bernard"], "endpoint": "b.example.org:1"}}
    changed = change(facts, "edgeworth", "bernard", endpoint=endpoint)
    pair = [("edgeworth", "bernard")]
    silent, lost = ([], pair) if unresolved else (pair, [])
    [fault] = lines(ROSTER | {"members": members}, changed, silent, unresolved=lost)
    assert str(fault).startswith(f"edgeworth → bernard: no answer: {cause}")


def test_a_peer_that_answers_a_roaming_host_from_elsewhere_is_told_apart_from_a_closed_port(
    facts: dict[str, Facts],
) -> None:
    """NAT lets in answers from the endpoint only; a host with an endpoint of its own hears it from any address."""
    silent = [("edgeworth", "bernard"), ("bernard", "phoenix")]
    sources = {("edgeworth", "bernard"): "192.0.2.7", ("bernard", "phoenix"): "192.0.2.8"}
    [roaming, other] = sorted(lines(ROSTER, facts, silent, sources=sources), reverse=True)
    assert roaming == (
        "edgeworth → bernard: no answer: its endpoint is 1.2.3.4, and WireGuard in userspace answers from 192.0.2.7, "
        "which NAT keeps from edgeworth; on bernard, make 1.2.3.4 the source of the default route "
        "(ip route replace … src), or give it an external address that it has"
    )
    assert "192.0.2.8" not in other
    assert "answers from" not in "".join(lines(ROSTER, facts, silent, sources={silent[0]: "1.2.3.4"}))


def test_a_changed_key_needs_a_handshake_of_its_own(facts: dict[str, Facts]) -> None:
    """An answer through the session from before the switch proves nothing; between others it is enough."""
    changed = {**facts, "edgeworth": replace(facts["edgeworth"], stale=frozenset({KEYS["bernard"]}))}
    assert lines(ROSTER, changed, [], ["phoenix"]) == []
    assert lines(ROSTER, changed, [], ["bernard"]) == [
        "edgeworth → bernard: answers, but has no handshake with the new key yet; run pulumi up again"
    ]


def test_a_silent_pair_whose_key_is_new_is_not_told_of_the_session_before(facts: dict[str, Facts]) -> None:
    """That one says nothing of why there is none with the new key."""
    changed = {**facts, "edgeworth": replace(facts["edgeworth"], stale=frozenset({KEYS["bernard"]}))}
    silent = [("edgeworth", "bernard")]
    assert "no answer: no handshake; see whether UDP port" in "".join(lines(ROSTER, changed, silent, ["bernard"]))
    assert "no handshake since the change began; see " in "".join(lines(ROSTER, changed, silent, ["phoenix"]))


def test_a_session_from_before_the_change_is_no_handshake(facts: dict[str, Facts]) -> None:
    """As with a wrong endpoint: the old session says nothing of the new address, and ICMPv6 is not all to look at."""
    changed = {**facts, "edgeworth": replace(facts["edgeworth"], stale=frozenset({KEYS["bernard"]}))}
    [line] = lines(ROSTER, changed, [("edgeworth", "bernard")])
    assert line == (
        "edgeworth → bernard: no answer, and no handshake since the change began; see whether bernard is at 1.2.3.4, "
        "UDP port 51825 is open into it, and ICMPv6 passes inside the mesh on bernard"
    )
