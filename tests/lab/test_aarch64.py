"""The seed's own pair: bernard is x86_64-linux, edgeworth aarch64-linux and behind NAT; one life of their mesh.

Both are virtual machines with Debian's kernel of their processor; the one that this machine lacks is emulated.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.conftest import PREFIX, skip_without
from tests.lab.hosts import HostSpec
from tests.lab.kernel import ALARM, bring_up, see_nothing_to_do
from tests.lab.lab import Lab, require_machines
from tests.lab.snapshot import difference, snapshot
from tests.lab.stack import Stack, wait_until

_ROOTS = ("trixie-kernel", "trixie-arm64")
_PAIR = [
    HostSpec("bernard", 1, root="trixie-kernel", kind="machine"),
    HostSpec("edgeworth", 2, root="trixie-arm64", kind="machine", nat=True),
]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Boot both."""
    skip_without(require_machines, *_ROOTS)
    with Lab(_PAIR, prefix=f"{PREFIX}a") as booted:
        yield booted


@pytest.fixture(scope="module")
def mesh(engine: str, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """Return a stack of the real engine whose mesh runs on them, as `scan` and `up` made it."""
    assert engine
    stack = Stack(lab, tmp_path_factory.mktemp("aarch64"))
    bring_up(stack)
    return stack


def test_hosts_of_two_processors_become_the_mesh_of_the_seed(mesh: Stack) -> None:
    """Addresses and endpoints are the seed's, and WireGuard is in the kernel of each."""
    bernard, edgeworth = (mesh.lab.hosts[name] for name in ("bernard", "edgeworth"))
    assert [host.run("uname -m").strip() for host in (bernard, edgeworth)] == ["x86_64", "aarch64"]
    assert "fd00:1c86:78d4:dcef::1/64" in bernard.run("ip -6 -o address show dev testwg")
    assert "fd00:cac2:10cb:6ee9::1/64" in edgeworth.run("ip -6 -o address show dev testwg")
    for host in (bernard, edgeworth):
        assert "wireguard" in host.run("ip -d link show testwg")
        assert int(host.run("wg show testwg latest-handshakes").split()[1]) > 0
    assert "Endpoint" not in bernard.run("cat /etc/wireguard/testwg.conf")
    assert bernard.run("wg show testwg endpoints").split()[1].startswith("203.0.113.2:")
    assert mesh.silent("testwg") == []
    see_nothing_to_do(mesh)


@pytest.mark.parametrize(
    "fields",
    [
        {"rotation": 2},
        {"rotation": 3, "port": 51827},
        {"mtu": 1380, "presharedKeys": "pairwise", "persistentKeepalive": 20},
    ],
    ids=["all keys", "port and all keys", "MTU, keys of pairs and keepalive"],
)
def test_a_change_reaches_hosts_of_both_processors(mesh: Stack, fields: dict[str, Any]) -> None:
    """And is proven."""
    mesh.write({"testwg": mesh.interfaces["testwg"] | fields})
    mesh.up()
    assert mesh.silent("testwg") == []
    for name, value in {"mtu": "cat /sys/class/net/testwg/mtu", "port": "wg show testwg listen-port"}.items():
        if name in fields:
            assert {host.run(value).strip() for host in mesh.lab.hosts.values()} == {str(fields[name])}


def test_drift_of_an_aarch64_host_is_named_and_repaired(mesh: Stack) -> None:
    """A peer and an address that somebody removed."""
    gone = "wg set testwg peer $(wg show testwg peers) remove; ip -6 address flush dev testwg scope global"
    mesh.lab.hosts["edgeworth"].run(f"systemctl stop mesh-keep@testwg.timer; {gone}")
    said = mesh.run("preview", *ALARM, succeeds=False).output
    assert "edgeworth: has no peer" in said
    mesh.up("--refresh")
    assert mesh.silent("testwg") == []


def test_an_aarch64_host_goes_back_by_itself_and_boots_what_was_confirmed(mesh: Stack) -> None:
    """The run is killed before it confirms; then that host reboots."""
    before = mesh.running_keys("testwg")
    mesh.write({"testwg": mesh.interfaces["testwg"] | {"rotation": 10, "deadline": 30}})
    run = mesh.start("up")
    run.wait_for("verifying")
    run.kill_all()
    mesh.wait_until_settled(200)
    assert mesh.running_keys("testwg") == before
    mesh.cancel()
    mesh.up("--refresh")
    after = mesh.running_keys("testwg")
    assert set(after.values()).isdisjoint(before.values())
    edgeworth = mesh.lab.hosts["edgeworth"]
    edgeworth.reboot()
    wait_until(lambda: not mesh.silent("testwg"), 180)
    assert mesh.running_keys("testwg") == after


def test_status_and_doctor_know_both_and_destroy_leaves_no_trace(mesh: Stack) -> None:
    """Files byte for byte, rules, interfaces and processes."""
    assert "2 of 2 hosts are up" in (said := mesh.companion("status").output)
    assert "WireGuard kernel" in said
    mesh.companion("doctor")
    mesh.destroy()
    changed = {name: difference(mesh.before[name], snapshot(host)) for name, host in mesh.lab.hosts.items()}
    assert {name: text for name, text in changed.items() if text} == {}
