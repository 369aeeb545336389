"""`python -m mesh doctor` and `ping` on booted hosts: each fault is planted with others, and told by its code.

One mesh is brought up for all. Looking leaves every host as it was, also when it is cut off.
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from tests.lab.clock import SET_AGAIN, set_clock
from tests.lab.conftest import PREFIX
from tests.lab.hosts import HostSpec
from tests.lab.keeping import nothing_is_repaired
from tests.lab.lab import Lab
from tests.lab.rehearsed import RehearsedStack
from tests.lab.snapshot import difference, snapshot
from tests.lab.stack import Stack, mesh_address, wait_until

_SPECS = [
    HostSpec("bernard", 1),
    HostSpec("carol", 2),
    HostSpec("dora", 3),
    HostSpec("edgeworth", 4, nat=True),
    # It has iptables and no nft.
    HostSpec("fiona", 5, root="trixie-ufw"),
]
_PORT = 51825
_LOOK = "systemctl start mesh-endpoints@testwg.service"
_HOLD_PORT = (
    "perl -MSocket -e 'socket(S, PF_INET, SOCK_DGRAM, 17); "
    f"bind(S, sockaddr_in({_PORT}, INADDR_ANY)) or die; sleep 300' >/dev/null 2>&1 </dev/null & echo $! >/run/holder"
)


_MESH = {
    "hosts": [spec.name for spec in _SPECS],
    "port": _PORT,
    "members": {"carol": {"routes": ["2001:db8:5::/64"]}},
}
# Every second ping that comes from edgeworth, of those of the usual size.
_LOSSY = f"""table inet own {{ chain own_input {{ type filter hook input priority 0;
ip6 saddr {mesh_address("edgeworth", "testwg")} icmpv6 type echo-request meta length 104 numgen inc mod 2 == 0 drop; }}
}}
"""


@dataclass(frozen=True)
class Fault:
    """What somebody did to a host or to the network, how it is taken back, and what has to be found."""

    host: str
    plant: str
    undo: str
    finds: frozenset[tuple[str, str, str]]
    evidence: str = ""


def _drop(host: str, rules: str, *finds: tuple[str, str, str], evidence: str = "") -> Fault:
    hook, _, match = rules.partition(": ")
    chain = f"table inet own {{ chain own_{hook} {{ type filter hook {hook} priority 0; {match} drop; }}\n}}\n"
    return Fault(host, f"nft -f - <<'END'\n{chain}END", "nft delete table inet own", frozenset(finds), evidence)


def _key_of(peer: str) -> str:
    """Return what prints the public key of a peer, on any host."""
    return f"$(awk '$1 == \"{peer}\" {{ print $2 }}' /var/lib/mesh/testwg/run/peers)"


def _without(peer: str) -> str:
    """Return what takes a peer from an interface and leaves the preshared key of the two in a file."""
    shared = f"wg show testwg preshared-keys | awk -v key={_key_of(peer)} '$1 == key {{ print $2 }}'"
    return f"{shared} >/run/psk; wg set testwg peer {_key_of(peer)} remove"


def _far(host: str) -> str:
    return mesh_address(host, "testwg")


# A repair that is a command on a host, or pulumi's; all else is for a person to decide.
_UP = "pulumi up --refresh"
_ON_HOST = re.compile(
    rf"(?P<command>(?:nft|ip6?tables(?:-legacy)?|sysctl|wg) .*) on (?P<host>[a-z ]+?)(?:, then {_UP})?"
)


def _key(finding: Mapping[str, Any]) -> tuple[str, str, str]:
    return finding["code"], finding["host"], finding["peer"]


_TESTS: dict[str, list[Fault | str]] = {
    "firewalls": [
        "block bernard carol",
        _drop(
            "dora", f"input: ip saddr 203.0.113.1 udp dport {_PORT}", ("W17", "dora", "bernard"),
            evidence=f"dropped in inet own own_input: ip saddr 203.0.113.1 udp dport {_PORT} drop",
        ),
        _drop(
            "edgeworth", f"output: ip6 daddr {_far('carol')} icmpv6 type echo-request", ("W15", "edgeworth", "carol"),
            evidence="dropped in inet own own_output: ",
        ),
        _drop(
            "carol", f"input: ip6 saddr {_far('dora')} icmpv6 type echo-request", ("W18", "carol", "dora"),
            evidence="dropped in inet own own_input: ",
        ),
        Fault(
            "fiona", f"iptables -I INPUT -s 203.0.113.1 -p udp --dport {_PORT} -j DROP",
            f"iptables -D INPUT -s 203.0.113.1 -p udp --dport {_PORT} -j DROP",
            frozenset({("W17", "fiona", "bernard")}), "dropped in ip filter INPUT: ",
        ),
        Fault(
            "fiona", f"iptables-legacy -I OUTPUT -d 203.0.113.2 -p udp --dport {_PORT} -j DROP",
            f"iptables-legacy -D OUTPUT -d 203.0.113.2 -p udp --dport {_PORT} -j DROP; iptables-legacy -F",
            frozenset({("W15", "fiona", "carol")}), "dropped in iptables-legacy filter OUTPUT: -A OUTPUT -d 203.0.113",
        ),
        Fault(
            "edgeworth", "ip route add blackhole 203.0.113.1", "ip route del blackhole 203.0.113.1",
            frozenset({("W13", "edgeworth", "bernard")}),
        ),
    ],
    "settings": [
        Fault(
            "carol", f"wg genpsk | wg set testwg peer {_key_of('fiona')} preshared-key /dev/stdin", "",
            frozenset({("W07", "carol", "fiona")}),
        ),
        Fault(
            "edgeworth", f"wg set testwg peer {_key_of('bernard')} persistent-keepalive off", "",
            frozenset({("W20", "edgeworth", "bernard")}),
        ),
        Fault(
            "bernard", f"wg set testwg peer {_key_of('fiona')} allowed-ips fd00:dead::/64", "",
            frozenset({("W08", "bernard", "fiona")}),
        ),
        Fault("dora", "ip link set testwg mtu 1300", "", frozenset({("W22", "dora", "")})),
        Fault(
            "edgeworth", set_clock("-3 days"), SET_AGAIN, frozenset({("W23", "edgeworth", "")}),
            "its clock is 3 days behind the others",
        ),
        "narrow bernard carol",
        Fault(
            "dora", "ip route add unreachable 203.0.113.1", "ip route del unreachable 203.0.113.1",
            frozenset({("W13", "dora", "bernard")}),
        ),
        Fault(
            "carol",
            "ip link add ov type veth peer name ov2; ip link set ov up; ip link set ov2 up; ip -6 route add "
            f"{_far('dora').removesuffix('1')}/72 dev ov",
            "ip link del ov", frozenset({("W14", "carol", "dora")}), "ov has ",
        ),
    ],
    "hosts": [
        Fault("carol", "ip link set testwg down", "", frozenset({("W04", "carol", "")})),
        Fault(
            "dora", "wg genkey | wg set testwg private-key /dev/stdin", "", frozenset({("W05", "dora", "")}),
            "by the key that it runs it is known to nobody",
        ),
        Fault(
            "edgeworth", f"systemctl stop wg-quick@testwg; {_HOLD_PORT}", "kill $(cat /run/holder); rm /run/holder",
            frozenset({("W03", "edgeworth", ""), ("W12", "edgeworth", "")}), "UDP port 51825 is taken by perl",
        ),
        "refuse bernard",
    ],
    "keys": [
        Fault(
            "carol",
            f"k=$(wg genkey | wg pubkey); wg set testwg peer {_key_of('dora')} remove peer $k allowed-ips "
            f"$(awk '$1 == \"dora\" {{ print $6 }}' /var/lib/mesh/testwg/run/peers)",
            "", frozenset({("W06", "carol", "dora")}), "dora itself runs ",
        ),
        "copy bernard edgeworth",
        Fault(
            "dora", "sysctl -q net.ipv6.conf.default.disable_ipv6=1", "sysctl -q net.ipv6.conf.default.disable_ipv6=0",
            frozenset({("W25", "dora", "")}), "IPv6 is disabled on default",
        ),
    ],
    "services": [
        Fault(
            "carol", "echo 0 >/proc/sys/net/ipv6/conf/all/forwarding", "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding",
            frozenset({("W26", "carol", "")}),
        ),
        Fault(
            "edgeworth", "sysctl -q net.ipv6.icmp.echo_ignore_all=1", "sysctl -q net.ipv6.icmp.echo_ignore_all=0",
            frozenset({("W35", "edgeworth", "")}), "does not answer pings of bernard, and so with carol, dora, fiona",
        ),
        Fault(
            "carol", f"sed -i 's/^203.0.113.3 /198.51.100.77 /' /etc/hosts; {_LOOK}",
            f"sed -i 's/^198.51.100.77 /203.0.113.3 /' /etc/hosts; {_LOOK}",
            frozenset({("W24", "carol", "dora")}), "dora.example.org leads to 198.51.100.77, and dora has no such",
        ),
        Fault(
            "fiona", f"sed -i '/dora.example.org/d' /etc/hosts; {_LOOK}",
            f"echo 203.0.113.3 dora.example.org >>/etc/hosts; {_LOOK}",
            frozenset({("W24", "fiona", "dora")}), "dora.example.org does not resolve here",
        ),
        Fault(
            "dora", "sed -i 's/^digest .*/digest 0123/' /var/lib/mesh/testwg/run/settings", "",
            frozenset({("W30", "dora", "")}),
        ),
        Fault(
            "bernard", "ip link add ov type veth peer name ov2; ip address add "
            f"{_far('carol').removesuffix('1')}9/64 dev ov nodad; ip link set ov2 up; ip link set ov up",
            "ip link del ov", frozenset({("W14", "bernard", "carol")}), "go by ov",
        ),
    ],
    "reverse path": [
        Fault(
            "bernard",
            "sysctl -q net.ipv4.conf.eth0.rp_filter=1; ip route add 203.0.113.2/32 dev mgmt0",
            "sysctl -q net.ipv4.conf.eth0.rp_filter=0; ip route del 203.0.113.2/32 dev mgmt0",
            frozenset({("W27", "bernard", "carol")}), "answers to carol would go by mgmt0",
        ),
        Fault(
            "dora", f"ip address del {_far('dora')}/64 dev testwg", "", frozenset({("W09", "dora", "")}),
        ),
    ],
    "ports and peers": [
        # Who could only seek it at the planned port has no fault of the path told.
        Fault("dora", "wg set testwg listen-port 51999", "", frozenset({("W11", "dora", "")}), "port 51999, not 51825"),
        Fault(
            "bernard", f"{_without('carol')}; wg set testwg peer {_key_of('carol')} preshared-key /run/psk allowed-ips "
            "$(awk '$1 == \"carol\" { print $6 }' /var/lib/mesh/testwg/run/peers); rm /run/psk",
            "", frozenset({("W33", "bernard", "carol")}), "knows no endpoint of carol, 203.0.113.2:51825",
        ),
        Fault("edgeworth", "echo '# mine' >>/etc/wireguard/testwg.conf", "", frozenset({("W31", "edgeworth", "")})),
        Fault(
            "fiona", "ip link add ov type veth peer name ov2; ip address add "
            f"{_far('carol').removesuffix('1')}9/64 dev ov nodad noprefixroute; ip link set ov2 up; ip link set ov up",
            "ip link del ov", frozenset({("W38", "fiona", "")}), "ov has ",
        ),
    ],
    "unknown to any counter": [
        # What is thrown away between WireGuard and the first hook of the firewall.
        Fault(
            "carol", "nft -f - <<'END'\ntable netdev own { chain i { type filter hook ingress device testwg "
            f"priority 0; ip6 saddr {_far('dora')} drop; }}\n}}\nEND", "nft delete table netdev own",
            frozenset({("W36", "carol", "dora")}), "ask-sent 8, ask-in 0",
        ),
        "damage bernard carol",
    ],
    "endpoints": [
        *(
            Fault(
                one, f"wg set testwg peer {_key_of(other)} endpoint 203.0.113.99:{_PORT}", "",
                frozenset({("W34", one, other)}), f"sends to 203.0.113.99:{_PORT}, and the plan says ",
            )
            for one, other in (("bernard", "carol"), ("carol", "bernard"))
        ),
    ],
}  # fmt: skip
# What follows from a planted fault, and may be told beside it.
_ALSO = {
    "services": {("W31", "dora", "")},
    "keys": {("W10", "edgeworth", "bernard")},
    "reverse path": {("W16", "bernard", "carol"), ("W14", "dora", "")},
}


def _network(lab: Lab, words: str) -> tuple[Callable[[], object], Callable[[], object], Fault]:
    """Return what plants and what takes back a fault of the network, or one of two hosts."""
    verb, one, *rest = words.split()
    number = {spec.name: spec.number for spec in _SPECS}
    network = lab.network

    def finds(*found: tuple[str, str, str], evidence: str = "") -> Fault:
        return Fault(one, "", "", frozenset(found), evidence)

    if verb == "block":
        plant = finds(("W16", "bernard", "carol"), ("W16", "carol", "bernard"), evidence="and none arrived at carol")
        return lambda: network.block_udp(number[one], number[rest[0]], _PORT), network.unblock, plant
    if verb == "narrow":
        plant = finds(("W21", "bernard", "carol"), evidence="bernard → carol: 132")
        return lambda: network.narrow(number[one], number[rest[0]], 1400), network.unblock, plant
    if verb == "damage":
        ends = {name: lab.hosts[name] for name in (one, rest[0])}
        (a, b), port = (f"203.0.113.{number[name]}" for name in ends), f"udp dport {_PORT}"
        rules = "\n".join(f"ip saddr {x} ip daddr {y} {port} @th,256,32 set 0x1234" for x, y in ((a, b), (b, a)))

        def damage() -> None:
            hook = "type filter hook forward priority 0"
            network.nft("inet", f"table ip damage {{\nchain f {{\n{hook}\n{rules}\n}}\n}}\n")
            for host, peer in ((one, rest[0]), (rest[0], one)):
                # So that the two have no session any more.
                again = "wg-quick strip testwg | wg syncconf testwg /dev/stdin"
                ends[host].run(f"wg set testwg peer {_key_of(peer)} remove; {again}")

        return damage, lambda: network.nft("inet", "delete table ip damage\n"), finds(("W32", one, rest[0]))
    if verb == "refuse":
        plant = finds(("W01", "bernard", ""))
        return lambda: network.refuse_ssh(one), lambda: network.accept_ssh(one), plant

    def copy() -> None:
        key = lab.hosts[one].run("wg show testwg private-key")
        lab.hosts[rest[0]].run("wg set testwg private-key /dev/stdin", text=key)

    return copy, lambda: None, finds(("W28", one, rest[0]))


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack whose mesh runs on four hosts that repair nothing by themselves."""
    with Lab(_SPECS, prefix=f"{PREFIX}o") as lab:
        stack = RehearsedStack(lab, tmp_path_factory.mktemp("doctor"))
        for name in lab.hosts.keys() - {"dora"}:
            lab.hosts[name].run("echo 203.0.113.3 dora.example.org >>/etc/hosts")
        write(stack, _MESH)
        stack.up()
        for host in lab.hosts.values():
            nothing_is_repaired(host)
        yield stack


