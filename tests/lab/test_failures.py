"""A change that fails leaves every host as it was, says which host and why, and succeeds when it is run again."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mesh.keys import generate_key_pair
from tests.lab.hosts import HostSpec
from tests.lab.lab import Lab
from tests.lab.stack import Run, Stack, mesh_address, plug_in, wait_until

_PORT = 51825


def _mesh(stack: Stack, **changes: Any) -> dict[str, Any]:
    return {"testwg": {"hosts": list(stack.lab.hosts), "port": _PORT, "deadline": 10, **changes}}


@pytest.fixture
def mesh(stack: Stack) -> Stack:
    """Return a stack whose mesh of all hosts runs."""
    stack.write(_mesh(stack))
    stack.up()
    return stack


def _kernels(stack: Stack, without: str = "") -> dict[str, str]:
    """Return what every host runs, boots and has pending, as text."""
    # Sorted, since wireguard-go lists peers in any order; a peer's learned endpoint is not ours to keep.
    command = (
        "wg showconf testwg | sed '/^Endpoint/d' | sort; ip -6 route show dev testwg | sort; "
        "cat /etc/wireguard/testwg.conf /sys/class/net/testwg/mtu; "
        "ls /var/lib/mesh/testwg | grep -E 'deadline|next|previous|guard|incoming'"
    )
    return {name: host.run(command, check=False) for name, host in stack.lab.hosts.items() if name != without}


def _check_consistent(stack: Stack) -> None:
    """Check that no key that a host runs is missing from the state, and that the keys of the state run."""
    exported = json.dumps(stack.state())
    running = stack.running_keys("testwg")
    assert [name for name, key in running.items() if key not in exported] == []
    public = stack.running_public_keys("testwg")
    assert {f"testwg/{name}/key": key for name, key in public.items()} == stack.public_keys()
    assert stack.silent("testwg", 10) == []


@contextmanager
def _fails_and_changes_nothing(stack: Stack) -> Iterator[None]:
    before, keys = _kernels(stack), stack.running_keys("testwg")
    yield
    assert stack.running_keys("testwg") == keys
    assert _kernels(stack) == before


def test_a_wrong_host_key_stops_the_run_and_names_the_host(mesh: Stack, lab: Lab) -> None:
    """Nothing is changed, also not on the others."""
    hosts = {name: mesh.describe(host) for name, host in lab.hosts.items()}
    with _fails_and_changes_nothing(mesh):
        wrong = {**hosts, "carol": mesh.describe(lab.hosts["carol"], hostKey=lab.hosts["dora"].host_key)}
        mesh.write(_mesh(mesh, rotation=2), wrong)
        output = mesh.fail()
        assert "carol" in output
        assert "host key" in output
    mesh.write(_mesh(mesh, rotation=2), hosts)
    mesh.up()
    _check_consistent(mesh)
    mesh.destroy()


def test_a_host_without_power_stops_the_run_and_is_named(mesh: Stack, lab: Lab) -> None:
    """The others are not touched, and the run after the host's return succeeds."""
    lab.hosts["dora"].power_cut()
    mesh.write(_mesh(mesh, rotation=2))
    before = _kernels(mesh, without="dora")
    output = mesh.fail()
    assert "'dora'" in output
    assert "nothing was changed" in output
    assert _kernels(mesh, without="dora") == before
    plug_in(lab.hosts["dora"])
    mesh.up()
    _check_consistent(mesh)
    mesh.destroy()


def test_a_host_without_a_network_is_named_within_seconds(mesh: Stack, lab: Lab) -> None:
    """Packets to it vanish, and the run ends anyway."""
    mesh.write(_mesh(mesh, mtu=1400))
    with _fails_and_changes_nothing(mesh):
        lab.network.ip("ctl", "link set m-carol down")
        try:
            outcome = mesh.run("up", succeeds=False)
        finally:
            lab.network.ip("ctl", "link set m-carol up")
        assert "'carol'" in outcome.output
        assert outcome.seconds < 60
    mesh.up()
    assert {host.run("cat /sys/class/net/testwg/mtu") for host in lab.hosts.values()} == {"1400\n"}
    _check_consistent(mesh)
    mesh.destroy()


