"""What firewalld lets in for a mesh, and what it keeps from passing through a host."""

import re

import pytest

from tests.host_program import HostProgram

# Keeps each zone's rich rules in a file, those that last with a name ending in --permanent.
FIREWALLD = """
zone=public when=
for argument; do case $argument in --zone=*) zone=${{argument#*=}} ;; --permanent) when=--permanent ;; esac; done
rules={directory}/zone-$zone$when
touch $rules
for argument; do case $argument in
--state) [ -e {directory}/running ] || exit 252 ;;
--get-default-zone) echo public ;;
--get-active-zones) cat {directory}/active-zones ;;
--add-rich-rule=*) grep -Fxq "${{argument#*=}}" $rules || echo "${{argument#*=}}" >>$rules ;;
--remove-rich-rule=*) grep -Fvx "${{argument#*=}}" $rules >$rules.new; mv $rules.new $rules ;;
--list-rich-rules) cat $rules ;;
--list-all-zones) echo "$zone (active)"; sed 's/^/\\t/' $rules; cat {directory}/zones 2>/dev/null ;;
--list-all-policies) cat {directory}/policies 2>/dev/null ;;
esac; done
exit 0
"""


def with_firewalld(host: HostProgram) -> None:
    """Make firewalld the host's firewall."""
    (host.directory / "running").touch()
    host.stub("firewall-cmd", FIREWALLD.format(directory=host.directory))
    (host.directory / "active-zones").write_text("trusted\n  interfaces: lo\n")
    host.stub("ip")


def zones(host: HostProgram) -> list[list[str]]:
    """Return the rules now and those that last."""
    files = [host.directory / "zone-public", host.directory / "zone-public--permanent"]
    return [file.read_text().splitlines() for file in files]


def test_firewalld_opens_now_and_for_good(host: HostProgram) -> None:
    """The port and echo from mesh addresses, both at run time and permanent, without a reload."""
    with_firewalld(host)
    assert host.run("firewall_open 51825; firewall_open 51825; firewall_describe").stdout == "51825\n"
    for rules in zones(host):
        assert rules == [
            'rule priority="5182" port port="51825" protocol="udp" accept',
            'rule priority="5182" family="ipv6" source address="fd00::/16" icmp-type name="echo-request" accept',
        ]
    assert not [call for call in host.calls() if "--reload" in call]


def test_firewalld_lets_in_pings_from_where_the_mesh_lies(host: HostProgram) -> None:
    """Its rules know addresses and no interfaces; a rule goes when no mesh on the host has addresses there any more."""
    with_firewalld(host)
    host.run(
        "mkdir -p $home/run; echo 'carol key fd12:3456:789a:1::1 - off fd12:3456:789a:1::/64 first' >$home/run/peers"
    )
    host.run("firewall_open 51825")
    other = "interface=other home=$base/other; mkdir -p $home"
    host.run(f"{other}; firewall_open 51830")
    for rules in zones(host):
        assert re.findall('source address="([^"]*)"', str(rules)) == ["fd12:3456::/32", "fd00::/16"]
    host.run("firewall_close 51825")
    for rules in zones(host):
        assert re.findall('source address="([^"]*)"', str(rules)) == ["fd00::/16"]


def test_firewalld_opens_the_zone_that_the_packets_come_into(host: HostProgram) -> None:
    """That of the default route's device, beside the default zone; no other zone is opened."""
    with_firewalld(host)
    host.stub("ip", "echo default via 192.0.2.1 dev eth0 proto static")
    (host.directory / "active-zones").write_text("external\n  interfaces: wan9 eth0\ndocker\n  interfaces: docker0\n")
    host.run("firewall_open 51825")
    opened = sorted(path.name for path in host.directory.glob("zone-*") if path.read_text())
    assert opened == ["zone-external", "zone-external--permanent", "zone-public", "zone-public--permanent"]


def test_firewalld_keeps_what_another_mesh_needs(host: HostProgram) -> None:
    """Echo stays open while another interface of ours has a port, and goes with the last one."""
    with_firewalld(host)
    other = "interface=other home=$base/other; mkdir -p $home"
    host.run(f"firewall_open 51825; ({other}; firewall_open 51830); firewall_close 51825")
    for rules in zones(host):
        assert [word for rule in rules for word in ("51825", "51830", "echo-request") if word in rule] == [
            "echo-request",
            "51830",
        ]
    host.run(f"{other}; firewall_close_all")
    assert zones(host) == [[], []]


def test_a_rule_of_the_admin_in_firewalld_stays(host: HostProgram) -> None:
    """Our priority is the mark; a rule without it is somebody else's."""
    with_firewalld(host)
    theirs = 'rule port port="51825" protocol="udp" accept'
    host.run(f"firewall-cmd --add-rich-rule='{theirs}'; firewall_open 51825; firewall_close 51825")
    assert zones(host) == [[theirs], []]