def write(stack: Stack, mesh: dict[str, Any]) -> None:
    """Write the stack file; dora is found by her name."""
    hosts = {name: stack.describe(host) for name, host in stack.lab.hosts.items()}
    del hosts["dora"]["externalIps"]
    stack.write({"testwg": mesh}, {**hosts, "dora": {**hosts["dora"], "externalName": "dora.example.org"}})


def diagnose(stack: Stack, *options: str, succeeds: bool | None = False) -> list[dict[str, Any]]:
    """Return what doctor finds."""
    outcome = stack.companion("doctor", "--json", *options, succeeds=succeeds)
    found: list[dict[str, Any]] = json.loads(outcome.output)["meshes"]["testwg"]["findings"]
    return found


def is_by_command(finding: Mapping[str, Any]) -> bool:
    """Tell whether a command repairs it; not the path itself, of which W27 and W32 are planted here."""
    repair = finding["repair"]
    return finding["code"] not in ("W27", "W32") and bool(repair == _UP or _ON_HOST.fullmatch(repair))


def repair_as_told(stack: Stack, findings: list[dict[str, Any]]) -> None:
    """Run the command of each finding where it says, and then pulumi, which most of them name."""
    for each in findings:
        if told := _ON_HOST.fullmatch(each["repair"]):
            host = each["host"] if told["host"] == "that host" else told["host"]
            stack.lab.hosts[host].run(told["command"])
    stack.up("--refresh")


