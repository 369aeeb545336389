"""What a host says of a peer that answers no ping, and what it knows of its own part in that."""

from typing import Any

import pytest

from tests.host_program import PARTS, HostProgram

PARTS_OF_PROOF = "".join((PARTS / f"{part}.sh").read_text() for part in ("wireguard/interface", "core/verify"))
KEY, OTHER = "K" * 43 + "=", "O" * 43 + "="
_PEERS = (("carol", 1, "first"), ("dora", 2, "second"), ("frank", 3, "never"))
PLAN = f"""
{PARTS_OF_PROOF}
is_armed() {{ return 1; }}
mkdir -p "$home/run"
printf 'mtu 1420\\n' >"$home/run/settings"
printf '1e1 {KEY} fd00::1 - off fd00::/64 first\\n10 {OTHER} fd00:1::1 - off fd00:1::/64 second\\n' >"$home/run/peers"
printf 'dora - fd00:2::1 10 - - first\\n' >"$home/run/relayed"
"""


def peers(
    host: HostProgram, *, comes: int = 0, goes: int = 1312, refused: int = 0, met: bool = True, status: int = 1
) -> None:
    """Let so many bytes come from the peer and go there with each ping, and the system refuse so many packets."""
    for name, grows in (("came", comes), ("went", goes), ("refused", refused)):
        count = host.directory / name
        count.write_text("1000\n")
        host.stub(f"grow-{name}", f"echo $(($(cat {count}) + {grows})) >{count}")
    host.stub("ping", f"grow-came; grow-went; grow-refused; exit {status}")
    came, went = (f"$(cat {host.directory}/{name})" for name in ("came", "went"))
    host.stub(
        "wg",
        f"""case $3 in
latest-handshakes) printf '%s\\t%s\\n' {KEY} {99 if met else 0} {OTHER} 99 ;;
transfer) printf '%s\\t%s\\t%s\\n' {KEY} {came} {went} {OTHER} 9 9 ;;
esac""",
    )


def proven(host: HostProgram, peer: str) -> tuple[str, str]:
    """Return what the host replies of a peer, and what it says besides."""
    discarded = f"discarded() {{ cat {host.directory}/refused; }}"
    ended = host.run(f"{PLAN} {discarded}; exec 3>&1; prove_peer {peer} 1420 >/dev/null || :")
    return ended.stdout, ended.stderr


@pytest.mark.parametrize(
    ("traffic", "reply"),
    [
        ({}, "silent 1e1"),
        # What WireGuard itself says, a handshake or a keepalive, is no answer.
        ({"comes": 148}, "silent 1e1"),
        ({"comes": 1312}, "silent 1e1 unheard"),
        ({"comes": 1312 + 92}, "silent 1e1 unheard"),
        ({"comes": 50000}, "silent 1e1 unclear"),
        ({"goes": 32, "refused": 1}, "silent 1e1 unsent"),
        # Others may be refused something, while the pings go.
        ({"refused": 3}, "silent 1e1"),
        # A ping waits for a session, and nobody has refused it.
        ({"goes": 148, "met": False}, "silent 1e1"),
        ({"goes": 148, "met": False, "refused": 1}, "silent 1e1"),
    ],
)
def test_a_silent_peer_is_told_with_what_this_host_knows(
    host: HostProgram, traffic: dict[str, Any], reply: str
) -> None:
    """Only what is known: pings that the system refuses, and answers that come in and are heard by nobody."""
    peers(host, **traffic)
    assert proven(host, "1e1 fd00::1") == (f"{reply}\n", "")


def test_a_host_that_is_reached_over_another_has_no_key_to_ask_about(host: HostProgram) -> None:
    """Its packets come from the relay, with those of others."""
    peers(host, comes=1312)
    assert proven(host, "dora fd00:2::1") == ("silent dora\n", "")


