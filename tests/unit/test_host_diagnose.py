"""What a host reads of its own tools for a diagnosis: pings, traces, counters; with real nft where it counts."""

import re

import pytest

from tests.host_program import PARTS, HostProgram

KEYS = {name: f"{name[0] * 43}=" for name in ("carol", "dora", "edgeworth")}
PLAN = f"""
{"".join((PARTS / f"{part}.sh").read_text() for part in ("wireguard/interface", "core/verify"))}
is_armed() {{ return 1; }}
mkdir -p "$home/run"
printf 'mtu 1420\\nport 51825\\n' >"$home/run/settings"
cat >"$home/run/peers" <<'END'
carol {KEYS["carol"]} fd00:2::1 203.0.113.2:51825 off fd00:2::/64 first
dora {KEYS["dora"]} fd00:3::1 203.0.113.3:51825 off fd00:3::/64 second
edgeworth {KEYS["edgeworth"]} fd00:4::1 - off fd00:4::/64 second
END
"""
ENDPOINTS = "\\n".join(
    f"{KEYS[name]}\\t{endpoint}"
    for name, endpoint in {"carol": "203.0.113.2:51825", "dora": "[2001:db8::3]:51825", "edgeworth": "(none)"}.items()
)
PINGS = {
    "3 packets transmitted, 3 received, 0% packet loss, time 403ms\nrtt min/avg/max/mdev = 0.541/0.982/1.731/0.5 ms": (
        "3 3 0.541 0.982 1.731"
    ),
    "3 packets transmitted, 2 packets received, 33% packet loss\nround-trip min/avg/max = 0.2/0.3/0.4 ms": (
        "3 2 0.2 0.3 0.4"
    ),
    "3 packets transmitted, 0 received, 100% packet loss, time 403ms": "3 0 - - -",
    "": "0 0 - - -",
}
TRACE = """\
trace id 93393fb8 inet mesh_doctor_testwg before_in packet: iif "eth0" ip saddr 203.0.113.2 ip daddr 203.0.113.1 ip \
protocol udp ip length 176 udp sport 51825 udp dport 51825 udp length 156
trace id 93393fb8 inet mesh_doctor_testwg before_in rule ip saddr 203.0.113.2 meta nftrace set 1 (verdict continue)
trace id 93393fb8 inet own i packet: iif "eth0" ip saddr 203.0.113.2 ip daddr 203.0.113.1 udp sport 51825
trace id 93393fb8 inet own i rule udp dport 51825 counter packets 1 bytes 2 drop comment "a b" (verdict drop)
trace id 93393fb8 inet own i rule udp dport 51825 counter packets 1 bytes 2 drop comment "a b" (verdict drop)
trace id b13f90c0 ip6 filter INPUT packet: iif "testwg" ip6 saddr fd00:2::1 ip6 daddr fd00:1::1 icmpv6 type \
echo-request icmpv6 code no-route
trace id b13f90c0 ip6 filter INPUT policy drop
trace id b13f90c1 ip6 filter INPUT policy accept
nonsense
"""


@pytest.mark.parametrize(("said", "read"), PINGS.items())
def test_what_ping_says_is_read_of_both_kinds(host: HostProgram, said: str, read: str) -> None:
    """That of iputils and that of busybox; one that says nothing sent nothing."""
    host.stub("ping", f"cat <<'END'\n{said}\nEND")
    assert host.run(f"{PLAN} pinged 3 fd00:2::1").stdout == f"{read}\n"


@pytest.mark.parametrize("passes", [1420, 1328, 1281, 1279, 700, 61])
def test_the_largest_packet_that_passes_is_found_within_four_bytes(host: HostProgram, passes: int) -> None:
    """Also below what every path of IPv6 should take."""
    host.stub(
        "ping",
        f'for word; do last=$size size=$word; [ "$last" != -s ] || [ $((size + 48)) -le {passes} ] || exit 1; done',
    )
    found = int(host.run(f"{PLAN} passing fd00:2::1 1424").stdout)
    assert passes - 4 <= found <= passes or (found == 0 and passes < 80)


