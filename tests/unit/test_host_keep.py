"""What others take away of what was set on a host comes back, is told in its log, and looking for it costs little."""

import shutil

import pytest

from tests.host_program import PARTS, HostProgram
from tests.unit.test_host_forwarding import ROUTES, SETUP
from tests.unit.test_host_service import SNAPSHOT, WITH

INTERFACE = (PARTS / "wireguard/interface.sh").read_text()
KEEP = f"""
{INTERFACE}
this_boot=boot-1
is_armed() {{ [ -e "$home/deadline" ]; }}
is_running() {{ [ -e /sys/class/net/testwg ]; }}
say() {{ echo "log: $*"; }}
hosts_file=$base/hosts
mkdir -p "$home/run"
printf 'port 51825\\n' >"$home/run/settings"
printf 'carol K fd00::2 - off fd00::/64 first\\n' >"$home/run/peers"
[ -e $base/hosts ] || echo '127.0.0.1 localhost' >$base/hosts
: >"$home/lock"
# In a process of its own, as a timer starts it.
look() (keep)
"""
STRICT = """
nft -f - <<'RULES'
table inet strict { chain i { type filter hook input priority 0; policy drop; }
}
RULES
"""
OPENED = "the firewall no longer let in UDP port 51825 or pings from the mesh: set again"
FORWARDED = "what this host forwards for the mesh was turned off or denied: set again"
NAMED = "hosts lacked the names of testwg, or had others: set again"


def logged(host: HostProgram, *tools: str) -> None:
    """Give the host tools of the machine whose calls are logged."""
    for tool in tools:
        found = shutil.which(tool, path="/usr/sbin:/sbin:/usr/bin:/bin")
        if found is None:
            pytest.skip(f"there is no {tool} on this machine")
        host.stub(tool, f'exec {found} "$@"')


def keeper(host: HostProgram) -> HostProgram:
    """Give the host what it needs to look."""
    host.real("flock")
    logged(host, "nft")
    return host


def test_a_firewall_that_starts_later_does_not_close_the_port(host: HostProgram) -> None:
    """Whoever flushes finds our rules there again after the next look, and the log says so once."""
    ended = keeper(host).run(
        f"{KEEP}{STRICT} firewall_open 51825; look; look; echo flushed; nft flush ruleset; {STRICT} look; look; "
        "firewall_is_open 51825 && echo open"
    )
    assert ended.stdout == f"flushed\nlog: {OPENED}\nopen\n"


def test_a_firewall_that_comes_when_there_was_none_is_opened(host: HostProgram) -> None:
    """Nothing filtered when the port was recorded, and no rule was needed."""
    ended = keeper(host).run(f"{KEEP} firewall_open 51825; look; {STRICT} look; firewall_is_open 51825 && echo open")
    assert ended.stdout == f"log: {OPENED}\nopen\n"


def test_a_check_asks_for_nothing_more_where_nothing_has_changed(host: HostProgram) -> None:
    """One listing of the rules, whatever there is; a changed rule of somebody else is looked at once."""
    keeper(host).run(f"{KEEP}{STRICT} firewall_open 51825; look")
    first = [call for call in host.calls() if call.startswith("nft")]
    assert len(first) > 3
    rule = "nft add rule inet strict i tcp dport 80 accept"
    ended = host.run(
        f"{KEEP}{STRICT} firewall_open 51825; look; for i in 1 2 3 4; do echo look; look; done; {rule}; look; "
        "echo look; look"
    )
    assert ended.stdout == "look\n" * 5
    calls = [call for call in host.calls() if call.startswith("nft")]
    assert calls[-1] == "nft -s -t list ruleset"
    assert calls[calls.index(rule) - 4 : calls.index(rule)] == ["nft -s -t list ruleset"] * 4