def try_group(stack: Stack, group: str) -> None:
    """Plant the faults of a group, ask, and repair as is told; what no command repairs is taken back before."""
    lab = stack.lab
    undo: list[tuple[Fault, Callable[[], object]]] = []
    take_back: Callable[[], object]
    wanted: list[Fault] = []
    again: list[dict[str, Any]] = []
    is_repaired = False
    try:
        for entry in _TESTS[group]:
            if isinstance(entry, str):
                plant, take_back, fault = _network(lab, entry)
                plant()
                undo.append((fault, take_back))
            else:
                fault = entry
                lab.hosts[fault.host].run(fault.plant)
                if fault.undo:
                    undo.append((fault, partial(lab.hosts[fault.host].run, fault.undo, check=False)))
            wanted.append(fault)
        before = {name: snapshot(host) for name, host in lab.hosts.items()}
        findings = diagnose(stack)
        changed = {name: difference(before[name], snapshot(host)) for name, host in lab.hosts.items()}
        done = [each for each in findings if is_by_command(each)]
        by_command = {_key(each) for each in done}
        for fault, take_back in [entry for entry in undo if not entry[0].finds <= by_command]:
            take_back()
            undo.remove((fault, take_back))
        repair_as_told(stack, done)
        again = diagnose(stack, succeeds=None)
        is_repaired = True
    finally:
        for _, take_back in undo:
            take_back()
        if not is_repaired:
            stack.up("--refresh")
    found = {_key(each): json.dumps(each, ensure_ascii=False) for each in findings}
    told = "\n".join(found.values())
    expected = {key for fault in wanted for key in fault.finds}
    assert expected <= found.keys(), (expected - found.keys(), told)
    assert found.keys() - expected <= _ALSO.get(group, set()), told
    for fault in wanted:
        assert fault.evidence in told.replace('\\"', '"'), told
    assert set(changed.values()) == {""}, changed
    assert [each for each in again if _key(each) in expected] == []
    wait_until(lambda: not stack.silent("testwg"), 60)