def test_only_peers_that_are_asked_for_are_measured(host: HostProgram) -> None:
    """All but those that nobody can ask, unless they are named."""
    host.stub("ping", "exit 1")
    all_of_them = host.run(f"{PLAN} order_measure 3").stdout
    assert sorted(line.split()[1] for line in all_of_them.splitlines()) == ["carol", "dora", "edgeworth"]
    assert host.run(f"{PLAN} order_measure 3 dora").stdout == "measured dora 0 0 - - - 0\n"


def test_each_rule_that_drops_is_told_once(host: HostProgram) -> None:
    """With the packet that it dropped, and its place."""
    text = TRACE.replace("\\\n", "")
    assert host.run(f"probe_drops <<'END'\n{text}END").stdout.splitlines() == [
        'drops udp 203.0.113.2 203.0.113.1 inet own i udp dport 51825 counter packets 1 bytes 2 drop comment "a b"',
        "drops echo-request fd00:2::1 fd00:1::1 ip6 filter INPUT policy drop",
    ]


def test_the_counters_are_taken_by_nft_and_gone_when_they_are_cleared(host: HostProgram) -> None:
    """Whatever the interface is called, and whatever is known of a peer's endpoint."""
    host.real("nft")
    host.stub("wg", f"case $3 in endpoints) printf '{ENDPOINTS}\\n' ;; listen-port) echo 51825 ;; esac")
    ended = host.run(
        f"interface=a.b-c home=$base/a.b-c; mkdir -p $home; {PLAN} probe_rules carol edgeworth | nft -f -; "
        "nft list ruleset; probe_clear; probe_clear; echo ==; nft list ruleset"
    )
    table, _, cleared = ended.stdout.partition("==\n")
    assert cleared == ""
    assert "table inet mesh_doctor_a_db_mc {" in table
    for words in (
        'ip daddr 203.0.113.2 udp dport 51825 counter packets 0 bytes 0 comment "sent carol"',
        'iifname "a.b-c" ip6 saddr fd00:4::1 icmpv6 type echo-reply counter packets 0 bytes 0 comment "reply-got ed',
        "ip6 saddr 2001:db8::3 udp sport 51825 udp dport 51825 accept",
        'udp dport 51825 counter packets 0 bytes 0 comment "got -"',
    ):
        assert words in table, table
    assert "dora" not in table
    assert "drop" not in table


def test_iptables_tells_the_rules_that_have_dropped(host: HostProgram) -> None:
    """A policy is one of them."""
    saved = (
        "*filter\n:INPUT DROP [5:200]\n:FORWARD ACCEPT [0:0]\n"
        "[12:1234] -A INPUT -p udp --dport 51825 -j DROP\n[1:1] -A INPUT -j ACCEPT\nCOMMIT"
    )
    host.stub("iptables-nft-save", f"cat <<'END'\n{saved}\nEND")
    host.stub("iptables-nft")
    host.stub("iptables-legacy-save", f"cat <<'END'\n{saved}\nEND")
    legacy = host.run("iptables_tools() { echo iptables-legacy; }; iptables_counts").stdout.splitlines()
    assert [line.split()[0] for line in legacy] == ["ip-legacy", "ip-legacy"]
    assert host.run("iptables_counts").stdout.splitlines() == [
        "ip filter INPUT 5 policy drop",
        "ip filter INPUT 12 -A INPUT -p udp --dport 51825 -j DROP",
    ]


def test_no_two_interfaces_share_the_table_of_a_look(host: HostProgram) -> None:
    """Whoever is examined at the same time would take away what the other counts."""
    names = ["wg-a", "wg.a", "wg_a", "wg+a", "wg=a", "wg_ma", "wga"]
    tables = host.run("; ".join(f"interface={name}; probe_table" for name in names)).stdout.split()
    assert len(set(tables)) == len(names)
    assert all(re.fullmatch(r"mesh_doctor_[A-Za-z0-9_]+", table) for table in tables)
