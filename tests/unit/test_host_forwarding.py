"""What a host hands on and what not, in real nftables and iptables, and the routing rules of an exit node."""

import pytest

from tests.host_program import HostProgram

# The kernel's switches lie in files of the test, since a namespace has its own and busybox asks them otherwise.
SETUP = """
this_boot=boot-1
mkdir -p "$home/run" "$home/none"
echo 0 >"$base/switch-4"; echo 0 >"$base/switch-6"; echo 1 >"$base/redirects"
forwarding_switch() { echo "$base/switch-$forwarding_version"; }
forwarding_redirects=$base/redirects
printf 'carol K fd00::2 - off fd00::/64,10.20.0.2/32 first\\n' >"$home/run/peers"
"""
ROUTES = """
printf 'behind 192.168.10.0/24 plain\\nbehind 2001:db8:5::/64 masquerade\\n' >"$home/run/settings"
"""
SHOW = "nft -s list ruleset"
DROPS = """
nft -f - <<'RULES'
table inet strict { chain f { type filter hook forward priority 0; policy drop; }
}
table ip6 six { chain f { type filter hook forward priority 0; policy drop; }
}
RULES
"""


def rules_of(listing: str, table: str) -> list[str]:
    """Return the rules of a table with one chain."""
    if f"table {table} {{" not in listing:
        return []
    lines = listing.split(f"table {table} {{", 1)[1].split("\n}", 1)[0].splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith(("chain", "type", "}"))]


def test_a_router_hands_on_what_goes_to_its_networks_and_back_and_nothing_else(host: HostProgram) -> None:
    """Behind a masquerade only answers come back."""
    host.real("nft")
    listing = host.run(f"{SETUP}{ROUTES} forwarding_apply run; {SHOW}; cat $base/switch-4 $base/switch-6").stdout
    assert rules_of(listing, "ip mesh_forward") == [
        "ct state established,related accept",
        'iifname "testwg" ip daddr 192.168.10.0/24 accept',
        'oifname "testwg" ip saddr 192.168.10.0/24 accept',
        "drop",
    ]
    assert rules_of(listing, "ip6 mesh_forward") == [
        "ct state established,related accept",
        'iifname "testwg" ip6 daddr 2001:db8:5::/64 accept',
        'oifname "testwg" ip6 saddr 2001:db8:5::/64 ct state established,related accept',
        "drop",
    ]
    assert rules_of(listing, "ip6 mesh_nat") == [
        'oifname != "testwg" ip6 saddr fd00::/64 ip6 daddr 2001:db8:5::/64 masquerade comment "mesh testwg"'
    ]
    assert rules_of(listing, "ip mesh_nat") == []
    assert listing.endswith("1\n1\n")


def test_an_exit_node_hands_on_to_everywhere_but_into_another_mesh(host: HostProgram) -> None:
    """What is behind it is not masqueraded, since it may have a way back."""
    host.real("nft")
    script = (
        f"{SETUP} mkdir -p $base/backwg; printf 'behind 192.168.10.0/24 plain\\nexit masquerade\\n' "
        f">$home/run/settings; forwarding_apply run; {SHOW}"
    )
    listing = host.run(script).stdout
    assert rules_of(listing, "ip6 mesh_forward") == [
        'iifname "backwg" oifname "testwg" drop',
        'iifname "testwg" oifname "backwg" drop',
        "ct state established,related accept",
        'iifname "testwg" oifname != "testwg" accept',
        'iifname != "testwg" oifname "testwg" ct state established,related accept',
        "drop",
    ]
    assert rules_of(listing, "ip mesh_nat") == [
        'oifname != "testwg" ip saddr 10.20.0.2 ip daddr != 192.168.10.0/24 masquerade comment "mesh testwg"'
    ]
    assert rules_of(listing, "ip6 mesh_nat") == [
        'oifname != "testwg" ip6 saddr fd00::/64 masquerade comment "mesh testwg"'
    ]


@pytest.mark.parametrize("before", ["0", "1"])
def test_afterwards_the_host_forwards_as_it_did_before(host: HostProgram, before: str) -> None:
    """One that was a router gets no fence. What the kernel sets along is set back too."""
    host.real("nft")
    script = (
        f"{SETUP}{ROUTES}{DROPS} echo {before} >$base/switch-4; {SHOW} >$base/a; forwarding_apply run; "
        "nft list table ip mesh_forward >/dev/null 2>&1 && echo fence || echo none; echo 7 >$base/redirects; "
        "forwarding_differs run; forwarding_apply none; "
        f"{SHOW} >$base/b; diff $base/a $base/b && cat $base/switch-4 $base/redirects; ls $base $home"
    )
    host.real("diff")
    out = host.run(script).stdout.splitlines()
    assert out[0] == ("fence" if before == "0" else "none")
    assert out[1:3] == [before, "1" if before == "0" else "7"]
    assert not {"passes", "masquerade", "forwarding-4", "forwarding-6"} & set(out)