def test_what_is_forwarded_is_let_pass_again_after_docker_has_started(host: HostProgram) -> None:
    """It sets the policy to drop and puts chains of its own first; a switch that somebody turned off is on again."""
    keeper(host)
    host.real("iptables-nft", "ip6tables-nft")
    docker = "".join(
        f"{tool} -N DOCKER-USER; {tool} -N DOCKER-FORWARD; {tool} -I FORWARD -j DOCKER-FORWARD; "
        f"{tool} -I FORWARD -j DOCKER-USER; {tool} -P FORWARD DROP; "
        for tool in ("iptables-nft", "ip6tables-nft")
    )
    ended = host.run(
        f"{KEEP}{SETUP}{ROUTES} echo 'port 51825' >>$home/run/settings; forwarding_apply run; look; look; "
        f"echo docker; {docker} look; look; forwarding_differs run; echo off; echo 0 >$base/switch-4; "
        "nft delete table ip mesh_forward; look; look; cat $base/switch-4; forwarding_differs run; "
        "ip6tables-nft -S FORWARD | grep testwg"
    )
    before, rest = ended.stdout.split("docker\n")
    assert before == ""
    denied, rest = rest.split("off\n")
    assert denied == f"log: {FORWARDED}\n"
    assert rest.startswith(f"log: {FORWARDED}\n1\n-A FORWARD -")
    assert rest.count("mesh testwg") == 2


def test_names_that_somebody_wrote_over_come_back(host: HostProgram) -> None:
    """As cloud-init does with the whole file at each boot."""
    names = "echo 'fd00::2 carol.testwg' >$home/run/names"
    ended = keeper(host).run(
        f"{KEEP} {names}; names_apply run; look; look; echo '127.0.0.1 anew' >$base/hosts; look; look; cat $base/hosts"
    )
    assert ended.stdout == (
        f"log: {host.base}/{NAMED}\n127.0.0.1 anew\n# mesh testwg: begin\nfd00::2 carol.testwg\n# mesh testwg: end\n"
    )


def test_routing_rules_that_somebody_dropped_come_back_while_the_tunnel_is_up(host: HostProgram) -> None:
    """As systemd-networkd does with rules that are not its own."""
    keeper(host)
    host.real("ip", "mount")
    plan = (
        "mount -t sysfs none /sys; printf 'address 10.20.0.1/32\\nport 51825\\n' >$home/run/settings; printf "
        "'gate K fd00::2 - off fd00::/64,0.0.0.0/0 first\\n' >$home/run/peers; ip link add testwg type veth; "
        "ip link set testwg up; ip link set lo up; ip address add 10.20.0.1/32 dev testwg"
    )
    ended = host.run(
        f"{KEEP} {plan}; keeps_link() {{ :; }}; exit_apply run; look; look; ip rule del pref 5185; look; "
        "look; exit_is_on run && echo on; "
        "ip link del testwg; look; look"
    )
    assert ended.stdout == "log: the routing rules of the exit node were gone: set again\non\n"


LINK = """
mount -t sysfs none /sys
printf 'address fd00::1/64\\naddress 10.20.0.1/32\\nport 51825\\nmtu 1400\\n' >$home/run/settings
printf 'carol K fd00::2 - off fd00:2::/64,10.20.0.2/32,192.168.9.0/24 first\\n' >$home/run/peers
ip link add testwg type veth peer name other; ip link set other up; ip link set testwg up mtu 1400
ip address add fd00::1/64 dev testwg nodad; ip address add 10.20.0.1/32 dev testwg
ip address add fd00:9::9/64 dev testwg nodad
set_routes none run
"""


