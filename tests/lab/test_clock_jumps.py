"""The clock of a host jumps by a day, or a host is suspended, while a change is made: WireGuard, systemd and all.

In virtual machines, since containers share one clock. The tests are one life of a mesh, in this order.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from tests.lab.conftest import PREFIX, skip_without
from tests.lab.hosts import Host
from tests.lab.kernel import kernel_hosts
from tests.lab.lab import Lab, require_machines
from tests.lab.phases import PHASES
from tests.lab.rehearsed import RehearsedStack
from tests.lab.stack import Stack

_DAY = 86400
_MOMENTS = [phase for phase, (begin, _) in PHASES.items() if begin and phase != "go back"]


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack whose mesh runs on two virtual machines, edgeworth behind NAT, and a container."""
    skip_without(require_machines, "trixie-kernel")
    with Lab(kernel_hosts(), prefix=f"{PREFIX}j") as lab:
        stack = RehearsedStack(lab, tmp_path_factory.mktemp("clock"))
        stack.write({"testwg": {"hosts": list(lab.hosts), "port": 51825, "deadline": 30, "rotation": 1}})
        stack.up()
        yield stack


def _change_meanwhile(mesh: Stack, phase: str, strike: Callable[[], object]) -> int:
    """Change all keys, strike when a phase begins, and return with what the run ended; the hosts are all old or new."""
    before = mesh.running_public_keys("testwg")
    mesh.write({"testwg": mesh.interfaces["testwg"] | {"rotation": mesh.interfaces["testwg"]["rotation"] + 1}})
    run = mesh.start("up")
    run.wait_for(PHASES[phase][0])
    strike()
    ended = run.end()
    mesh.wait_until_settled(120)
    new = {name: mesh.public_keys()[f"testwg/{name}/key"] for name in before}
    assert mesh.running_public_keys("testwg") in (before, new), ended.output
    return ended.code or 0


def _set_clock(host: Host, seconds: float) -> None:
    host.run(f"date -s @{time.time() + seconds:.3f}")


@pytest.mark.parametrize("days", [-1, 1])
@pytest.mark.parametrize("name", ["bernard", "edgeworth"])
@pytest.mark.parametrize("phase", _MOMENTS)
def test_a_clock_that_jumps_stops_no_change(mesh: Stack, phase: str, name: str, days: int) -> None:
    """Deadlines count from the boot, and whether a handshake is new is told without the time of day."""
    host = mesh.lab.hosts[name]
    try:
        assert _change_meanwhile(mesh, phase, lambda: _set_clock(host, days * _DAY)) == 0
        assert mesh.silent("testwg") == []
    finally:
        _set_clock(host, 0)


@pytest.mark.parametrize("phase", _MOMENTS)
def test_a_host_that_is_suspended_ends_as_the_others(mesh: Stack, phase: str) -> None:
    """For longer than the deadline; it wakes up and finds that it is late."""
    (process,) = [mesh.lab.hosts["edgeworth"].first_process()]
    assert process

    def suspend() -> None:
        os.kill(process, signal.SIGSTOP)
        time.sleep(45)
        os.kill(process, signal.SIGCONT)

    _change_meanwhile(mesh, phase, suspend)
    mesh.up("--refresh")
    assert mesh.silent("testwg", 5) == []