def test_chains_that_drop_what_is_forwarded_are_opened_once_for_each_line(host: HostProgram) -> None:
    """By mark, so that what is no longer wanted goes and the rest stays; a lost rule is told and comes back."""
    host.real("nft")
    later = "echo 'behind 192.168.20.0/24 plain' >$home/run/settings"
    lose = "nft flush chain ip6 six f"
    script = (
        f"{SETUP}{ROUTES}{DROPS} forwarding_apply run; forwarding_apply run; {SHOW}; echo ====; {lose}; "
        f"forwarding_differs run; forwarding_apply run; forwarding_differs run; echo ====; {later}; "
        f"forwarding_apply run; {SHOW}"
    )
    first, lost, last = host.run(script).stdout.split("====\n")
    assert sorted(rules_of(first, "inet strict")) == [
        'iifname "testwg" ip daddr 192.168.10.0/24 accept comment "mesh testwg to 192.168.10.0/24"',
        'iifname "testwg" ip6 daddr 2001:db8:5::/64 accept comment "mesh testwg to 2001:db8:5::/64"',
        'oifname "testwg" ip saddr 192.168.10.0/24 accept comment "mesh testwg from 192.168.10.0/24"',
        (
            'oifname "testwg" ip6 saddr 2001:db8:5::/64 ct state established,related accept '
            'comment "mesh testwg answers of 2001:db8:5::/64"'
        ),
    ]
    assert all("ip6" in rule for rule in rules_of(first, "ip6 six"))
    assert lost == "differs forwarding\n"
    assert sorted(rules_of(last, "inet strict")) == [
        'iifname "testwg" ip daddr 192.168.20.0/24 accept comment "mesh testwg to 192.168.20.0/24"',
        'oifname "testwg" ip saddr 192.168.20.0/24 accept comment "mesh testwg from 192.168.20.0/24"',
    ]
    assert rules_of(last, "ip6 six") == []


def test_iptables_are_opened_too_and_closed_again(host: HostProgram) -> None:
    """With a rule of the other IP version in neither."""
    host.real("iptables-nft", "ip6tables-nft")
    script = (
        f"{SETUP}{ROUTES} fence_write() {{ :; }}; fence_is_there() {{ return 1; }}; masquerade_apply() {{ :; }}; "
        "iptables-nft -P FORWARD DROP; ip6tables-nft -P FORWARD DROP; forwarding_apply run; iptables-nft -S FORWARD; "
        "ip6tables-nft -S FORWARD; echo ====; passes_lack; forwarding_apply none; iptables-nft -S FORWARD; "
        "ip6tables-nft -S FORWARD"
    )
    opened, closed = host.run(script).stdout.split("====\n")
    assert '-A FORWARD -d 192.168.10.0/24 -i testwg -m comment --comment "mesh testwg to 192.168.10.0/24"' in opened
    assert "-A FORWARD -s 2001:db8:5::/64 -o testwg -m conntrack --ctstate RELATED,ESTABLISHED" in opened
    assert closed == "-P FORWARD DROP\n-P FORWARD DROP\n"


def test_ufw_routes_what_may_pass_and_forgets_it(host: HostProgram) -> None:
    """Answers pass its own rules."""
    host.etc("ufw/ufw.conf", "ENABLED=yes\n")
    listed = "echo \"ufw route allow x comment '$(printf %s \"$*\" | sed 's/.*comment //')'\" >>$base/ufw"
    host.stub("ufw", f"[ $1 != show ] || cat $base/ufw 2>/dev/null; [ \"$1 $2\" != 'route allow' ] || {listed}")
    host.run(f"export base; {SETUP}{ROUTES} forwarding_apply() {{ :; }}; passes run >$home/passes; passes_open")
    assert [call for call in host.calls() if "route" in call] == [
        "ufw route allow in on testwg to 192.168.10.0/24 comment mesh testwg to 192.168.10.0/24",
        "ufw route allow out on testwg from 192.168.10.0/24 comment mesh testwg from 192.168.10.0/24",
        "ufw route allow in on testwg to 2001:db8:5::/64 comment mesh testwg to 2001:db8:5::/64",
    ]
    host.run("export base; passes_close <$home/passes")
    assert "ufw route delete allow in on testwg to 192.168.10.0/24" in host.calls()


