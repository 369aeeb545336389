"""A mesh on hosts whose kernel has WireGuard, with one where it runs in userspace: each change, and what it loses.

Two virtual machines, one behind NAT, and a container. The tests are one life of a mesh, in this order.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.lab.conftest import PREFIX, skip_without
from tests.lab.kernel import ALARM, CHANGES, bring_up, kernel_hosts, losses, see_nothing_to_do
from tests.lab.lab import Lab, require_machines
from tests.lab.rehearsed import RehearsedStack
from tests.lab.snapshot import difference, snapshot
from tests.lab.stack import Stack, mesh_address, wait_until
from tests.lab.whoami import asks, tells_who_asks

_MACHINES = ("bernard", "edgeworth")
_SECOND = "203.0.113.201"
_SITE = "192.0.2.80"
# Handshakes that cross keep a pair apart for five seconds; an emulated host that others keep from its processor is late
# by one or two.
_CROSSED = 4.0

Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Boot two virtual machines, edgeworth behind NAT, and a container."""
    skip_without(require_machines, "trixie-kernel")
    with Lab(kernel_hosts(), prefix=f"{PREFIX}k") as booted:
        yield booted


@pytest.fixture(scope="module")
def mesh(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """Return a stack whose mesh runs on them, as `scan` and `up` made it."""
    stack = RehearsedStack(lab, tmp_path_factory.mktemp("kernel"))
    bring_up(stack)
    return stack


def _change(stack: Stack, hosts: dict[str, Any] | None = None, **fields: Any) -> None:
    stack.write({"testwg": stack.interfaces["testwg"] | fields}, hosts)


def _losses(stack: Stack, what: str, act: Callable[[], object], record: Record) -> tuple[int, float]:
    found = losses(stack, act)
    record("loss", f"{what}, kernel: {found.lost} of {found.sent}, longest silence {found.gap * 1000:.0f} ms")
    return found.lost, found.gap


def test_machines_run_the_mesh_in_their_kernel_and_the_container_in_userspace(mesh: Stack) -> None:
    """One mesh may have both; every pair answers, also between a host behind NAT and each of the others."""
    for name in _MACHINES:
        host = mesh.lab.hosts[name]
        assert "wireguard" in host.run("ip -d link show testwg")
        assert host.run("pgrep -f '[w]ireguard-go'", check=False) == ""
    assert mesh.lab.hosts["carol"].run("pgrep -f '[w]ireguard-go'")
    assert mesh.silent("testwg") == []
    see_nothing_to_do(mesh)


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_loses_nothing_in_the_kernel(mesh: Stack, name: str, record_property: Record) -> None:
    """Handshakes must not cross there either; of what is sent while a port moves, some is lost."""
    _change(mesh, **CHANGES[name])
    lost, gap = _losses(mesh, name, mesh.up, record_property)
    assert gap < _CROSSED
    assert lost <= (40 if "port" in name else 2)


def test_a_host_over_a_slow_line_loses_no_more(mesh: Stack, record_property: Record) -> None:
    """A tenth of a second there, for SSH and for the tunnel, which is many times what orders take on a host."""
    edgeworth = mesh.lab.hosts["edgeworth"]
    edgeworth.run("for d in eth0 mgmt0; do tc qdisc add dev $d root netem delay 100ms; done")
    try:
        for name, fields in {"all keys": {"rotation": 8}, "port and all keys": {"rotation": 9, "port": 51829}}.items():
            _change(mesh, None, **fields)
            lost, gap = _losses(mesh, f"{name}, a slow line", mesh.up, record_property)
            assert gap < _CROSSED
            assert lost <= (40 if "port" in name else 2)
    finally:
        edgeworth.run("for d in eth0 mgmt0; do tc qdisc del dev $d root; done")


def test_hosts_of_kernel_and_userspace_are_led_back_without_loss(mesh: Stack, record_property: Record) -> None:
    """New SSH connections are refused in the middle, so nothing is proven."""
    before = mesh.running_keys("testwg")
    bernard = mesh.lab.hosts["bernard"]
    rules = "table inet refuse { chain i { type filter hook input priority -10; tcp dport 22 tcp flags syn drop; }; }"
    _change(mesh, rotation=10)

    def refuse() -> None:
        run = mesh.start("up")
        run.wait_for("switching key 1")
        bernard.run("nft -f -", rules)
        try:
            assert run.end().code != 0
        finally:
            bernard.run("nft delete table inet refuse")

    lost, gap = _losses(mesh, "all keys, led back", refuse, record_property)
    assert mesh.running_keys("testwg") == before
    assert lost <= 2
    assert gap < _CROSSED


def test_hosts_of_kernel_and_userspace_go_back_by_themselves_without_loss(mesh: Stack, record_property: Record) -> None:
    """The operator's machine has died, and each host knows its turn."""
    before = mesh.running_keys("testwg")

    def die() -> None:
        run = mesh.start("up")
        run.wait_for("verifying")
        run.kill_all()
        mesh.wait_until_settled(300)

    lost, gap = _losses(mesh, "all keys, cut off: back by themselves", die, record_property)
    assert mesh.running_keys("testwg") == before
    assert lost <= 2
    assert gap < _CROSSED
    mesh.cancel()
    mesh.up("--refresh")
    assert mesh.silent("testwg") == []


def test_the_kernel_answers_from_the_address_that_was_asked(mesh: Stack, record_property: Record) -> None:
    """So a host behind NAT finds one that moved to a second address, though that host sends from its first.

    WireGuard in userspace answers from its host's first address, and such a change is not proven.
    """
    mesh.lab.hosts["bernard"].run(f"ip addr add {_SECOND}/32 dev eth0")
    mesh.lab.network.ip("inet", f"route add {_SECOND}/32 dev p-bernard")
    hosts = {name: mesh.describe(host) for name, host in mesh.lab.hosts.items()}
    hosts["bernard"]["externalIps"] = [_SECOND]
    _change(mesh, hosts, rotation=11)
    lost, gap = _losses(mesh, "endpoint and all keys", mesh.up, record_property)
    # Where bernard happened to speak first, its first address has been learned meanwhile.
    peer, place = mesh.public_keys()["testwg/bernard/key"], f"{_SECOND}:{mesh.interfaces['testwg']['port']}"
    edgeworth = mesh.lab.hosts["edgeworth"]
    edgeworth.run(f"wg set testwg peer {peer} endpoint {place}")
    edgeworth.run(f"ping -6 -q -c 3 -i 0.3 -W 6 {mesh_address('bernard', 'testwg')}")
    assert place in edgeworth.run("wg show testwg endpoints")
    assert gap < _CROSSED
    assert lost <= 2
    _change(mesh)
    mesh.up()
    mesh.lab.hosts["bernard"].run(f"ip addr del {_SECOND}/32 dev eth0")
    mesh.lab.network.ip("inet", f"route del {_SECOND}/32 dev p-bernard")
    wait_until(lambda: not mesh.silent("testwg"), 60)


def test_a_host_has_endpoints_of_both_ip_versions(mesh: Stack) -> None:
    """One peer has IPv6 only, another is behind IPv4."""
    hosts = {name: mesh.describe(host) for name, host in mesh.lab.hosts.items()}
    hosts["bernard"]["externalIps"] = ["203.0.113.1", "2001:db8:1::1"]
    hosts["carol"]["externalIps"] = ["2001:db8:1::3"]
    mesh.lab.network.ip("carol", "addr del 203.0.113.3/32 dev eth0", "route del 198.51.100.0/24")
    peering = [{"group": ["bernard", "carol"]}, {"group": ["bernard", "edgeworth"]}]
    _change(mesh, hosts, peering=peering)
    mesh.up()
    endpoints = mesh.lab.hosts["bernard"].run("wg show testwg endpoints")
    assert "[2001:db8:1::3]:" in endpoints
    assert "203.0.113.2:" in endpoints
    assert set(mesh.silent("testwg", 1)) == {("carol", "edgeworth"), ("edgeworth", "carol")}
    see_nothing_to_do(mesh)
    mesh.lab.hosts["carol"].reboot()
    mesh.write({"testwg": {name: value for name, value in mesh.interfaces["testwg"].items() if name != "peering"}})
    mesh.up()
    assert mesh.silent("testwg") == []


def test_drift_in_the_kernel_is_named_and_repaired(mesh: Stack) -> None:
    """As in userspace."""
    gone = "wg set testwg peer $(wg show testwg peers | head -n 1) remove; ip -6 address flush dev testwg scope global"
    mesh.lab.hosts["bernard"].run(f"systemctl stop mesh-keep@testwg.timer; {gone}")
    said = mesh.run("preview", *ALARM, succeeds=False).output
    assert "bernard: has no peer" in said
    assert "address" in said
    mesh.up("--refresh")
    assert mesh.silent("testwg") == []
    see_nothing_to_do(mesh)


def test_routes_a_relay_and_an_exit_node_work_in_the_kernel(mesh: Stack) -> None:
    """Over bernard, also after its reboot: a network behind it, two hosts that cannot meet, and everything else."""
    before, lab = mesh.interfaces["testwg"], mesh.lab
    bernard, edgeworth, carol = (lab.hosts[name] for name in ("bernard", "edgeworth", "carol"))
    described = {name: mesh.describe(host) for name, host in lab.hosts.items()}
    del described["carol"]["externalIps"]
    members = {**before["members"], "bernard": {**before["members"]["bernard"], "routes": ["198.19.7.0/24"]}}
    _change(mesh, described, members=members, relay="bernard", exitNode="bernard")
    network = "ip link add own0 type dummy; ip address add 198.19.7.1/24 dev own0; ip link set own0 up"
    bernard.run(network)
    with tells_who_asks(lab.network, "inet", f"{_SITE}/32"):
        assert [asks(host, _SITE) for host in (edgeworth, carol)] == ["203.0.113.2", "203.0.113.3"]
        mesh.up()
        assert "relayed" in mesh.companion("status", "--pairs").output
        for _ in range(2):
            for host in (edgeworth, carol):
                wait_until(lambda host=host: asks(host, _SITE) == "203.0.113.1", 120)  # type: ignore[misc]
                host.run("ping -q -c 1 -W 6 198.19.7.1")
            edgeworth.run(f"ping -6 -q -c 1 -W 6 {mesh_address('carol', 'testwg')}")
            bernard.reboot()
            bernard.run(network)
        mesh.write({"testwg": before})
        mesh.up()
        assert [asks(host, _SITE) for host in (edgeworth, carol)] == ["203.0.113.2", "203.0.113.3"]
    bernard.run("ip link del own0")
    assert mesh.silent("testwg") == []
    see_nothing_to_do(mesh)


def test_a_power_cut_right_after_the_confirmation_boots_what_was_confirmed(mesh: Stack) -> None:
    """Nothing is on the disk that was not synced: the guest's memory is gone with its power."""
    _change(mesh, rotation=20)
    mesh.up()
    bernard = mesh.lab.hosts["bernard"]
    bernard.power_cut()
    new = mesh.public_keys()["testwg/bernard/key"]
    bernard.start()
    bernard.wait_until_ssh()
    # What an enrolment leaves is not synced, since the next up enrols again; nobody reads a session file after a boot.
    # Of others, only that they are there counts.
    names = ("lock", "kept", "session", "uses-no-exit", "forwards-nothing")
    spared = " ".join((*(f"! -name {name}" for name in names), "! -path '*/enrolled/*'"))
    assert bernard.run(f"find /var/lib/mesh /etc/wireguard -type f -empty {spared}") == ""
    wait_until(lambda: not mesh.silent("testwg"), 180)
    assert mesh.running_public_keys("testwg")["bernard"] == new
    see_nothing_to_do(mesh)


def test_a_machine_is_in_the_mesh_again_after_a_reboot(mesh: Stack) -> None:
    """By wg-quick, and its port is the one that was confirmed last."""
    edgeworth = mesh.lab.hosts["edgeworth"]
    edgeworth.reboot()
    wait_until(lambda: not mesh.silent("testwg"), 180)
    assert edgeworth.run("wg show testwg listen-port") == f"{mesh.interfaces['testwg']['port']}\n"
    see_nothing_to_do(mesh)


def test_machines_are_left_without_a_trace(mesh: Stack) -> None:
    """Files byte for byte, rules, interfaces and processes."""
    mesh.destroy()
    changed = {name: difference(mesh.before[name], snapshot(host)) for name, host in mesh.lab.hosts.items()}
    assert {name: text for name, text in changed.items() if text} == {}
