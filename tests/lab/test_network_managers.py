"""systemd-networkd and NetworkManager run hosts' networks, restart, and leave the mesh as it is.

What else makes interfaces at boot is refused where it makes one of the same name.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.documents import ROOT, read
from tests.lab.conftest import PREFIX
from tests.lab.hosts import Host, HostSpec
from tests.lab.keeping import nothing_is_repaired, repairs_again
from tests.lab.lab import Lab
from tests.lab.rehearsed import RehearsedStack
from tests.lab.stack import Stack, wait_until

_SPECS = [HostSpec("gate", 1), HostSpec("networkd", 2), HostSpec("manager", 3, root="trixie-networkmanager")]
# What the lab gives a host by itself, as networkd's own, and a file of somebody who wants all links alike.
_NETWORKD = """set -e
mkdir -p /etc/systemd/network
cd /etc/systemd/network
cat >10-eth0.network <<END
[Match]
Name=eth0
[Network]
Address=203.0.113.2/32
Address=198.51.100.2/32
Address=2001:db8:1::2/128
Address=fe80::2/64
IPv6AcceptRA=no
[Route]
Destination=169.254.0.1/32
Scope=link
[Route]
Gateway=169.254.0.1
GatewayOnLink=yes
PreferredSource=203.0.113.2
[Route]
Gateway=fe80::1
GatewayOnLink=yes
END
printf '[Match]\\nName=mgmt0\\n[Link]\\nUnmanaged=yes\\n' >10-mgmt0.network
printf '[Match]\\nName=*\\n[Network]\\nDHCP=no\\nLinkLocalAddressing=no\\n' >99-all.network
systemctl start systemd-networkd
"""

# What has an interface backwg at boot, each in a file that its own tool writes or takes.
_MAKERS = {
    "/etc/NetworkManager/system-connections/my vpn.nmconnection": """
key=$(wg genkey)
nmcli --offline connection add type wireguard con-name 'my vpn' ifname backwg wireguard.private-key "$key" >"$file"
""",
    "/etc/network/interfaces.d/vpn": """
cat >"$file" <<END
auto backwg
iface backwg inet6 static
    address fd00:5::1/64
    pre-up ip link add dev backwg type wireguard
END
ifquery --list | grep -x backwg
""",
    "/etc/netplan/60-vpn.yaml": """
cat >"$file" <<END
network:
  tunnels:
    backwg:
      mode: wireguard
      key: $(wg genkey)
      addresses: [fd00:5::1/64]