def test_a_host_that_became_a_router_itself_in_another_boot_is_not_fenced(host: HostProgram) -> None:
    """In the same boot it is our own doing, and a fence that somebody flushed comes back."""
    host.real("nft")
    fence = "nft list table ip mesh_forward >/dev/null 2>&1 && echo fence || echo none"
    script = (
        f"{SETUP}{ROUTES} forwarding_apply run; nft flush ruleset; forwarding_differs run; forwarding_apply run; "
        f"{fence}; nft flush ruleset; this_boot=boot-2; forwarding_apply run; {fence}; "
        "forwarding_differs run"
    )
    assert host.run(script).stdout.split("\n") == ["differs forwarding", "differs masquerade", "fence", "none", ""]


EXIT = """
mkdir -p "$home/run" "$home/none"
printf 'address fd00::1/64\\naddress 10.20.0.1/32\\n' >"$home/run/settings"
printf 'gate K fd00::2 - off fd00:0:0:1::/64,10.20.0.2/32,0.0.0.0/0,::/0 first\\n' >"$home/run/peers"
echo 51825 >"$home/firewall"
ip link add testwg type veth peer name other
ip link set testwg up; ip link set other up; ip link set lo up
ip address add 10.20.0.1/32 dev testwg; ip -6 address add fd00::1/64 dev testwg nodad
"""


def test_everything_that_has_no_address_yet_goes_by_the_exit_node_and_the_rest_as_before(host: HostProgram) -> None:
    """Answers from the host's own address, WireGuard's own packets and what has a route of its own stay outside."""
    host.real("ip")
    script = (
        f"{EXIT} ip link add eth0 type veth peer name wan; ip link set eth0 up; ip link set wan up; "
        "ip address add 192.0.2.2/24 dev eth0; ip route add default via 192.0.2.1; ip -6 address add 2001:db8::2/64 "
        "dev eth0 nodad; ip -6 route add default via 2001:db8::1; exit_apply run; exit_is_on run && echo on; "
        "for way in 198.51.100.1 '198.51.100.1 from 192.0.2.2' '198.51.100.1 from 10.20.0.1' "
        "'198.51.100.1 ipproto udp sport 51825' 192.0.2.9 2001:db8:f::1 '2001:db8:f::1 from 2001:db8::2' "
        "'2001:db8:f::1 from fd00::1' '2001:db8:f::1 ipproto udp sport 51825' 2001:db8::9; do "
        "ip route get $way | head -n 1; done"
    )
    on, *ways = host.run(script).stdout.splitlines()
    assert on == "on"
    devices = [way.split(" dev ")[1].split()[0] for way in ways]
    assert devices == ["testwg", "eth0", "testwg", "eth0", "eth0"] * 2


def test_the_rules_of_an_exit_node_follow_the_ports_and_go_without_a_trace(host: HostProgram) -> None:
    """Another interface's port comes and goes; a rule that somebody deleted is told; twice is once."""
    host.real("ip")
    rules = "ip -4 rule; ip -6 rule"
    script = (
        f"{EXIT} ({rules}) >$base/a; exit_apply run; exit_apply run; {rules}; echo ====; mkdir $base/backwg; "
        "echo 51826 >$base/backwg/firewall; exit_ports; ip rule | grep -c 'sport 51826' || :; rm -r $base/backwg; "
        "exit_ports; ip rule | grep -c 'sport 51826' || :; ip -6 rule del pref 5184; exit_is_on run && echo on || echo "
        f"off; exit_apply run; exit_is_on run && echo on || echo off; exit_apply none; ({rules}) >$base/b; "
        "diff $base/a $base/b && ip route show table 5182 2>/dev/null; ls $home"
    )
    host.real("diff")
    first, last = host.run(script, fails=False).stdout.split("====\n")
    assert first.count("5182:") == 2
    assert first.count("suppress_prefixlength 0") == 2
    assert last.split() == ["1", "0", "off", "on", "firewall", "none", "run"]


def test_rules_of_somebody_else_are_not_touched(host: HostProgram) -> None:
    """Nor is the interface that is the way to everywhere already."""
    host.real("ip")
    incoming = "mkdir $home/incoming; cp $home/run/peers $home/run/settings $home/incoming/"
    said = host.run(f"{EXIT}{incoming}; ip rule add pref 5183 from 10.9.9.9 lookup main; check_exit", fails=True).stderr
    assert "a routing rule has a number that mesh uses: '5183: from 10.9.9.9 lookup main'" in said
    other = "mkdir $base/backwg; echo 4 10.30.0.1 >$base/backwg/exit"
    said = host.run(f"rm -r $home; mkdir $home; {EXIT}{incoming}; {other}; check_exit", fails=True).stderr
    assert "this host uses one on interface backwg already" in said
