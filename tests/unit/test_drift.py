"""How `mesh.drift` words what a host reports, and what never is drift."""

from typing import Any

import pytest

from mesh.plan.pairs import Pairs
from mesh.remote.reports import Difference, Facts, PeerFacts, read_facts
from mesh.rollout.drift import describe_drift
from mesh.rollout.fault import Fault

KEYS = {"bernard": "B" * 43 + "=", "edgeworth": "E" * 43 + "="}
ROSTER: Any = {
    "interface": "testwg",
    "port": 51825.0,
    "mtu": 1420.0,
    "members": {
        "bernard": {"publicKey": KEYS["bernard"], "address": "fd00:a::1/64", "endpoint": "1.2.3.4:1", "keepalive": 0},
        "edgeworth": {"publicKey": KEYS["edgeworth"], "address": "fd00:b::1/64", "endpoint": "", "keepalive": 25},
    },
}


def report(*differences: str, confirmed: str = "d1") -> Facts:
    """Return what bernard reports: a kernel as the roster says, and what the host itself found."""
    peer = PeerFacts("9.9.9.9:9", "fd00:b::/64", 0, 0, 0, "off")
    return Facts(
        KEYS["bernard"],
        51825,
        1420,
        ("fd00:a::1/64",),
        True,
        confirmed,
        {KEYS["edgeworth"]: peer},
        tuple(Difference(*difference.split(" ", 1)) for difference in differences),
    )


def test_a_host_as_it_was_confirmed_has_no_drift() -> None:
    """Whatever endpoint its kernel learned, and whether or not there was ever a handshake."""
    assert describe_drift(ROSTER, "bernard", report(), "d1") == []


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        ("edited /etc/wireguard/testwg.conf", "/etc/wireguard/testwg.conf was edited by hand; {} writes it again"),
        ("missing /etc/init.d/mesh-boot", "/etc/init.d/mesh-boot is missing; {} writes it again"),
        ("readable /x", "/x can be read by others than root; {} writes it again, and then rotate its key"),
        ("disabled", "testwg does not come up at the next boot; {} enables it again"),
        ("firewall 1", "the firewall no longer lets in UDP port 1 or pings from the mesh; {} opens it again"),
        ("route fd00:b::/64", "has no route to edgeworth, fd00:b::/64; {} sets it again"),
        ("timer", "no longer resolves names of peers, since mesh-endpoints is off; {} starts it again"),
        ("keep", "no longer repairs what others take away here, since mesh-keep is off; {} starts it again"),
        ("forgotten", "lost its private key; {} gives it again"),
        ("unsettled", "a rollout was cut off here and is not confirmed; {} settles it"),
        ("rusty", "rusty; {} repairs it"),
    ],
)
def test_each_difference_is_a_line_that_says_what_to_do(difference: str, words: str) -> None:
    """The last one is from a version of the host program that knows more than this one."""
    expected = [Fault("bernard", words.format("pulumi up --refresh"))]
    assert describe_drift(ROSTER, "bernard", report(difference), "d1") == expected


@pytest.mark.parametrize(
    ("difference", "words"), [("absent", "is not there"), ("down", "is set down")], ids=["absent", "down"]
)
def test_an_interface_that_is_not_up_is_one_line_and_not_one_for_each_peer(difference: str, words: str) -> None:
    """Its kernel has nothing to compare."""
    faults = describe_drift(ROSTER, "bernard", Facts(differences=(Difference(difference),)), "d1")
    assert [words in fault.cause for fault in faults] == [True]


def test_a_reinstalled_host_is_one_line() -> None:
    """It lacks each single thing, and a list of all would hide the reason."""
    (fault,) = describe_drift(
        ROSTER, "bernard", Facts(differences=tuple(map(Difference, ("forgotten", "disabled", "absent")))), "d1"
    )
    assert str(fault) == ("bernard: was reinstalled, or has lost all of testwg; pulumi up --refresh sets it up again")


def test_a_lost_key_is_given_again_by_name_where_no_refresh_finds_it() -> None:
    """As in a program of one's own."""
    (fault,) = describe_drift(ROSTER, "bernard", report("forgotten"), "d1", surveyed=False)
    command = "pulumi up --refresh --replace '**::testwg/bernard/enrol'"
    assert str(fault) == f"bernard: lost its private key; {command} gives it again"


def test_an_older_plan_is_drift() -> None:
    """As after a machine was set back to an old snapshot, or booted while the others confirmed."""
    faults = describe_drift(ROSTER, "bernard", report(confirmed="d0"), "d1")
    assert faults == [Fault("bernard", "the last rollout was not confirmed here; run pulumi up --refresh")]


def test_what_the_host_found_is_read_with_its_facts() -> None:
    """As `order_audit` of the host program prints it."""
    facts = read_facts("bernard", ["differs edited /etc/a", "differs absent"], "", "audit")
    assert facts.differences == (Difference("edited", "/etc/a"), Difference("absent"))


def test_the_roster_is_read_once_for_all_hosts_and_all_that_they_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host may lack the routes to all others, and a thousand hosts may."""
    pairs = Pairs(ROSTER)
    asked: list[str] = []

    def count(participant: Any) -> tuple[str, ...]:
        asked.append(participant["address"])
        return (participant["address"].replace("::1/", "::/"),)

    monkeypatch.setattr("mesh.plan.pairs.allowed_ips", count)
    monkeypatch.delattr(Pairs, "__init__")
    lacking = [f"route fd00:{number:x}::/64" for number in range(16)]
    faults = describe_drift(ROSTER, "bernard", report(*lacking, "forwarding", "exit"), "d1", pairs)
    assert sum("has no route to edgeworth, fd00:b::/64" in fault.cause for fault in faults) == 1
    assert len(faults) == len(lacking) + 2
    assert len(asked) == len(ROSTER["members"])