def test_a_full_disk_is_named_and_changes_nothing(mesh: Stack, lab: Lab) -> None:
    """One host cannot store what it is given, so none takes anything."""
    lab.add([HostSpec("small", 9, disk_megabytes=24)])
    small = lab.hosts["small"]
    try:
        mesh.write(_mesh(mesh))
        mesh.up()
        with _fails_and_changes_nothing(mesh):
            small.run("cat /dev/zero >/root/full 2>/dev/null", check=False)
            mesh.write(_mesh(mesh, rotation=2))
            output = mesh.fail()
            assert "small" in output
            assert "disk full" in output
        small.run("rm /root/full")
        mesh.up()
        _check_consistent(mesh)
        mesh.destroy()
    finally:
        small.remove()
        del lab.hosts["small"]


def test_a_mesh_that_cannot_be_proven_goes_back_everywhere(mesh: Stack, lab: Lab) -> None:
    """UDP is cut between two hosts: the run names both, and everybody runs the old keys again."""
    keys = mesh.public_keys()
    with _fails_and_changes_nothing(mesh):
        mesh.write(_mesh(mesh, members={"carol": {"rotation": 2}}))
        lab.network.block_udp(1, 2, _PORT)
        try:
            output = mesh.fail()
        finally:
            lab.network.unblock()
        assert re.search("bernard → carol|carol → bernard", output)
        assert "not proven" in output
    # The new key is not made again by the next run.
    made = mesh.public_keys()
    assert {name for name in keys if made[name] != keys[name]} == {"testwg/carol/key"}
    mesh.up()
    assert mesh.public_keys() == made
    _check_consistent(mesh)
    mesh.destroy()


def test_reverting_the_stack_file_after_a_failure_brings_the_old_keys_back(mesh: Stack, lab: Lab) -> None:
    """After a failed rotation the old stack file is in force again, with the keys that the hosts still run."""
    keys = mesh.public_keys()
    mesh.write(_mesh(mesh, rotation=2))
    lab.network.block_udp(1, 2, _PORT)
    try:
        mesh.fail()
    finally:
        lab.network.unblock()
    mesh.write(_mesh(mesh))
    mesh.up()
    assert mesh.public_keys() == keys
    _check_consistent(mesh)
    mesh.destroy()


def _wait_until_settled(stack: Stack) -> None:
    """Wait until no host has a deadline running any more."""
    wait_until(
        lambda: (
            not any(
                host.run("cat /var/lib/mesh/testwg/deadline 2>/dev/null", check=False)
                for host in stack.lab.hosts.values()
            )
        ),
        90,
    )


@pytest.mark.parametrize(
    "phase", ["creating", "connecting", "staging", "switching key 1", "switching key 4", "proving"]
)
def test_an_engine_killed_in_any_phase_leaves_all_old_or_all_new(mesh: Stack, phase: str) -> None:
    """What it started ends by itself, hosts agree after the deadline, and cancel and up heal the stack."""
    old = mesh.public_keys()
    mesh.write(_mesh(mesh, rotation=2))
    run = mesh.start("up")
    run.wait_for("testwg/bernard/key" if phase == "creating" else phase)
    run.kill_engine()
    run.wait_for_remains(mesh.is_connected)
    _wait_until_settled(mesh)
    new = mesh.public_keys()
    running = {f"testwg/{name}/key": key for name, key in mesh.running_public_keys("testwg").items()}
    # Keys whose making was not yet recorded run nowhere.
    assert running in (old, new)
    assert mesh.silent("testwg", 10) == []
    mesh.heal()
    _check_consistent(mesh)
    mesh.destroy()


@pytest.mark.parametrize("phase", ["staging", "switching key 2", "proving"])
def test_hosts_go_back_by_themselves_when_the_operators_machine_dies(mesh: Stack, phase: str) -> None:
    """Nobody tells the hosts anything any more: at their deadline all run the old keys."""
    old = mesh.running_keys("testwg")
    mesh.write(_mesh(mesh, rotation=2))
    run = mesh.start("up")
    run.wait_for(phase)
    run.kill_all()
    _wait_until_settled(mesh)
    assert mesh.running_keys("testwg") == old
    assert mesh.silent("testwg", 10) == []
    mesh.heal()
    _check_consistent(mesh)
    mesh.destroy()


def _wait_for_hold(stack: Stack, run: Run) -> None:
    """Stop the run at the moment when the first host holds."""
    files = [host.files / "var/lib/mesh/testwg/deadline" for host in stack.lab.hosts.values()]
    run.wait_for("proving")

    def holds() -> bool:
        for file in files:
            try:
                until = int(file.read_text().split()[0])
            except (OSError, IndexError, ValueError):
                continue
            with open("/proc/uptime") as uptime:
                if until - float(uptime.read().split()[0]) > 300:
                    return True
        return False

    wait_until(holds, 60, every=0.0005)


