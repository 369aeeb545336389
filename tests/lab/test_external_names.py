"""Hosts whose endpoint is a DNS name, and whose address changes while no run is active."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.hosts import Host, HostSpec
from tests.lab.lab import Lab
from tests.lab.snapshot import difference, snapshot
from tests.lab.stack import Stack, mesh_address, wait_until

_NAME = "bernard.example.org"
_OLD, _NEW, _NOBODY = "203.0.113.1", "203.0.113.200", "203.0.113.99"
# A look every 30 seconds, and 12 in which the peer is asked before it is given up.
_SECONDS = 75
_TIMER = "mesh-endpoints@testwg.timer"
_LOOK = "systemctl start mesh-endpoints@testwg.service"


def _point(host: Host, address: str | None) -> None:
    """Let the name lead to an address on a host, or nowhere."""
    host.run(f"sed -i '/{_NAME}/d' /etc/hosts")
    if address:
        host.run(f"echo '{address} {_NAME}' >>/etc/hosts")


def _endpoint(host: Host, stack: Stack, peer: str) -> str:
    key = stack.public_keys()[f"testwg/{peer}/key"]
    return next(line.split()[1] for line in host.run("wg show testwg endpoints").splitlines() if line.startswith(key))


def _reaches(host: Host, name: str) -> bool:
    return host.run(f"ping -6 -q -c 1 -W 1 {mesh_address(name, 'testwg')} && echo yes", check=False).endswith("yes\n")


def _move(lab: Lab, old: str, new: str) -> None:
    """Give bernard another public address; the old one leads nowhere from then on."""
    lab.network.ip(
        "bernard",
        f"addr add {new}/32 dev eth0",
        f"route replace default via 169.254.0.1 dev eth0 src {new}",
        f"addr del {old}/32 dev eth0",
    )
    lab.network.ip("inet", f"route add {new}/32 dev p-bernard", f"route del {old}/32 dev p-bernard")


@pytest.fixture
def hosts(lab: Lab) -> Iterator[dict[str, Host]]:
    """Return hosts with systemd, with OpenRC and behind NAT, all of which find bernard by its name."""
    lab.add([HostSpec("openrc", 10, root="bookworm-openrc")])
    chosen = {name: lab.hosts[name] for name in ("bernard", "carol", "edgeworth", "openrc")}
    for name, host in chosen.items():
        if name != "bernard":
            _point(host, _OLD)
    try:
        yield chosen
    finally:
        for name, host in chosen.items():
            if name != "bernard":
                _point(host, None)
        lab.hosts.pop("openrc").remove()


def _describe(stack: Stack, hosts: dict[str, Host], **bernard: Any) -> dict[str, Any]:
    described = {name: stack.describe(host) for name, host in hosts.items()}
    if bernard:
        del described["bernard"]["externalIps"]
    described["bernard"] |= bernard
    return described


def test_a_host_that_moves_is_found_again_by_its_name(stack: Stack, lab: Lab, hosts: dict[str, Host]) -> None:
    """By the timer alone, also under OpenRC and behind NAT; no tunnel that lives is touched, and nothing is left."""
    carol, seekers = hosts["carol"], [host for name, host in hosts.items() if name != "bernard"]
    before = {name: snapshot(host) for name, host in hosts.items()}
    mesh = {"hosts": list(hosts), "port": 51825, "deadline": 20}
    stack.write({"testwg": mesh}, _describe(stack, hosts))
    stack.up()
    assert _TIMER not in carol.run("ls /etc/systemd/system/*.wants")
    named = _describe(stack, hosts, externalName=_NAME)
    stack.write({"testwg": mesh}, named)
    assert f"~ bernard endpoint: {_OLD}:51825 becomes {_NAME}:51825" in stack.run("preview").output
    stack.up()
    assert _endpoint(carol, stack, "bernard") == f"{_OLD}:51825"
    assert _NAME not in carol.run("cat /etc/wireguard/testwg.conf")
    assert "mesh-endpoints" not in hosts["bernard"].run("ls -R /etc/systemd/system")
    stack.up("--expect-no-changes")
    assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
    assert f"{_NAME}:51825" in stack.companion("status").output
    # WireGuard owes a word for ten seconds after each that it heard, and starts a new handshake fifteen after one of
    # its own that had no answer; peers would learn of the move by either.
    time.sleep(20)
    _move(lab, _OLD, _NEW)
    try:
        # Nobody says anything, so nobody learns of it.
        assert not any(_reaches(host, "bernard") for host in seekers)
        for host in seekers:
            _point(host, _NEW)
        wait_until(lambda: all(_reaches(host, "bernard") for host in seekers), _SECONDS, every=1)
        assert {_endpoint(host, stack, "bernard") for host in seekers} == {f"{_NEW}:51825"}
        wait_until(lambda: "the endpoint of bernard is" in carol.run("journalctl -q -t mesh-testwg"), 10)
        # A changed answer is no change of the mesh.
        stack.up("--expect-no-changes")
        assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
        # A tunnel that lives is left alone, wherever the name leads.
        for address in (_NOBODY, None):
            _point(carol, address)
            carol.run(_LOOK)
            assert _endpoint(carol, stack, "bernard") == f"{_NEW}:51825"
            assert _reaches(carol, "bernard")
    finally:
        _move(lab, _NEW, _OLD)
    for host in seekers:
        _point(host, _OLD)
    # What the verification of a run finds dead, it resolves again by itself.
    stack.write({"testwg": {**mesh, "mtu": 1400}}, named)
    stack.up()
    assert stack.silent("testwg") == []
    stack.destroy()
    assert {name: difference(before[name], snapshot(host)) for name, host in hosts.items()} == dict.fromkeys(hosts, "")


def test_a_host_boots_without_an_answer(stack: Stack, hosts: dict[str, Host]) -> None:
    """All other tunnels come up at once, and that one with the address that the name led to before."""
    stack.write(
        {"testwg": {"hosts": list(hosts), "port": 51825, "deadline": 20}}, _describe(stack, hosts, externalName=_NAME)
    )
    stack.up()
    for name in ("carol", "openrc"):
        _point(hosts[name], None)
        hosts[name].reboot()
        wait_until(lambda name=name: _reaches(hosts[name], "bernard"), 60)  # type: ignore[misc]
    wait_until(lambda: not stack.silent("testwg"), 60)
    assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0


def test_a_name_that_does_not_resolve_or_resolves_to_another_host_is_reported(
    stack: Stack, hosts: dict[str, Host]
) -> None:
    """The one before anything switches, the other by the proof."""
    stack.write(
        {"testwg": {"hosts": list(hosts), "port": 51825, "deadline": 20}}, _describe(stack, hosts, externalName=_NAME)
    )
    _point(hosts["edgeworth"], None)
    output = stack.fail()
    assert "testwg: nothing was changed" in output
    assert f"host 'edgeworth': does not resolve here: {_NAME} for bernard; correct the name" in output
    assert not [name for name, host in hosts.items() if "testwg" in host.run("ip link")]
    _point(hosts["edgeworth"], _NOBODY)
    output = stack.fail()
    assert (
        f"edgeworth → bernard: no answer: {_NAME} resolves to {_NOBODY}:51825; see whether bernard is there" in output
    )
    _point(hosts["edgeworth"], _OLD)
    stack.up()


def test_going_back_takes_the_timer_away_again(engine_stack: Stack, hosts: dict[str, Host]) -> None:
    """It runs already when a host is told to hold, and pulumi is killed before it can confirm."""
    mesh = {"testwg": {"hosts": list(hosts), "port": 51825, "deadline": 20}}
    engine_stack.write(mesh, _describe(engine_stack, hosts))
    engine_stack.up()
    before = {name: snapshot(host) for name, host in hosts.items()}
    engine_stack.write(mesh, _describe(engine_stack, hosts, externalName=_NAME))
    run = engine_stack.start("up")
    with engine_stack.held_at(run):
        run.kill_engine()
    run.wait_for_remains(engine_stack.is_served)
    assert {name: difference(before[name], snapshot(host)) for name, host in hosts.items()} == dict.fromkeys(hosts, "")
    assert "mesh-endpoints" not in hosts["carol"].run("systemctl list-timers --all")
    engine_stack.heal()
    assert _TIMER in hosts["carol"].run("systemctl list-timers --all")


# What somebody does, and where.
_OFF = [
    ("carol", f"systemctl disable --now {_TIMER}"),
    ("carol", f"systemctl stop {_TIMER}"),
    ("carol", f"systemctl mask --now {_TIMER}"),
    ("openrc", "rc-service mesh-endpoints.testwg stop"),
    ("openrc", "rc-update del mesh-endpoints.testwg default"),
]


def test_somebody_turns_it_off(stack: Stack, hosts: dict[str, Host]) -> None:
    """An alarm tells, a repair turns it on again, and an address instead of the name takes it away for good."""
    mesh = {"testwg": {"hosts": list(hosts), "port": 51825, "deadline": 20}}
    stack.write(mesh, _describe(stack, hosts, externalName=_NAME))
    stack.up()
    for name, command in _OFF:
        hosts[name].run(command)
        assert f"{name}: no longer resolves names of peers" in stack.run("preview", "--refresh").output
        assert f"changing {name} only" in stack.up("--refresh").output
    assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
    stack.write(mesh, _describe(stack, hosts))
    stack.up()
    for name in ("carol", "openrc"):
        seen = hosts[name].run("ls -R /etc/systemd/system /etc/init.d /etc/runlevels; ps -eo args", check=False)
        assert "mesh-endpoints" not in seen
    assert stack.silent("testwg") == []