@pytest.mark.parametrize(
    "rule",
    [
        "output priority 0; icmpv6 type echo-request drop;",
        "output priority 0; policy drop; ct state established accept;",
        "output priority 0; meta l4proto ipv6-icmp reject;",
        "postrouting priority 0; oifname testwg drop;",
    ],
)
def test_what_the_system_discards_is_counted(host: HostProgram, rule: str) -> None:
    """Whatever ping says of it, which depends on its version."""
    host.real("ip", "nft", "ping")
    script = f"""
    ip link add testwg type veth peer name other; ip link set testwg up; ip link set other up
    ip -6 address add fd00::9/64 dev testwg nodad; ip -6 neigh add fd00::1 lladdr 02:00:00:00:00:01 dev testwg
    printf '%s\\n' 'table inet own {{ chain o {{ type filter hook {rule} }}' '}}' | nft -f -
    before=$(discarded); answers_ping 1280 fd00::1 1 >/dev/null 2>&1 || :
    nft delete table inet own; echo $(($(discarded) - before))
    answers_ping 1280 fd00::1 1 >/dev/null 2>&1 || :; echo $(($(discarded) - before))
    """
    first, second = map(int, host.run(f"{PLAN} {script}").stdout.split())
    # What the system sends by itself when an interface comes up may be among it.
    assert second == first >= 1


def test_a_peer_that_answers_is_told_to_be_well(host: HostProgram) -> None:
    """Each in the turn of its pair."""
    peers(host, status=0)
    host.stub("getent")
    ended = host.run(f"{PLAN} order_prove first; order_prove second")
    assert sorted(ended.stdout.splitlines()) == ["well 10", "well 1e1", "well dora"]
    assert sorted({call.split()[-1] for call in host.calls() if call.startswith("ping")}) == [
        *["fd00:1::1", "fd00:2::1", "fd00::1"]
    ]


def test_a_host_without_ping_says_so(host: HostProgram) -> None:
    """A silence would be blamed on ports and paths."""
    assert "ping is missing" in host.run(f"{PLAN} order_prove first", fails=True).stderr


def test_a_handshake_from_before_the_host_was_armed_is_told_whatever_its_clock_says_now(host: HostProgram) -> None:
    """A clock may be set back meanwhile, so that a new handshake seems older; none at all is no new one either."""
    times = {KEY: 1_700_000_000, OTHER: 1_700_000_000 - 86400, "N" * 43 + "=": 0}
    dump = "".join(rf"{key}\t(none)\t(none)\t(none)\t{when}\t0\t0\toff\n" for key, when in times.items())
    host.stub("wg", f"printf 'private\tpublic\t51825\toff\n{dump}'")
    (host.home / "next").mkdir(parents=True)
    (host.home / "next/handshakes").write_text(f"{KEY}\t1700000000\n{OTHER}\t1700000000\n")
    quiet = "list_addresses() { :; }; forwarding_differs() { :; }; exit_is_on() { :; }; first_word() { echo 0; }"
    said = host.run(f"{PLAN}\n{quiet}\norder_facts salt").stdout.splitlines()
    assert [line.split()[1] for line in said if line.startswith("stale ")] == [KEY, "N" * 43 + "="]


