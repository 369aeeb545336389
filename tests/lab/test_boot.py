"""Somebody else rewrites what was set on a host, at boot and after it: it comes back by itself, and the log says so."""

from typing import Any

from tests.lab.hosts import Host, HostSpec
from tests.lab.lab import Lab
from tests.lab.snapshot import difference, snapshot
from tests.lab.stack import Stack, mesh_address, wait_until
from tests.lab.whoami import asks, tells_who_asks

_SITE, _SITE6 = "192.0.2.80", "2001:db8:80::80"
# A look every 30 seconds, and what it takes on a busy machine.
_SECONDS = 60
_BOTH = "for t in iptables ip6tables; do"

# What Docker does with the firewall when it has started, which takes it a while.
_DOCKER = f"""[Unit]
After=network-online.target
Wants=network-online.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'sleep 3; echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding; \\
    {_BOTH} $t -N DOCKER-USER; $t -N DOCKER-FORWARD; $t -A DOCKER-USER -j RETURN; $t -I FORWARD -j DOCKER-FORWARD; \\
    $t -I FORWARD -j DOCKER-USER; $t -P FORWARD DROP; done'
[Install]
WantedBy=multi-user.target
"""
# A firewall of an admin's own, and what cloud-init does with names.
_FIREWALL = f"""[Unit]
After=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'sleep 2; {_BOTH} $t -F; $t -A INPUT -i lo -j ACCEPT; \\
    $t -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT; $t -A INPUT -p tcp --dport 22 -j ACCEPT; done; \\
    ip6tables -A INPUT -p ipv6-icmp -j ACCEPT; {_BOTH} $t -A INPUT -j DROP; done; echo 127.0.0.1 localhost >/etc/hosts'
[Install]
WantedBy=multi-user.target
"""
# Another program's idea of the tunnel, before wg-quick's.
_MAKER = """[Unit]
Before=mesh-boot@testwg.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/sbin/ip link add testwg type veth peer name other
[Install]
WantedBy=multi-user.target
"""


def _install(host: Host, name: str, unit: str) -> None:
    host.run(f"cat >/etc/systemd/system/{name}.service; systemctl daemon-reload", text=unit)
    host.run(f"systemctl enable -q --now {name}.service", check=False)


def _restart_docker(host: Host) -> None:
    """Let it set its rules anew, as after an update."""
    host.run(f"{_BOTH} $t -F FORWARD; $t -F DOCKER-USER; $t -X DOCKER-USER; $t -X DOCKER-FORWARD; done")
    host.run("systemctl restart docker.service")


def _log(host: Host) -> str:
    """Return what the log of this boot says of the mesh."""
    return host.run("journalctl -q -b -o cat -t mesh-testwg", check=False)


def _reaches(host: Host, name: str) -> bool:
    return host.run(f"ping -6 -q -c 1 -W 3 {mesh_address(name, 'testwg')} && echo yes", check=False).endswith("yes\n")


def test_a_relay_and_exit_node_forwards_again_after_docker_has_started(stack: Stack, lab: Lab) -> None:
    """After each boot, and when Docker is started anew; Docker's own rules stay as they are."""
    lab.add([HostSpec("frank", 13, nat=True), HostSpec("grace", 11, root="trixie-ufw-only")])
    grace, frank, edgeworth = lab.hosts["grace"], lab.hosts["frank"], lab.hosts["edgeworth"]

    def forwards() -> bool:
        passed = _reaches(frank, "edgeworth") and _reaches(edgeworth, "frank")
        return passed and asks(edgeworth, _SITE) == "203.0.113.11" and asks(frank, _SITE6) == "2001:db8:1::b"

    try:
        hosts = ["grace", "edgeworth", "frank"]
        members = {name: {"ipv4": f"10.20.0.{number}"} for number, name in enumerate(hosts, 1)}
        mesh: dict[str, Any] = {"hosts": hosts, "port": 51825, "deadline": 20, "ipv4": "10.20.0.0/24"}
        mesh |= {"members": members, "relay": "auto", "exitNode": "grace"}
        stack.write({"testwg": mesh})
        # This brings nft, which stays.
        stack.up()
        stack.destroy()
        _install(grace, "docker", _DOCKER)
        # As at the end, since nft lists chains in the order in which they were made.
        _restart_docker(grace)
        before = snapshot(grace)
        with tells_who_asks(lab.network, "inet", f"{_SITE}/32", f"{_SITE6}/128"):
            stack.up()
            assert forwards()
            for _ in range(2):
                grace.reboot()
                wait_until(forwards, 2 * _SECONDS, every=1)
                assert "what this host forwards for the mesh was turned off or denied: set again" in _log(grace)
                assert "-P FORWARD DROP" in grace.run("iptables -S FORWARD")
                assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
            _restart_docker(grace)
            wait_until(forwards, _SECONDS, every=1)
            stack.destroy()
        assert difference(before, snapshot(grace)) == ""
        assert grace.run("ls -d /run/mesh /etc/systemd/system/mesh*", check=False) == ""
    finally:
        for name in ("frank", "grace"):
            lab.hosts.pop(name).remove()