@pytest.mark.parametrize(
    "taken",
    [
        "ip -6 address flush dev testwg scope global",
        "ip address del 10.20.0.1/32 dev testwg; ip route flush dev testwg",
        "ip -6 route del fd00:2::/64 dev testwg",
        "ip link set testwg mtu 1500",
        "ip link set testwg down; ip link set testwg up",
        "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; look; echo 0 >/proc/sys/net/ipv6/conf/all/disable_ipv6",
    ],
)
def test_addresses_routes_and_mtu_that_somebody_took_away_come_back(host: HostProgram, taken: str) -> None:
    """As `sysctl --system` and network managers do; what somebody else gave the interface stays."""
    keeper(host)
    host.real("ip", "mount")
    told = "testwg lacked its MTU, an address or a route"
    left = "ip -6 address del fd00:9::9/64 dev testwg 2>/dev/null || :; list_addresses; list_routes"
    ended = host.run(
        f"{KEEP}{LINK} look; look; echo taken; {taken}; look; look; keeps_link && echo there; {left}; "
        "ip link del testwg; look; look"
    )
    before, after = ended.stdout.split("taken\n")
    assert before == ""
    off = (
        "log: testwg lacked its MTU, an address or a route, and that cannot be set again: IPv6 is turned off on this "
        "host (net/ipv6/conf/testwg/disable_ipv6 is 1), and a mesh is IPv6 inside; set it to 0 by sysctl, also where "
        "that is done at boot (/etc/sysctl.d)\n"
    )
    assert after.startswith(f"{off if 'disable_ipv6' in taken else ''}log: {told}: set again\nthere\n")
    assert sorted(after.splitlines()[(3 if "disable_ipv6" in taken else 2) :]) == sorted(
        ["fd00::1/64", "10.20.0.1/32", "fd00::/64", "fd00:2::/64", "fe80::/64", "10.20.0.2/32", "192.168.9.0/24"]
    )


def test_a_tunnel_that_somebody_took_down_stays_down(host: HostProgram) -> None:
    """That is no rewriting of what we set, and a rollout brings it up again."""
    keeper(host)
    host.real("ip", "mount")
    down = "is_running() { ! ip -o link show testwg | grep -q 'state DOWN'; }"
    ended = host.run(f"{KEEP}{LINK} {down}; look; ip link set testwg down; look; look; list_addresses")
    assert ended.stdout == "10.20.0.1/32\n"


@pytest.mark.parametrize(
    "busy", [": >$home/deadline", "exec 7>$home/lock; flock 7", "exec 7>$base/lock; flock 7", "rm -r $home/run"]
)
def test_nothing_is_repaired_while_a_rollout_is_at_work(host: HostProgram, busy: str) -> None:
    """It sets all of that itself, and may go back."""
    ended = keeper(host).run(
        f"{KEEP}{STRICT} firewall_open 51825; look; nft flush ruleset; {STRICT} {busy}; look; "
        "firewall_is_open 51825 && echo open || echo shut"
    )
    assert ended.stdout == "shut\n"


HEADER = (PARTS / "core/header.sh").read_text()
# Two meshes of a host, each of which lacks its names, and repairs that take a while.
TWO = f"""
{KEEP}{HEADER}
say() {{ echo "log: $interface: $*"; }}
mkdir -p $base/backwg/run; : >$base/backwg/lock
for i in testwg backwg; do echo "fd00::2 carol.$i" >$base/$i/run/names; done
names_apply() {{
	echo "begin $interface" >>$base/order; sleep 2; cp "$home/run/names" "$home/there"
	echo "end $interface" >>$base/order
}}
names_are_there() {{ [ -e "$home/there" ]; }}
keeps_open() {{ :; }}
"""


def test_meshes_that_check_at_the_same_moment_wait_for_each_other(host: HostProgram) -> None:
    """After a boot all of them do, and none is to be without its firewall until the next look."""
    ended = keeper(host).run(f"{TWO} (look) & (interface=backwg home=$base/backwg; look) & wait; cat $base/order")
    lines = ended.stdout.splitlines()
    first, second = lines[-4].split()[1], lines[-2].split()[1]
    assert lines[-4:] == [f"begin {first}", f"end {first}", f"begin {second}", f"end {second}"]
    assert {first, second} == {"testwg", "backwg"}
    assert len([line for line in lines if line.endswith("set again")]) == 2