def test_between_hold_and_confirm_the_new_mesh_runs_on_and_the_next_run_confirms_it(mesh: Stack) -> None:
    """The operator's machine dies when all is proven: the keys that run are the new ones or the old, on all hosts."""
    mesh.write(_mesh(mesh, rotation=2))
    run = mesh.start("up")
    _wait_for_hold(mesh, run)
    run.kill_all()
    assert mesh.silent("testwg", 10) == []
    new = mesh.public_keys()
    assert {f"testwg/{name}/key": key for name, key in mesh.running_public_keys("testwg").items()} == new
    mesh.heal()
    assert mesh.public_keys() == new
    _check_consistent(mesh)
    _wait_until_settled(mesh)
    mesh.destroy()


def test_a_host_that_loses_power_before_the_confirmation_boots_the_old_state(mesh: Stack, lab: Lab) -> None:
    """It was switched already; the run fails, all go back, and the host agrees with them when it is back."""
    old = mesh.running_keys("testwg")
    mesh.write(_mesh(mesh, rotation=2))
    run = mesh.start("up")
    run.wait_for("proving")
    lab.hosts["carol"].power_cut()
    outcome = run.end()
    assert outcome.code != 0
    assert "carol" in outcome.output
    plug_in(lab.hosts["carol"])
    wait_until(lambda: mesh.running_keys("testwg") == old, 60)
    wait_until(lambda: not mesh.silent("testwg"), 60)
    mesh.up()
    _check_consistent(mesh)
    mesh.destroy()


def test_a_failed_first_run_leaves_nothing_that_destroy_does_not_take_away(stack: Stack, lab: Lab) -> None:
    """No interface runs and nothing boots after the failure; destroy removes the rest."""
    stack.write(_mesh(stack))
    lab.network.block_udp(1, 2, _PORT)
    try:
        stack.fail()
    finally:
        lab.network.unblock()
    assert stack.running_keys("testwg") == {}
    stack.destroy()
    for host in lab.hosts.values():
        assert host.run("ls -d /var/lib/mesh /etc/wireguard/* /etc/systemd/system/mesh*", check=False) == ""


def test_the_interface_of_somebody_else_is_refused_and_nothing_changes_anywhere(stack: Stack, lab: Lab) -> None:
    """The message names the host; the interface and its key stay."""
    carol = lab.hosts["carol"]
    key = generate_key_pair()
    carol.run("wireguard-go testwg 2>/dev/null; wg set testwg private-key /dev/stdin", text=key.private_key)
    stack.write(_mesh(stack))
    output = stack.fail()
    assert "'carol'" in output
    assert "an interface testwg exists that mesh did not make" in output
    assert stack.running_keys("testwg") == {"carol": key.private_key}
    carol.run("ip link del testwg")
    stack.up()
    stack.destroy()


def test_the_file_of_somebody_else_is_refused_and_nothing_changes_anywhere(stack: Stack, lab: Lab) -> None:
    """The message names the host and the file, which stays as it was."""
    dora = lab.hosts["dora"]
    dora.run("mkdir -p /etc/wireguard; echo '[Interface]' >/etc/wireguard/testwg.conf")
    stack.write(_mesh(stack))
    output = stack.fail()
    assert "'dora'" in output
    assert "/etc/wireguard/testwg.conf exists and mesh did not write it" in output
    assert dora.run("cat /etc/wireguard/testwg.conf") == "[Interface]\n"
    assert stack.running_keys("testwg") == {}
    stack.destroy()
    # The stack never had this host, so destroying takes nothing of it.
    assert dora.run("cat /etc/wireguard/testwg.conf") == "[Interface]\n"
    dora.run("rm /etc/wireguard/testwg.conf")


def test_a_taken_port_is_refused_and_nothing_changes_anywhere(stack: Stack, lab: Lab) -> None:
    """Another tunnel of the host listens there already."""
    bernard = lab.hosts["bernard"]
    bernard.run(f"wireguard-go other 2>/dev/null; wg set other listen-port {_PORT}; ip link set other up")
    stack.write(_mesh(stack))
    output = stack.fail()
    assert "'bernard'" in output
    assert f"UDP port {_PORT} is taken by interface other" in output
    assert stack.running_keys("testwg") == {}
    bernard.run("ip link del other")
    stack.up()
    assert mesh_address("bernard", "testwg") in bernard.run("ip -6 address show dev testwg")
    stack.destroy()