@pytest.mark.parametrize("group", _TESTS)
def test_each_planted_fault_is_found_and_nothing_else(mesh: Stack, group: str) -> None:
    """Several at once, each by its code, with what shows it; the hosts are then as they were before the look."""
    try_group(mesh, group)


def test_a_change_that_was_cut_off_is_told_as_unfinished(mesh: Stack) -> None:
    """Of each host that has it, whatever it runs meanwhile."""
    write(mesh, {**_MESH, "mtu": 1400, "deadline": 120})
    run = mesh.start("up")
    with mesh.held_at(run):
        run.kill_all()
    found = {(each["code"], each["host"], each["peer"]) for each in diagnose(mesh)}
    assert found == {("W29", host, "") for host in mesh.lab.hosts}
    write(mesh, _MESH)
    mesh.up("--refresh")
    wait_until(lambda: not mesh.silent("testwg"), 60)
    mesh.companion("doctor", "--interface", "testwg", "--only", "bernard")


def _tables(lab: Lab) -> str:
    """Return what lists tables of a measurement, on all hosts."""
    return "".join(
        host.run("nft list tables 2>/dev/null | grep mesh_doctor", check=False) for host in lab.hosts.values()
    )


def test_nothing_is_left_of_a_look_that_was_killed(mesh: Stack) -> None:
    """On one host what counts is killed, and what is to clear up goes on; then the operator's process is."""
    lab = mesh.lab
    before = {name: snapshot(host) for name, host in lab.hosts.items()}
    lab.network.block_udp(1, 2, _PORT)
    try:
        assert ("bernard", "carol") in mesh.silent("testwg", 1)
        words = lab.command(str(mesh.project / ".venv/bin/python"), "-m", "mesh", "doctor")
        with subprocess.Popen(words, cwd=mesh.project, env=mesh.environment, stdout=subprocess.DEVNULL) as looking:
            wait_until(lambda: _tables(lab).count("mesh_doctor_testwg") == 2, 60)
            lab.hosts["carol"].run("pkill -9 -f '[p]rogram-.* serve '")
            looking.kill()
        assert "mesh_doctor_testwg" in _tables(lab)
        wait_until(lambda: not _tables(lab) and not mesh.is_served(), 60)
    finally:
        lab.network.unblock()
    wait_until(lambda: not mesh.silent("testwg"), 60)
    mesh.companion("doctor")
    changed = {name: difference(before[name], snapshot(host)) for name, host in lab.hosts.items()}
    assert set(changed.values()) == {""}, changed


