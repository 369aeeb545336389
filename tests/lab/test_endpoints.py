"""Where peers seek a host."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.lab import Lab
from tests.lab.stack import Stack, mesh_address, wait_until


def test_a_host_behind_a_router_is_reached_at_the_port_that_is_forwarded_to_it(stack: Stack, lab: Lab) -> None:
    """Then it is not roaming: a peer opens the tunnel to it, and no keepalive is needed."""
    mesh = {"hosts": ["bernard", "edgeworth"], "port": 51825, "members": {"edgeworth": {"externalPort": 40000}}}
    hosts = {name: stack.describe(lab.hosts[name]) for name in ("bernard", "edgeworth")}
    hosts["edgeworth"]["externalIps"] = ["203.0.113.4"]
    lab.network.forward("edgeworth", 40000, 51825)
    try:
        stack.write({"testwg": mesh}, hosts)
        stack.up()
        assert stack.silent("testwg") == []
        seen = lab.hosts["bernard"].run("wg show testwg endpoints; wg show testwg persistent-keepalive")
        assert "203.0.113.4:40000" in seen
        assert "25" not in seen.split()
        # The proof lets bernard speak first, and that is the way in.
        assert lab.network.forwarded("edgeworth") == 1
        stack.up("--expect-no-changes")
        assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
    finally:
        lab.network.stop_forwarding("edgeworth")


def test_hosts_of_one_site_use_their_local_addresses_and_others_the_external_one(stack: Stack, lab: Lab) -> None:
    """And move there and back while the mesh runs; the state that is no site's does not know of any."""
    mesh = {"hosts": list(lab.hosts), "port": 51825, "deadline": 20}
    stack.write({"testwg": mesh})
    stack.up()
    hosts: dict[str, Any] = {name: stack.describe(host) for name, host in lab.hosts.items()}
    for number, name in enumerate(("bernard", "carol"), 1):
        hosts[name] |= {"site": "cellar", "localIps": [lab.network.local_address(number)]}
    stack.write({"testwg": mesh}, hosts)
    assert "~ carol endpoint within its site: none becomes 198.51.100.2:51825" in stack.run("preview").output
    stack.up()
    assert stack.silent("testwg") == []
    assert "198.51.100.2:51825" in lab.hosts["bernard"].run("wg show testwg endpoints")
    assert "198.51.100.1:51825" in lab.hosts["carol"].run("wg show testwg endpoints")
    for name in ("dora", "edgeworth"):
        seen = lab.hosts[name].run("wg show testwg endpoints")
        assert "203.0.113.1:51825" in seen
        assert "203.0.113.2:51825" in seen
    assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
    lab.hosts["carol"].reboot()
    wait_until(lambda: not stack.silent("testwg"), 90)
    stack.write({"testwg": mesh})
    stack.up()
    assert stack.silent("testwg") == []


@pytest.fixture
def second(lab: Lab) -> Iterator[str]:
    """Return a second public address of carol, who still sends from the first."""
    address = "203.0.113.200"
    lab.network.ip("carol", f"addr add {address}/32 dev eth0")
    lab.network.ip("inet", f"route add {address}/32 dev p-carol")
    try:
        yield address
    finally:
        _send_from(lab, "203.0.113.2")
        lab.network.ip("carol", f"addr del {address}/32 dev eth0")
        lab.network.ip("inet", f"route del {address}/32 dev p-carol")


def _send_from(lab: Lab, address: str) -> None:
    lab.network.ip("carol", f"route replace default via 169.254.0.1 dev eth0 src {address}")


def test_a_host_that_moved_is_reached_where_it_is_though_late_packets_came_from_the_old_address(
    stack: Stack, lab: Lab, second: str
) -> None:
    """Behind NAT nobody hears what comes from a place that was not asked, so neither end would find the other again.

    WireGuard in userspace answers from the first address of its host: here the new one, and it is asked at the old one.
    """
    mesh = {"hosts": ["carol", "edgeworth"], "port": 51825}
    _send_from(lab, second)
    hosts: dict[str, Any] = {name: stack.describe(lab.hosts[name]) for name in ("carol", "edgeworth")}
    hosts["carol"]["externalIps"] = [second]
    stack.write({"testwg": mesh}, hosts)
    stack.up()
    carol = lab.hosts["carol"].run("wg show testwg public-key").strip()
    # By that ping the moved one learns of a way through NAT that is open to its old address only.
    back = f"wg set testwg peer {carol} endpoint 203.0.113.2:51825"
    lab.hosts["edgeworth"].run(f"{back}; ping -q -c 1 -W 1 {mesh_address('carol', 'testwg')}", check=False)
    assert stack.silent("testwg", 1) == [("carol", "edgeworth"), ("edgeworth", "carol")]
    stack.write({"testwg": {**mesh, "mtu": 1400}}, hosts)
    stack.up()
    assert f"{second}:51825" in lab.hosts["edgeworth"].run("wg show testwg endpoints")


def test_a_host_moves_while_all_keys_change(stack: Stack, lab: Lab, second: str) -> None:
    """Where it answers from the new address; where it does not, the host behind NAT cannot hear it, and is told why."""
    mesh: dict[str, Any] = {"hosts": list(lab.hosts), "port": 51825, "deadline": 20}
    stack.write({"testwg": mesh})
    stack.up()
    before = stack.running_keys("testwg")
    hosts: dict[str, Any] = {name: stack.describe(lab.hosts[name]) for name in mesh["hosts"]}
    hosts["carol"]["externalIps"] = [second]
    stack.write({"testwg": {**mesh, "rotation": 2}}, hosts)
    told = stack.fail()
    assert f"its endpoint is {second}, and WireGuard in userspace answers from 203.0.113.2" in told
    assert stack.running_keys("testwg") == before
    assert stack.silent("testwg") == []
    _send_from(lab, second)
    stack.up()
    assert stack.silent("testwg") == []
    assert f"{second}:51825" in lab.hosts["edgeworth"].run("wg show testwg endpoints")


def test_hosts_seek_each_other_by_the_ip_version_that_both_have(stack: Stack, lab: Lab) -> None:
    """One with both is in a pair with one that has IPv6 only, and in another with one that has IPv4 only."""
    mesh: dict[str, Any] = {
        "hosts": ["bernard", "carol", "dora"],
        "port": 51825,
        "deadline": 20,
        "peering": [{"group": ["bernard", "carol"]}, {"group": ["bernard", "dora"]}],
    }
    hosts: dict[str, Any] = {name: stack.describe(lab.hosts[name]) for name in mesh["hosts"]}
    hosts["bernard"]["externalIps"] = ["203.0.113.1", "2001:db8:1::1"]
    hosts["carol"]["externalIps"] = ["2001:db8:1::2"]
    lab.network.ip("carol", "addr del 203.0.113.2/32 dev eth0", "route del 198.51.100.0/24")
    lab.network.ip("dora", "addr del 2001:db8:1::3/128 dev eth0", "route del default via fe80::1")
    try:
        stack.write({"testwg": mesh}, hosts)
        stack.up()
        seen = {name: lab.hosts[name].run("wg show testwg endpoints | cut -f 2 | sort").split() for name in hosts}
        assert seen == {
            "bernard": ["203.0.113.3:51825", "[2001:db8:1::2]:51825"],
            "carol": ["[2001:db8:1::1]:51825"],
            "dora": ["203.0.113.1:51825"],
        }
        assert set(stack.silent("testwg", 1)) == {("carol", "dora"), ("dora", "carol")}
        assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
    finally:
        for name in ("carol", "dora"):
            lab.hosts[name].reboot()