def test_a_firewalld_that_was_stopped_forgets_us_too(host: HostProgram) -> None:
    """What lasts is removed by its offline command, else the port would open again with the daemon."""
    with_firewalld(host)
    host.run("firewall_open 51825")
    (host.directory / "running").unlink()
    offline = FIREWALLD.format(directory=host.directory).replace("when=\n", "when=--permanent\n")
    host.stub("firewall-offline-cmd", offline)
    host.run("firewall_close 51825")
    assert zones(host)[1] == []


_ROUTES = (
    "printf 'behind 192.168.10.0/24 plain\\nbehind 2001:db8:5::/64 masquerade\\nexit masquerade\\n' >$home/run/settings"
)
# The default routes leave by eth0 and six0, and the networks lie at lan0.
_IP = """
case "$*" in
-4*default) echo default proto static; echo "nexthop via 192.0.2.1 dev eth0 weight 1" ;;
-6*default) echo default via fe80::1 dev six0 ;;
-4*) echo default; echo "nexthop via 192.0.2.1 dev eth0"; echo 192.168.0.0/16 dev lan0; echo "nexthop via 192.0.2.9" ;;
-6*) echo unreachable 2001:db8:5::/56 dev lo; echo default via fe80::1 dev six0; echo 2001:db8:5::/64 dev lan0 ;;
esac
"""
_TO, _FROM, _TO6 = "to 192.168.10.0/24", "from 192.168.10.0/24", "to 2001:db8:5::/64"
_NONE = ["exit", _FROM, _TO, _TO6]
_INTERNAL = "internal (active)\n  target: default\n  interfaces: lan0 other\n  forward: yes\n"
_LISTED = _INTERNAL.replace("lan0", "lan0 testwg")


def _policy(into: str, out: str, accepts: str = "  target: ACCEPT", state: str = " (active)") -> str:
    return f"p{state}\n  priority: -1\n{accepts}\n  ingress-zones: {into}\n  egress-zones: {out}\n"


@pytest.mark.parametrize(
    ("zones", "policies", "stopped"),
    [
        ("", "", _NONE),
        ("", _policy("ANY", "ANY"), []),
        ("", _policy("ANY", "ANY", "  target: CONTINUE\n  services: "), _NONE),
        ("", _policy("ANY", "ANY", "  target: CONTINUE\n  services: ssh"), []),
        ("", _policy("ANY", "ANY", '  target: DROP\n  rich rules: \n\trule family="ipv4" accept'), []),
        ("", _policy("ANY", "ANY", '  target: DROP\n  rich rules: \n\trule family="ipv4" reject'), _NONE),
        ("", _policy("ANY", "ANY", state=""), _NONE),
        ("", _policy("ANY", "HOST"), _NONE),
        (_INTERNAL, _policy("public", "internal"), ["exit", _FROM]),
        (_INTERNAL, _policy("internal dmz", "ANY"), ["exit", _TO, _TO6]),
        (_INTERNAL, _policy("public", "internal") + _policy("ANY", "public").replace("p ", "q "), []),
        (_INTERNAL.replace("other", "six0"), _policy("ANY", "public"), ["exit", _TO, _TO6]),
        ("office (active)\n  sources: 192.168.10.0/24\n", _policy("public", "office"), ["exit", _FROM, _TO6]),
        (_LISTED, "", ["exit"]),
        (_LISTED.replace("forward: yes", "forward: no"), "", _NONE),
        ("trusted\n  target: ACCEPT\n  interfaces: testwg\n", "", [_FROM]),
    ],
)
def test_what_firewalld_lets_not_pass_is_known_beforehand(
    host: HostProgram, zones: str, policies: str, stopped: list[str]
) -> None:
    """By a policy from zone to zone, or between listed interfaces of one zone; answers pass by themselves."""
    with_firewalld(host)
    host.stub("ip", _IP)
    (host.directory / "zones").write_text(zones)
    (host.directory / "policies").write_text(policies)
    ended = host.run(f"mkdir -p $home/run; {_ROUTES}; check_passes run", fails=bool(stopped))
    if stopped:
        assert ended.stderr == (
            f"forwarding: firewalld on this host lets nothing of testwg pass ({', '.join(stopped)}); "
            "make a policy for it, as docs/tasks/routes.md shows\n"
        )
    host.run(f"mkdir -p $home/run; {_ROUTES}; passes run >$home/passes; passes_open")
    (host.directory / "running").unlink()
    host.run("check_passes run")


def test_firewalld_is_not_asked_on_a_host_that_hands_on_nothing(host: HostProgram) -> None:
    """Each question takes it a quarter of a second."""
    with_firewalld(host)
    host.run("mkdir -p $home/run; touch $home/run/settings; check_passes run")
    assert host.calls() == []