def test_a_firewall_of_somebodys_own_that_starts_later_does_not_close_the_mesh(stack: Stack, lab: Lab) -> None:
    """In two boots and when it is restarted, for each mesh of the host; names that were written over are back too."""
    lab.add([HostSpec("grace", 11, root="trixie-ufw")])
    grace, carol = lab.hosts["grace"], lab.hosts["carol"]

    def is_open() -> bool:
        rules = grace.run("iptables -S INPUT; ip6tables -S INPUT")
        ports = all(f'--dport {port} -m comment --comment "mesh {name}" -j ACCEPT' in rules
                    for name, port in (("testwg", 51825), ("backwg", 51826)))  # fmt: skip
        return ports and "carol.testwg" in grace.run("cat /etc/hosts") and "carol.backwg" in grace.run("cat /etc/hosts")

    try:
        _install(grace, "firewall", _FIREWALL)
        before = snapshot(grace)
        mesh = {"hosts": ["carol", "grace"], "deadline": 20, "names": True}
        stack.write({"testwg": {**mesh, "port": 51825}, "backwg": {**mesh, "port": 51826}})
        stack.up()
        assert is_open()
        for _ in range(2):
            grace.reboot()
            wait_until(is_open, _SECONDS, every=1)
        # It has sent nothing, so only an open port lets the other one in.
        carol.run(f"ping -6 -q -i 0.5 -c 1 -w 60 {mesh_address('grace', 'testwg')}")
        grace.run("journalctl --rotate --vacuum-time=1s -q 2>/dev/null; systemctl restart firewall.service")
        assert not is_open()
        wait_until(is_open, _SECONDS, every=1)
        wait_until(lambda: "the firewall no longer let in UDP port 51825 or pings" in _log(grace), 10)
        assert "/etc/hosts lacked the names of testwg, or had others: set again" in _log(grace)
        assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
        stack.destroy()
        assert difference(before, snapshot(grace)) == ""
        assert grace.run("ls -d /run/mesh /etc/systemd/system/mesh*", check=False) == ""
    finally:
        lab.hosts.pop("grace").remove()


_RULE = 'rule priority="5182" port port="51825" protocol="udp" accept'
_RESTORE = "for t in iptables ip6tables; do $t-save | grep -v 'mesh testwg' | $t-restore; done"
_SYSCTL = "echo net.ipv6.conf.all.disable_ipv6={} >/etc/sysctl.d/99-own.conf; sysctl -q --system"
# What administrators do to a firewall, or to the kernel's switches, while a mesh runs.
_REWRITES = {
    "rules": ["systemctl reload nftables", "nft flush ruleset; nft -f /etc/nftables.conf"],
    "uncomplicated": ["ufw reload", "ufw disable; ufw --force enable", "ufw delete allow 51825/udp", _RESTORE],
    "zoned": [
        "firewall-cmd --reload",
        "systemctl restart firewalld",
        f"firewall-cmd --zone=public --remove-rich-rule='{_RULE}'",
        f"{_SYSCTL.format(1)}; {_SYSCTL.format(0)}; rm /etc/sysctl.d/99-own.conf",
    ],
}


def test_what_administrators_reload_takes_nothing_away(stack: Stack, lab: Lab) -> None:
    """The next look sets it again, in the words of each firewall; it is started here, and comes by itself else."""
    lab.add(
        [
            HostSpec("rules", 11, firewall="nftables"),
            HostSpec("uncomplicated", 12, root="trixie-ufw", firewall="ufw"),
            HostSpec("zoned", 13, root="bookworm-firewalld"),
        ]
    )
    zoned = lab.hosts["zoned"]
    try:
        wait_until(lambda: zoned.run("firewall-cmd --state 2>&1 | grep '^running'", check=False))
        stack.write({"testwg": {"hosts": ["carol", *_REWRITES], "port": 51825, "deadline": 20}})
        stack.up()
        for number in range(max(map(len, _REWRITES.values()))):
            for name, commands in _REWRITES.items():
                if number < len(commands):
                    lab.hosts[name].run(commands[number])
                    lab.hosts[name].run("systemctl start mesh-keep@testwg.service")
            assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0, number
            assert stack.silent("testwg") == []
    finally:
        for name in _REWRITES:
            lab.hosts.pop(name).remove()


def test_an_interface_that_something_else_makes_at_boot_makes_room_for_the_tunnel(stack: Stack, lab: Lab) -> None:
    """wg-quick would find it there and end, and the host would be silent until somebody looks."""
    carol = lab.hosts["carol"]
    # Where a file says so, it is told before anything changes.
    netdev, enabled = "/etc/systemd/network/10-own.netdev", "/etc/systemd/system/multi-user.target.wants"
    carol.run(
        f"printf '[NetDev]\\nName=testwg\\nKind=wireguard\\n' >{netdev}; "
        f"ln -s /usr/lib/systemd/system/systemd-networkd.service {enabled}/"
    )
    stack.write({"testwg": {"hosts": ["bernard", "carol"], "port": 51825}})
    said = stack.fail()
    carol.run(f"rm {netdev} {enabled}/systemd-networkd.service")
    assert f"{netdev} brings up an interface testwg at boot too" in " ".join(said.split())
    stack.up()
    carol.run("cat >/etc/systemd/system/maker.service; systemctl enable -q maker", text=_MAKER)
    try:
        carol.reboot()
        wait_until(lambda: not stack.silent("testwg"), _SECONDS)
        assert "removed an interface testwg that something else had brought up" in _log(carol)
    finally:
        carol.run("systemctl disable -q maker; rm /etc/systemd/system/maker.service; systemctl daemon-reload")