def test_who_waits_for_another_mesh_does_not_hold_its_own_interface(host: HostProgram) -> None:
    """A rollout of it would wait too."""
    ended = keeper(host).run(
        f"{TWO} (: >$base/lock; exec 8<$base/lock; flock 8; sleep 3) & sleep 0.5; (look) & sleep 1; "
        "flock -n $base/testwg/lock true && echo free; wait"
    )
    assert ended.stdout.splitlines()[0] == "free"
    assert "log: testwg: " in ended.stdout


def test_what_cannot_be_repaired_is_told_once_and_tried_again(host: HostProgram) -> None:
    """Until it can be; and then it is told that it is well."""
    names = "echo 'fd00::2 carol.testwg' >$home/run/names"
    stuck = (
        "mkdir $base/t; mount -t tmpfs none $base/t; hosts_file=$base/t/hosts; echo x >$hosts_file; "
        "mount -o remount,ro $base/t"
    )
    keeper(host)
    host.real("mount")
    ended = host.run(
        f"{KEEP} {names}; {stuck}; look; look; look; echo free; mount -o remount,rw $base/t; look; look; look; "
        "names_are_there run && echo there"
    )
    told, after = ended.stdout.split("free\n")
    assert told.startswith(
        f"log: {host.base}/t/hosts lacked the names of testwg, or had others, and that cannot be set"
    )
    assert told.count("log: ") == 1
    assert after == f"log: {host.base}/t/{NAMED}\nthere\n"


@pytest.mark.parametrize(
    ("present", "legacy", "shown"),
    [
        ("nft iptables-nft iptables-legacy iptables ip6tables-nft ip6tables-legacy ip6tables", "", ""),
        ("iptables-nft iptables-legacy iptables", "", "iptables-nft"),
        ("iptables ip6tables", "", "iptables ip6tables"),
        ("nft iptables", "", "iptables"),
    ],
)
def test_rules_that_nft_does_not_show_are_listed_by_iptables(
    host: HostProgram, present: str, legacy: str, shown: str
) -> None:
    """And what it does show is not listed twice."""
    for tool in present.split():
        host.stub(tool)
    assert host.run(f"{legacy} listing_tools").stdout.split() == shown.split()


@pytest.mark.parametrize("init", WITH)
def test_what_checks_comes_with_what_was_staged_by_this_version_and_leaves_nothing(
    host: HostProgram, init: str
) -> None:
    """A host that an earlier version set up has it from its next change on, and is not called drifted until then."""
    WITH[init](host)
    ended = host.run(
        f"{SNAPSHOT} {KEEP} snapshot; echo ====; timer_apply run; timer_is_well keep run && echo well; snapshot; echo "
        "====; : >$home/run/kept; timer_is_well keep run || echo missing; timers_start run; timer_runs() { :; }; "
        "timer_is_well keep run && echo well; snapshot; echo ====; mkdir -p /run/mesh/testwg; timer_apply none; "
        "snapshot; ls $(common); ls -d /run/mesh || :"
    )
    before, earlier, kept, after = ended.stdout.split("====\n")
    assert earlier == f"well\n{before}"
    assert kept.startswith("missing\nwell\n")
    assert "mesh-keep" in kept
    assert after == before


def test_the_first_check_comes_when_the_boot_is_over(host: HostProgram) -> None:
    """After whatever else starts at boot; and what seeks names does not wait for that."""
    assert "After=wg-quick@%i.service multi-user.target\n" in host.run("timer_text keep service").stdout
    assert "    after *\n" in host.run("timer_text keep openrc").stdout
    assert "multi-user" not in host.run("timer_text endpoints service").stdout
    for kind, order in {"keep": "keep", "endpoints": "resolve"}.items():
        assert f"ExecStart=/bin/sh /var/lib/mesh/program {order} %i\n" in host.run(f"timer_text {kind} service").stdout