@pytest.mark.parametrize(
    ("endpoint", "was", "planned", "set_again"),
    [
        ("203.0.113.1:1", "203.0.113.1:1", "203.0.113.1:2", "203.0.113.1:2"),
        # Where it was heard since is where it is.
        ("203.0.113.9:7", "203.0.113.1:1", "203.0.113.1:2", ""),
        ("203.0.113.1:2", "203.0.113.1:1", "203.0.113.1:2", ""),
        # One that the plan leaves alone may have moved by itself.
        ("203.0.113.1:1", "203.0.113.1:2", "203.0.113.1:2", ""),
        ("203.0.113.1:1", "203.0.113.1:1", "-", ""),
        ("203.0.113.1:1", "203.0.113.1:1", "b.example.org:2", ""),
    ],
)
def test_a_late_packet_from_the_old_endpoint_leads_nobody_back_there(
    host: HostProgram, endpoint: str, was: str, planned: str, set_again: str
) -> None:
    """Who is behind NAT would wait there for good; so all try the planned one again as soon as all hosts have moved."""
    for place, where in (("run", was), ("next", planned)):
        (host.home / place).mkdir(parents=True)
        (host.home / place / "peers").write_text(f"carol {KEY} fd00::1 {where} off fd00::/64 first\n")
    host.stub("wg", f"[ $1 = set ] || printf '{KEY}\\t{endpoint}\\n'")
    switch = (PARTS / "core/switch.sh").read_text()
    host.run(f"{PARTS_OF_PROOF}\n{switch}\nis_armed() {{ :; }}; knock() {{ :; }}; order_wake")
    wanted = [f"wg set testwg peer {KEY} endpoint {set_again}"] if set_again else []
    assert [call for call in host.calls() if call.startswith("wg set")] == wanted


def test_who_goes_back_tries_the_confirmed_endpoint_again_where_a_peer_is_silent(host: HostProgram) -> None:
    """Only for the pairs that it opens; the other end does so for the others."""
    host.stub("wg")
    host.stub("ping", "exit 1")
    (host.home / "run").mkdir(parents=True)
    lines = [f"{name} {KEY} fd00::{n} 203.0.113.{n}:1 off fd00::/64 {turn}\n" for name, n, turn in _PEERS]
    (host.home / "run/peers").write_text("".join(lines))
    recovery = (PARTS / "core/recovery.sh").read_text()
    host.run(f"{PARTS_OF_PROOF}\n{recovery}\nis_armed() {{ return 1; }}\nmeet_again")
    calls = host.calls()
    assert [call for call in calls if call.startswith("wg set")] == [f"wg set testwg peer {KEY} endpoint 203.0.113.1:1"]
    assert sum(call.startswith("ping") for call in calls) == 2


def test_work_for_many_peers_is_done_a_part_at_a_time(host: HostProgram) -> None:
    """All of it, once each, and whoever is next knows how many have failed."""
    ended = host.run("work() { echo $1 $at_once_failed; [ $1 -gt 40 ]; }; seq 300 | at_once work; echo $?")
    *lines, status = ended.stdout.splitlines()
    assert status == "0"
    failed = {int(number): int(known) for number, known in (line.split() for line in lines)}
    assert sorted(failed) == list(range(1, 301))
    assert {number: known for number, known in failed.items() if number <= 128} == dict.fromkeys(range(1, 129), 0)
    assert {known for number, known in failed.items() if number > 128} == {40}


@pytest.mark.thorough
def test_hundreds_of_silent_peers_are_told_within_the_time_of_an_order(host: HostProgram) -> None:
    """The first are asked for as long as a handshake may take twice, the others for as long as one may."""
    host.stub("wg")
    # How long it would wait, all pings together.
    host.stub("ping", f'while [ "$1" != -W ]; do shift; done; echo "$2 $PPID" >>{host.directory}/waits; exit 1')
    (host.home / "run").mkdir(parents=True)
    (host.home / "run/settings").write_text("mtu 1420\n")
    lines = [f"h{number} key{number} fd00:{number}::1 - off fd00:{number}::/64 first\n" for number in range(300)]
    (host.home / "run/peers").write_text("".join(lines))
    replies = host.run(f"{PARTS_OF_PROOF}\nis_armed() {{ return 1; }}\norder_prove first").stdout.splitlines()
    assert sorted(reply.split()[1] for reply in replies) == sorted(f"h{number}" for number in range(300))
    assert {reply.split()[0] for reply in replies} == {"silent"}
    waits = [int(line.split()[0]) for line in (host.directory / "waits").read_text().splitlines()]
    assert len(waits) == 128 * 6 + 172 * 3
    assert sum(waits) == 128 * 24 + 172 * 8