def test_pings_tell_loss_times_and_the_largest_packet_of_both_directions(mesh: Stack) -> None:
    """Of two hosts, or of all; a pair whose large packets are lost ends with 1."""
    shown = mesh.companion("ping", "bernard", "carol", "--interface", "testwg", "--count", "3").output
    assert shown.count("│ 1420 bytes") == 2
    assert shown.count("│ 0% ") == 2
    lab = mesh.lab
    lab.network.narrow(1, 2, 1400)
    lab.hosts["dora"].run("nft -f -", text=_LOSSY)
    try:
        told = mesh.companion("ping", "--all", "--count", "20", "--json", succeeds=False)
    finally:
        lab.network.unblock()
        lab.hosts["dora"].run("nft delete table inet own")
    measured = json.loads(told.output)["meshes"]["testwg"]["directions"]
    directions = {(each["host"], each["peer"]): each for each in measured}
    assert len(directions) == 20
    assert all(1324 <= directions[pair]["largest"] <= 1328 for pair in (("bernard", "carol"), ("carol", "bernard")))
    lossy = directions["edgeworth", "dora"]
    assert lossy["received"] == 10
    assert lossy["loss"] == 0.5
    well = directions["dora", "edgeworth"]
    assert (well["loss"], well["largest"]) == (0, 1420)
    assert 0 < well["least"] <= well["mean"] <= well["most"]