END
netplan generate
ls /run/systemd/network/*backwg.netdev
ln -s /usr/lib/systemd/system/systemd-networkd.service /etc/systemd/system/multi-user.target.wants/
""",
}
# What the page has whoever takes something out of a file of netplan run.
(_AFTER_NETPLAN,) = re.findall("`(netplan [^`]*)` after you took it out", read(ROOT / "docs/troubleshooting/host.md"))


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack whose mesh runs, with an exit node that the two others use."""
    with Lab(_SPECS, prefix=f"{PREFIX}n") as lab:
        lab.hosts["networkd"].run(_NETWORKD)
        stack = RehearsedStack(lab, tmp_path_factory.mktemp("managed"))
        members: dict[str, Any] = {spec.name: {"ipv4": f"10.20.0.{spec.number}"} for spec in _SPECS}
        mesh = {"hosts": list(lab.hosts), "port": 51825, "ipv4": "10.20.0.0/24", "exitNode": "gate"}
        stack.write({"testwg": {**mesh, "members": members}})
        stack.up()
        yield stack


def _network(host: Host) -> str:
    """Return what of the mesh others could take away; a link-local address serves nothing there."""
    shown = "ip -o addr show testwg; ip route show table 5182; ip -6 route show dev testwg; ip rule; ip -6 rule"
    return host.run(f"({shown}) | grep -v fe80:")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("networkd", "systemctl restart systemd-networkd; networkctl reload; networkctl reconfigure eth0"),
        ("manager", "systemctl restart NetworkManager; nmcli general reload"),
    ],
)
def test_a_network_manager_that_restarts_takes_nothing_of_the_mesh_away(mesh: Stack, name: str, command: str) -> None:
    """Also where it runs every link, and before anything of ours looks again."""
    host = mesh.lab.hosts[name]
    nothing_is_repaired(host)
    before = _network(host)
    host.run(f"{command}; sleep 2")
    assert host.run(f"systemctl is-active {'systemd-networkd' if name == 'networkd' else 'NetworkManager'}")
    assert _network(host) == before
    assert mesh.silent("testwg") == []
    repairs_again(host)


def test_a_host_is_in_the_mesh_again_after_a_boot_under_networkd(mesh: Stack) -> None:
    """And a restart is as harmless then."""
    host = mesh.lab.hosts["networkd"]
    host.run("systemctl enable systemd-networkd 2>&1")
    host.reboot()
    wait_until(lambda: not mesh.silent("testwg"), 90)
    nothing_is_repaired(host)
    before = _network(host)
    host.run("systemctl restart systemd-networkd; sleep 2")
    assert _network(host) == before
    repairs_again(host)


def test_addresses_come_back_where_networking_was_turned_off_and_on(mesh: Stack) -> None:
    """NetworkManager takes away what every device has that it knows; the next look of ours gives the mesh its own."""
    host = mesh.lab.hosts["manager"]
    # The wires themselves are the lab's.
    host.run("for device in eth0 mgmt0; do nmcli device set $device managed no; done")
    before = _network(host)
    host.run("nmcli networking off; sleep 1")
    assert "inet" not in host.run("ip -o addr show testwg")
    host.run("nmcli networking on")
    wait_until(lambda: _network(host) == before, 60)
    wait_until(lambda: not mesh.silent("testwg"), 30)


def test_an_interface_that_something_else_makes_at_boot_is_refused_on_a_host_that_joins(
    mesh: Stack, tmp_path: Path
) -> None:
    """The others stay as they are; another name will do, and so does each file that is named when it is taken out."""
    manager, others = mesh.lab.hosts["manager"], ["gate", "networkd"]
    for file, make in _MAKERS.items():
        manager.run(f"set -e; umask 077; file='{file}'\n{make}")
    stack = RehearsedStack(mesh.lab, tmp_path / "joined")
    stack.write({"backwg": {"hosts": others, "port": 51826}})
    stack.up()
    before = [mesh.lab.hosts[name].run("wg showconf backwg") for name in others]
    stack.write({"backwg": {"hosts": [*others, "manager"], "port": 51826}})
    named: list[str] = []
    for _ in _MAKERS:
        said = " ".join(stack.fail().split())
        found = re.search(
            r"host 'manager': (/.*) brings up an interface backwg at boot too, and wg-quick would stop", said
        )
        assert found is not None, said
        assert "backwg: nothing was changed" in said
        assert [mesh.lab.hosts[name].run("wg showconf backwg") for name in others] == before
        if not named:
            _has_another_name(mesh, tmp_path / "named")
        named.append(found[1])
        manager.run(f"rm '{found[1]}'")
        if "netplan" in found[1]:
            manager.run(_AFTER_NETPLAN)
    assert sorted(named) == sorted(_MAKERS)
    manager.run("rm /etc/systemd/system/multi-user.target.wants/systemd-networkd.service")
    stack.up()
    assert stack.silent("backwg") == []
    stack.destroy()


def _has_another_name(mesh: Stack, folder: Path) -> None:
    stack = RehearsedStack(mesh.lab, folder)
    stack.write({"officewg": {"hosts": ["gate", "manager"], "port": 51827}})
    stack.up()
    assert stack.silent("officewg") == []
    stack.destroy()


def test_destroying_leaves_nothing_that_a_network_manager_reads(mesh: Stack) -> None:
    """Neither of the interface nor of the exit node."""
    mesh.destroy()
    left = "find /run/systemd/network /run/systemd/networkd.conf.d /etc/systemd/network -name '*mesh*' 2>/dev/null"
    for host in mesh.lab.hosts.values():
        assert host.run(left, check=False) == ""
