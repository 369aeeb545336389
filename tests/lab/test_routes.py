"""Networks behind a host, and hosts that reach everything else over an exit node."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.documents import ROOT, blocks
from tests.lab.hosts import Host, HostSpec
from tests.lab.keeping import nothing_is_repaired, repairs_again
from tests.lab.lab import Lab
from tests.lab.snapshot import difference, snapshot
from tests.lab.stack import Stack, mesh_address, wait_until
from tests.lab.whoami import PORT, asks, reaches, tells_who_asks

_LAN = ["192.168.10.0/24", "2001:db8:5::/64"]
_MACHINE = ("192.168.10.2", "2001:db8:5::2")
_ROUTER = ("192.168.10.1", "2001:db8:5::1")
_SITE, _SITE6 = "192.0.2.80", "2001:db8:80::80"
_IPV4 = {"bernard": "10.20.0.1", "carol": "10.20.0.2", "dora": "10.20.0.3", "edgeworth": "10.20.0.4"}


def _mesh(hosts: list[str], **members: dict[str, Any]) -> dict[str, Any]:
    entries = {name: {"ipv4": _IPV4.get(name, "10.20.0.9"), **members.get(name, {})} for name in hosts}
    return {"hosts": hosts, "port": 51825, "deadline": 20, "ipv4": "10.20.0.0/24", "members": entries}


def _seen(host: Host) -> tuple[str, str]:
    """Return as whom the machine on the network sees a host, by each IP version."""
    return asks(host, _MACHINE[0]), asks(host, _MACHINE[1])


def _inside(name: str) -> tuple[str, str]:
    return _IPV4[name], mesh_address(name, "testwg")


@pytest.fixture
def lan(lab: Lab) -> Iterator[str]:
    """Return the namespace of a machine behind bernard that tells who asks."""
    lab.network.add_lan("bernard")
    try:
        with tells_who_asks(lab.network, "l-bernard"):
            yield "l-bernard"
    finally:
        lab.network.remove_lan("bernard")


def test_a_network_behind_a_host_is_reached_by_all_others_and_reaches_them(stack: Stack, lab: Lab, lan: str) -> None:
    """By both IP versions, with and without masquerade, after a reboot, and nothing else is forwarded meanwhile."""
    bernard, carol, edgeworth = (lab.hosts[name] for name in ("bernard", "carol", "edgeworth"))
    hosts = ["bernard", "carol", "edgeworth"]
    before = {name: snapshot(lab.hosts[name]) for name in hosts}
    stack.write({"testwg": _mesh(hosts)})
    stack.up()
    assert _seen(carol) == ("", "")
    stack.write({"testwg": _mesh(hosts, bernard={"routes": _LAN})})
    preview = stack.run("preview").output
    assert "+ bernard routes 192.168.10.0/24" in preview
    assert "+ bernard routes 2001:db8:5::/64" in preview
    stack.up()
    assert _seen(carol) == _inside("carol")
    assert _seen(edgeworth) == _inside("edgeworth")
    assert reaches(lab.network, lan, _IPV4["carol"])
    assert reaches(lab.network, lan, mesh_address("edgeworth", "testwg"))
    assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
    with tells_who_asks(lab.network, "inet", f"{_SITE}/32", f"{_SITE6}/128"):
        # The host is a router now, and still none for anybody else, though the world would know the way back.
        lab.network.ip(
            "inet",
            "route add 192.168.10.0/24 via 203.0.113.1 dev p-bernard onlink",
            "route add 2001:db8:5::/64 via fe80::2 dev p-bernard",
        )
        assert not reaches(lab.network, lan, _SITE, PORT)
        assert not reaches(lab.network, lan, _SITE6, PORT)
        nothing_is_repaired(bernard)
        bernard.run("nft delete table ip6 mesh_forward")
        assert reaches(lab.network, lan, _SITE6, PORT)
        assert "no longer routes 192.168.10.0/24" in stack.run("preview", "--refresh").output
    bernard.reboot()
    wait_until(lambda: not stack.silent("testwg"), 90)
    assert _seen(carol) == _inside("carol")
    nothing_is_repaired(bernard)
    bernard.run("echo 0 >/proc/sys/net/ipv4/ip_forward")
    assert "no longer routes 192.168.10.0/24, 2001:db8:5::/64" in stack.run("preview", "--refresh").output
    carol.run("ip route del 192.168.10.0/24")
    assert "has no route to bernard, 192.168.10.0/24" in stack.run("preview", "--refresh").output
    assert _seen(carol)[0] == ""
    stack.up("--refresh")
    assert _seen(carol) == _inside("carol")

    stack.write({"testwg": _mesh(hosts, bernard={"routes": _LAN, "masquerade": True})})
    assert "~ bernard masquerades: by default becomes always" in stack.run("preview").output
    stack.up()
    # The machines behind it need to know nothing of the mesh.
    lab.network.ip(lan, "route del default via 192.168.10.1", "route del default via 2001:db8:5::1")
    assert _seen(carol) == _ROUTER
    assert _seen(edgeworth) == _ROUTER
    lab.network.ip(lan, "route add default via 192.168.10.1")
    assert not reaches(lab.network, lan, _IPV4["carol"])
    bernard.run("nft delete table ip mesh_nat")
    assert "no longer masquerades" in stack.run("preview", "--refresh").output
    stack.up("--refresh")
    repairs_again(bernard)
    assert _seen(carol) == _ROUTER
    stack.write({"testwg": _mesh(hosts)})
    assert "- bernard no longer routes 192.168.10.0/24" in stack.run("preview").output
    stack.up()
    assert _seen(carol) == ("", "")
    stack.destroy()
    assert {n: text for n in hosts if (text := difference(before[n], snapshot(lab.hosts[n])))} == {}


def test_everything_else_goes_over_an_exit_node_and_ssh_is_answered_as_before(stack: Stack, lab: Lab) -> None:
    """The operator comes over the internet here, so an answer through the tunnel would be the end of the session."""
    bernard, carol, edgeworth = (lab.hosts[name] for name in ("bernard", "carol", "edgeworth"))
    hosts = ["bernard", "carol", "edgeworth"]
    before = {name: snapshot(lab.hosts[name]) for name in hosts}
    lab.network.connect_operator()
    try:
        described = {name: stack.describe(lab.hosts[name]) for name in lab.hosts}
        for name in ("bernard", "carol"):
            described[name]["ssh"]["address"] = lab.hosts[name].external_address
        assert "via 169.254.0.1" in carol.run("ip route get 192.0.2.254")
        with tells_who_asks(lab.network, "inet", f"{_SITE}/32", f"{_SITE6}/128"):
            other: dict[str, Any] = {"hosts": ["carol", "dora"], "port": 51826, "deadline": 20}
            stack.write({"testwg": _mesh(hosts), "backwg": other}, described)
            stack.up()
            assert asks(carol, _SITE) == "203.0.113.2"
            stack.write({"testwg": _mesh(hosts) | {"exitNode": "bernard"}, "backwg": other}, described)
            assert "+ carol uses bernard as exit node" in stack.run("preview").output
            # The operator's machine dies in the middle, and all is as before.
            run = stack.start("up")
            with stack.held_at(run):
                run.kill_all()
            assert "lookup 5182" in carol.run("ip -4 rule")
            wait_until(lambda: asks(carol, _SITE) == "203.0.113.2", 120)
            wait_until(lambda: not stack.is_served(), 60)
            assert "lookup 5182" not in carol.run("ip -4 rule; ip -6 rule")
            # An answer has to have the way that the kernel would choose for it.
            carol.run("for f in all eth0; do echo 1 >/proc/sys/net/ipv4/conf/$f/rp_filter; done")
            stack.heal()
            for host in (carol, edgeworth):
                assert asks(host, _SITE) == "203.0.113.1"
                assert asks(host, _SITE6) == "2001:db8:1::1"
            assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
            # Answers through the tunnel would be the end of it.
            assert reaches(lab.network, "ctl", "203.0.113.2")
            carol.run("ip rule add pref 5181 not ipproto udp lookup 5182")
            assert not reaches(lab.network, "ctl", "203.0.113.2")
            carol.run("ip rule del pref 5181")
            # Another tunnel of the host goes its own way.
            assert "203.0.113.2:51826" in lab.hosts["dora"].run("wg show backwg endpoints")
            carol.reboot()
            wait_until(lambda: asks(carol, _SITE) == "203.0.113.1", 90)
            assert asks(carol, _SITE6) == "2001:db8:1::1"
            bernard.reboot()
            wait_until(lambda: asks(edgeworth, _SITE) == "203.0.113.1", 90)
            assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
            nothing_is_repaired(carol)
            carol.run("ip -6 rule del pref 5186")
            assert "has no default route over bernard" in stack.run("preview", "--refresh").output
            assert asks(carol, _SITE6) == "2001:db8:1::2"
            stack.up("--refresh")
            repairs_again(carol)
            assert asks(carol, _SITE6) == "2001:db8:1::1"

            # The world knows the way back, so the exit node need not pretend.
            lab.network.ip("inet", "route add 10.20.0.0/24 via 203.0.113.1 dev p-bernard onlink")
            plain = _mesh(hosts, bernard={"masquerade": False}, carol={"exitNode": "off"})
            stack.write({"testwg": plain | {"exitNode": "bernard"}, "backwg": other}, described)
            preview = stack.run("preview").output
            assert "- carol no longer uses bernard as exit node" in preview
            assert "~ bernard masquerades: by default becomes never" in preview
            stack.up()
            assert asks(edgeworth, _SITE) == _IPV4["edgeworth"]
            assert asks(carol, _SITE) == "203.0.113.2"
        stack.destroy()
        lab.network.ip("inet", "route del 10.20.0.0/24")
        assert {n: text for n in hosts if (text := difference(before[n], snapshot(lab.hosts[n])))} == {}
    finally:
        lab.network.remove_operator()


_FORWARD_DROP = "table inet strict {\n chain f { type filter hook forward priority 0; policy drop; }\n}\n"


@pytest.mark.parametrize("firewall", ["nftables", "ufw", "firewalld"])
def test_firewalls_that_drop_what_is_forwarded_are_opened_for_just_that(stack: Stack, lab: Lab, firewall: str) -> None:
    """Also after a reboot, and each is afterwards as it was."""
    root = {"nftables": "trixie", "ufw": "trixie-ufw-only", "firewalld": "bookworm-firewalld"}[firewall]
    lab.add([HostSpec("grace", 11, root=root, firewall="" if firewall == "firewalld" else firewall)])
    grace, carol = lab.hosts["grace"], lab.hosts["carol"]
    lab.network.add_lan("grace")
    try:
        if firewall == "nftables":
            grace.run("cat >>/etc/nftables.conf && nft -f /etc/nftables.conf", text=_FORWARD_DROP)
        hosts = ["carol", "edgeworth", "grace"]
        mesh = _mesh(hosts, grace={"routes": _LAN}) | {"exitNode": "grace"}
        stack.write({"testwg": mesh})
        if firewall == "firewalld":
            wait_until(lambda: "running" in grace.run("firewall-cmd --state 2>&1", check=False).split(), 30)
            stopped = stack.run("up", succeeds=False)
            assert (
                "host 'grace': forwarding: firewalld on this host lets nothing of testwg pass (exit, from 192"
                in stopped.output
            )
            assert "docs/tasks/routes.md" in stopped.output
            assert not grace.run("ls /sys/class/net/testwg", check=False)
            stack.destroy()
            for block in blocks(ROOT / "docs/tasks/routes.md", "sh"):
                grace.run(f"set -e\n{block}")
        if not grace.run("command -v nft", check=False):
            # This brings nft, which stays.
            stack.up()
            stack.destroy()
        before = snapshot(grace)
        with (
            tells_who_asks(lab.network, "l-grace"),
            tells_who_asks(lab.network, "inet", f"{_SITE}/32", f"{_SITE6}/128"),
        ):
            stack.up()
            assert _seen(carol) == _inside("carol")
            assert asks(lab.hosts["edgeworth"], _SITE) == "203.0.113.11"
            assert reaches(lab.network, "l-grace", _IPV4["carol"])
            assert not reaches(lab.network, "l-grace", _SITE, PORT)
            assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
            grace.reboot()
            wait_until(lambda: _seen(carol) == _inside("carol"), 60)
            # Only edgeworth knows where grace is, and notices within 20 seconds of having something to send.
            wait_until(lambda: asks(lab.hosts["edgeworth"], _SITE6) == "2001:db8:1::b", 60)
            if firewall == "firewalld":
                grace.run("firewall-cmd --policy to-mesh --remove-ingress-zone internal")
                assert "no longer routes 192.168.10.0/24" in stack.run("preview", "--refresh").output
                grace.run("firewall-cmd --policy to-mesh --add-ingress-zone internal")
            stack.destroy()
        assert difference(before, snapshot(grace)) == ""
    finally:
        lab.network.remove_lan("grace")
        lab.hosts.pop("grace").remove()
