"""Every host goes back at its deadline, whatever holds it up and whatever becomes of its watchdog."""

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from tests.lab.conftest import leave_nothing
from tests.lab.failures import MEMBERS, PORT, ask_for_change
from tests.lab.hosts import Host, HostSpec
from tests.lab.lab import Lab
from tests.lab.phases import seconds_left
from tests.lab.rehearsed import RehearsedStack
from tests.lab.stack import Run, Stack, is_settled, wait_until

_DEADLINE = 10
# A run that proves has given the hosts more time before it asks; one that is cut off leaves them with that.
_PROVING = _DEADLINE + 50
# A watchdog that has stopped is missed for ten seconds, and the rest is a busy machine.
_LATER = 25


def _members(lab: Lab) -> list[tuple[str, Host]]:
    return [(name, lab.hosts[name]) for name in MEMBERS]


@pytest.fixture(scope="module")
def shared(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return the one stack of these tests, since each of them leaves its mesh running."""
    stack = RehearsedStack(lab, tmp_path_factory.mktemp("rollback"))
    stack.write({"testwg": {"hosts": MEMBERS, "port": PORT, "deadline": _DEADLINE, "rotation": 1}})
    yield stack
    leave_nothing(lab)


@pytest.fixture
def mesh(shared: Stack) -> Stack:
    """Return a stack whose mesh runs, and whose stack file asks for new keys and another port."""
    ask_for_change(shared)
    return shared


def _processes(host: Host, word: str, interface: str = "testwg") -> list[int]:
    """Return the processes, as numbered outside, that run the host program as `word`."""
    found = []
    for process in host.processes():
        with suppress(OSError):
            words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
            if word.encode() in words and interface.encode() in words:
                found.append(process)
    return found


def _runs(host: Host, interface: str = "testwg") -> str:
    """Return what a host runs: its key and its port."""
    return host.run(f"wg show {interface} private-key; wg show {interface} listen-port")


def _boots(host: Host) -> str:
    return host.run("cat /etc/wireguard/testwg.conf")


@contextmanager
def _locked(host: Host, path: str) -> Iterator[Callable[[], None]]:
    """Hold a lock of the host as `flock` would; gives the way to release it early."""
    holder = host.run(f"setsid flock {path} sleep 300 >/dev/null 2>&1 & echo $!").strip()
    wait_until(lambda: not host.run(f"flock -n {path} echo free", check=False), 10)

    def release() -> None:
        host.run(f"kill -- -{holder}", check=False)

    try:
        yield release
    finally:
        release()


@contextmanager
def _unprovable(stack: Stack) -> Iterator[None]:
    """Let no proof succeed: two hosts do not hear each other on the new port."""
    stack.lab.network.block_udp(1, 2, stack.interfaces["testwg"]["port"])
    try:
        yield
    finally:
        stack.lab.network.unblock()


def _check_next_run_completes(stack: Stack) -> None:
    stack.up("--refresh")
    ports = {host.run("wg show testwg listen-port").strip() for _, host in _members(stack.lab)}
    assert ports == {f"{stack.interfaces['testwg']['port']}"}
    assert stack.silent("testwg", 10) == []


def _strike(processes: list[int], strike: signal.Signals) -> None:
    """Send a signal to all: what a shell starts looks like itself for a moment."""
    assert processes
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, strike)


def _is_there_again(host: Host, word: str, struck: list[int], interface: str = "testwg") -> bool:
    return bool(set(_processes(host, word, interface)) - set(struck))


# These two take everything from the hosts, so they come before the mesh that the others share.
def test_without_systemd_watchdog_and_supervisor_watch_each_other(stack: Stack, lab: Lab) -> None:
    """On a host of OpenRC each of the two is there again within seconds, and the host goes back in time."""
    lab.add([HostSpec("openrc", 9, root="bookworm-openrc")])
    openrc = lab.hosts["openrc"]
    wanted = {"hosts": ["bernard", "openrc"], "port": 51999, "deadline": 20}
    try:
        stack.write({"backwg": wanted})
        stack.up()
        before = _runs(openrc, "backwg")
        stack.write({"backwg": {**wanted, "rotation": 2}})
        run = stack.start("up")
        with stack.held_at(run):
            # Before the longer deadline has come, the host may go back while it is being struck.
            wait_until(lambda: seconds_left(openrc.files / "var/lib/mesh/backwg/deadline") > 25, 30)
            run.kill_all()
        for word, strike in (("supervise", signal.SIGKILL), ("watchdog", signal.SIGKILL), ("watchdog", signal.SIGSTOP)):
            struck = _processes(openrc, word, "backwg")
            _strike(struck, strike)
            wait_until(partial(_is_there_again, openrc, word, struck, "backwg"), 15)
        wait_until(lambda: is_settled(openrc, "backwg"), 70 + _LATER)
        assert _runs(openrc, "backwg") == before
        wait_until(lambda: not any(_processes(openrc, word, "backwg") for word in ("watchdog", "supervise")), 10)
        stack.cancel()
        stack.up("--refresh")
    finally:
        lab.hosts.pop("openrc").remove()


def test_a_host_goes_back_with_a_full_disk_or_a_file_system_that_became_read_only(stack: Stack, lab: Lab) -> None:
    """Nothing of the way back has to be written: the tunnel is as before, and the rest follows when it can be."""
    lab.add([HostSpec("small", 9, disk_megabytes=24)])
    small = lab.hosts["small"]
    both = [lab.hosts["bernard"], small]
    wanted = {"hosts": ["bernard", "small"], "port": 51999, "deadline": _DEADLINE}

    def run_both() -> list[str]:
        return [_runs(host, "backwg") + host.run("cat /etc/wireguard/backwg.conf") for host in both]

    def cut_off_run(strike: Callable[[], object]) -> None:
        run = stack.start("up")
        with stack.held_at(run):
            strike()
            run.kill_all()

    try:
        stack.write({"backwg": wanted})
        stack.up()
        before = run_both()
        stack.write({"backwg": {**wanted, "rotation": 2}})
        cut_off_run(lambda: small.run("cat /dev/zero >/root/full 2>/dev/null", check=False))
        wait_until(lambda: all(is_settled(host, "backwg") for host in both), _PROVING + _LATER)
        assert run_both() == before
        small.run("rm /root/full")
        stack.cancel()
        cut_off_run(lambda: small.remount("ro"))
        wait_until(lambda: is_settled(both[0], "backwg") and run_both() == before, _PROVING + _LATER)
        small.remount("rw")
        wait_until(lambda: is_settled(small, "backwg"), 90)
        stack.cancel()
        stack.up("--refresh")
        assert stack.silent("backwg") == []
    finally:
        lab.hosts.pop("small").remove()


def test_a_host_goes_back_while_somebody_holds_the_lock_that_its_interfaces_share(mesh: Stack, lab: Lab) -> None:
    """The tunnel is as it was within the deadline; what is left to clear away waits for the lock, and for no run."""
    carol = lab.hosts["carol"]
    before = {name: (_runs(host), _boots(host)) for name, host in _members(lab)}
    with _unprovable(mesh):
        run = mesh.start("up")
        run.wait_for("verifying")
        with _locked(carol, "/var/lib/mesh/lock") as release:
            assert run.end().code != 0
            wait_until(lambda: _runs(carol) == before["carol"][0], _DEADLINE + _LATER)
            assert {name: (_runs(host), _boots(host)) for name, host in _members(lab)} == before
            assert mesh.silent("testwg", 10) == []
            release()
            wait_until(lambda: is_settled(carol), 90)
    _check_next_run_completes(mesh)


def _back_mesh(lab: Lab, folder: Path) -> Stack:
    other = RehearsedStack(lab, folder)
    routes = {"carol": {"routes": ["2001:db8:77::/64"]}}
    other.write({"backwg": {"hosts": ["bernard", "carol"], "port": 51999, "members": routes}})
    return other


def test_a_host_goes_back_while_another_mesh_waits_for_its_package_manager(
    mesh: Stack, lab: Lab, tmp_path: Path
) -> None:
    """Installing takes minutes where somebody else holds dpkg's lock, and nobody but who installs waits for that."""
    carol = lab.hosts["carol"]
    before = {name: (_runs(host), _boots(host)) for name, host in _members(lab)}
    other = _back_mesh(lab, tmp_path / "other")
    carol.run("mv /usr/sbin/nft /usr/sbin/nft.away")
    try:
        with (carol.files / "var/lib/dpkg/lock-frontend").open("w") as dpkg, _unprovable(mesh):
            fcntl.lockf(dpkg, fcntl.LOCK_EX)
            second = other.start("up")
            try:
                wait_until(lambda: carol.run("pgrep -x apt-get", check=False), 90)
                run = mesh.start("up")
                assert run.end().code != 0
                wait_until(lambda: all(is_settled(host) for _, host in _members(lab)), _DEADLINE + _LATER)
                assert carol.run("pgrep -x apt-get", check=False)
                assert {name: (_runs(host), _boots(host)) for name, host in _members(lab)} == before
            finally:
                second.kill_all()
    finally:
        carol.run("mv /usr/sbin/nft.away /usr/sbin/nft")
        other.cancel()
        wait_until(lambda: not carol.run("pgrep -f '[s]erve backwg'", check=False), 90)
        other.destroy()
    _check_next_run_completes(mesh)


def _start_and_cut_off(stack: Stack) -> Run:
    """Start a run that switches all hosts, end the operator's machine in its proof, and return it."""
    run = stack.start("up")
    with stack.held_at(run):
        run.kill_all()
    return run


def test_hosts_go_back_though_their_watchdogs_were_struck(mesh: Stack, lab: Lab) -> None:
    """The operator's machine is gone, and so is each process that waits for the deadline: another one takes over."""
    before = {name: (_runs(host), _boots(host)) for name, host in _members(lab)}
    _start_and_cut_off(mesh)
    strikes = (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM)
    for (_, host), strike in zip(_members(lab), strikes, strict=True):
        _strike(struck := _processes(host, "watchdog"), strike)
    # The one that came after it, of the last host.
    wait_until(partial(_is_there_again, host, "watchdog", struck), 10)
    _strike(_processes(host, "watchdog"), signal.SIGHUP)
    wait_until(lambda: all(is_settled(host) for _, host in _members(lab)), _PROVING + _LATER)
    assert {name: (_runs(host), _boots(host)) for name, host in _members(lab)} == before
    assert mesh.silent("testwg", 10) == []
    wait_until(lambda: not any(_processes(host, "watchdog") for _, host in _members(lab)), 10)
    _check_next_run_completes(mesh)


def test_a_session_that_stands_still_does_not_keep_its_host_from_going_back(mesh: Stack, lab: Lab) -> None:
    """It holds the lock of the interface, and does not hear that it should end."""
    carol = lab.hosts["carol"]
    before = {name: _runs(host) for name, host in _members(lab)}
    run = mesh.start("up")
    run.wait_for("switching key 2")
    for process in carol.run("pgrep -f '[p]rogram.* serve testwg'").split():
        carol.run(f"kill -STOP {process}", check=False)
    assert run.end().code != 0
    wait_until(lambda: all(is_settled(host) for _, host in _members(lab)), _PROVING + _LATER)
    assert {name: _runs(host) for name, host in _members(lab)} == before
    _check_next_run_completes(mesh)


def test_a_host_holds_only_what_it_has_stored(mesh: Stack, lab: Lab) -> None:
    """Where the lock is not to be had, no deadline moves by minutes, and all go back."""
    carol = lab.hosts["carol"]
    before = {name: _runs(host) for name, host in _members(lab)}
    run = mesh.start("up")
    with ExitStack() as locked:
        with mesh.held_at(run):
            locked.enter_context(_locked(carol, "/var/lib/mesh/lock"))
        untils = []
        while run.is_running():
            for _, host in _members(lab):
                words = host.run("cat /var/lib/mesh/testwg/deadline 2>/dev/null; cat /proc/uptime", check=False).split()
                if len(words) == 5:
                    untils.append(float(words[0]) - float(words[3]))
            time.sleep(0.2)
        output = run.end()
        assert output.code != 0
        assert "another run is changing this host" in output.output
        assert max(untils) < 100
        wait_until(lambda: {name: _runs(host) for name, host in _members(lab)} == before, _DEADLINE + _LATER)
    wait_until(lambda: all(is_settled(host) for _, host in _members(lab)), 90)
    _check_next_run_completes(mesh)


def test_a_host_whose_firewall_is_slow_goes_back_and_keeps_its_watchdog(mesh: Stack, lab: Lab) -> None:
    """Each rule takes nearly as long as systemd lets a watchdog be silent, and it would begin the same way again."""
    carol, path = lab.hosts["carol"], "/usr/local/sbin/nft"
    before = {name: _runs(host) for name, host in _members(lab)}
    begun = set()

    def all_are_settled() -> bool:
        begun.add(carol.run("systemctl show -P NRestarts mesh-watchdog-testwg", check=False).strip())
        return all(is_settled(host) for _, host in _members(lab))

    run = mesh.start("up")
    try:
        with mesh.held_at(run):
            carol.run(f"cat >{path}; chmod 755 {path}", text='#!/bin/sh\nsleep 9\nexec /usr/sbin/nft "$@"\n')
            run.kill_all()
        wait_until(all_are_settled, _PROVING + 180, every=1)
    finally:
        carol.run(f"rm -f {path}")
    assert {name: _runs(host) for name, host in _members(lab)} == before
    assert begun <= {"0", ""}
    _check_next_run_completes(mesh)


def _stop_watching(host: Host) -> None:
    """Do what only an administrator of the host can: take the watchdog away for good."""
    host.run("systemctl stop mesh-watchdog-testwg")
    assert not _processes(host, "watchdog")


def _leave_overdue(stack: Stack) -> dict[str, str]:
    """Cut a run off, and leave carol beyond its deadline with nobody who looks; return what the hosts ran before."""
    before = {name: _runs(host) for name, host in _members(stack.lab)}
    _start_and_cut_off(stack)
    _stop_watching(stack.lab.hosts["carol"])
    others = [host for name, host in _members(stack.lab) if name != "carol"]
    wait_until(lambda: all(is_settled(host) for host in others), _PROVING + _LATER)
    time.sleep(6)
    assert not is_settled(stack.lab.hosts["carol"])
    assert _runs(stack.lab.hosts["carol"]) != before["carol"]
    stack.cancel()
    return before


def test_status_takes_an_overdue_host_back_and_says_so(mesh: Stack, lab: Lab) -> None:
    """With exit code 1, and the next time all is well."""
    before = _leave_overdue(mesh)
    said = mesh.companion("status", succeeds=False).output
    assert "missed the rollback deadline" in " ".join(said.split())
    assert is_settled(lab.hosts["carol"])
    assert {name: _runs(host) for name, host in _members(lab)} == before
    _check_next_run_completes(mesh)


def test_a_refresh_takes_an_overdue_host_back_and_says_so(mesh: Stack, lab: Lab) -> None:
    """A preview is enough."""
    before = _leave_overdue(mesh)
    said = mesh.run("preview", "--refresh").output
    assert "carol: missed the rollback deadline" in said
    assert {name: _runs(host) for name, host in _members(lab)} == before
    _check_next_run_completes(mesh)


def test_status_names_a_host_that_is_overdue_and_cannot_go_back(mesh: Stack, lab: Lab) -> None:
    """What holds it up is said, and the exit code is 1."""
    _leave_overdue(mesh)
    with _locked(lab.hosts["carol"], "/var/lib/mesh/lock"):
        said = " ".join(mesh.companion("status", succeeds=False).output.split())
        assert "another run is changing this host" in said
    _check_next_run_completes(mesh)
