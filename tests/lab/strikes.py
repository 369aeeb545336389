"""What may befall a change while it is made: each strike does its harm and gives back the way to lift it.

When it falls and what must hold afterwards is for `chaos` to say.
"""

import fcntl
import os
import random
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.lab.clock import SET_AGAIN, set_clock
from tests.lab.hosts import Host
from tests.lab.lab import Lab
from tests.lab.stack import Run, Stack, UnexpectedEndError, plug_in

__all__ = ["STRIKES", "Scene", "Strike"]

Lift = Callable[[], object]


@dataclass(frozen=True)
class Scene:
    """Where a strike falls: the lab, a run of pulumi that changes `testwg`, another mesh, and the dice."""

    lab: Lab
    run: Run
    stack: Stack
    other: Stack
    dice: random.Random

    def hosts(self) -> list[Host]:
        """Return some of the hosts, or all of them."""
        hosts = list(self.lab.hosts.values())
        return self.dice.sample(hosts, self.dice.choice((1, 1, 2, len(hosts))))

    def host(self) -> Host:
        """Return one of the hosts."""
        return self.dice.choice(list(self.lab.hosts.values()))


@dataclass(frozen=True)
class Strike:
    """One kind of harm. `seconds` are how long it lasts, at least and at most, before it is lifted."""

    name: str
    fall: Callable[[Scene], Lift]
    seconds: tuple[float, float] = (0, 0)
    # Whether the operator has to clear up after an engine that ended without a word.
    ends_engine: bool = False


def _nothing() -> None:
    """Lift what lasts no longer than the moment in which it fell."""


def _words(process: int) -> list[str]:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _signal(processes: Iterable[int], number: signal.Signals) -> Lift:
    struck = list(processes)
    for process in struck:
        with suppress(ProcessLookupError):
            os.kill(process, number)

    def go_on() -> None:
        for process in struck:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)

    return go_on if number == signal.SIGSTOP else _nothing


def _operators(*words: str) -> Callable[[Scene], list[int]]:
    """Return how to find the processes of the run whose command line has one of these words."""

    def find(scene: Scene) -> list[int]:
        return [p for p in scene.run.processes() if any(word in part for part in _words(p)[:6] for word in words)]

    return find


def _served(word: str, *, everywhere: bool) -> Callable[[Scene], list[int]]:
    """Return how to find the host program as `word` of the mesh, on one host or on all that the dice say."""

    def find(scene: Scene) -> list[int]:
        hosts = scene.hosts() if everywhere else [scene.host()]
        return [p for host in hosts for p in host.processes() if {word, "testwg"} <= set(_words(p))]

    return find


def _daemons(scene: Scene) -> list[int]:
    return [p for p in scene.host().processes() if any("sshd" in part for part in _words(p)[:1])]


def _by_signal(find: Callable[[Scene], list[int]], number: signal.Signals) -> Callable[[Scene], Lift]:
    return lambda scene: _signal(find(scene), number)


def _cut_power(scene: Scene) -> Lift:
    host = scene.host()
    host.power_cut()
    return lambda: plug_in(host)


def _cut_operator(scene: Scene) -> Lift:
    names = [host.name for host in scene.hosts()]
    scene.lab.network.ip("ctl", *(f"link set m-{name} down" for name in names))
    return lambda: scene.lab.network.ip("ctl", *(f"link set m-{name} up" for name in names))


def _cut_hosts(scene: Scene) -> Lift:
    one, other = scene.dice.sample([host.spec.number for host in scene.lab.hosts.values() if not host.spec.nat], 2)
    scene.lab.network.cut(one, other)
    return scene.lab.network.unblock


def _fill_disk(scene: Scene) -> Lift:
    host = scene.host()
    host.run("cat /dev/zero >/var/full 2>/dev/null", check=False)
    return lambda: host.run("rm -f /var/full")


def _make_read_only(scene: Scene) -> Lift:
    host = scene.host()
    host.remount("ro")
    return lambda: host.remount("rw")


def _second_operator(scene: Scene) -> Lift:
    """Somebody else runs the same stack at the same time; the engine refuses."""
    second = scene.stack.start("up")
    return second.end


def _another_mesh(scene: Scene) -> Lift:
    """Somebody else's stack changes another interface of the same hosts."""
    second = scene.other.start("up")

    def finish() -> None:
        _see_to_its_end(second)
        scene.other.run("destroy")

    return finish


def _see_to_its_end(second: Run) -> None:
    outcome = second.end()
    if outcome.code:
        raise UnexpectedEndError(f"the other mesh: {outcome.output}")


def _lock_packages(scene: Scene) -> Lift:
    """Another mesh has to install what a host lacks, and waits behind somebody who holds dpkg's lock."""
    host = scene.lab.hosts["carol"]
    host.run("mv /usr/sbin/nft /usr/sbin/nft.away")
    dpkg = (host.files / "var/lib/dpkg/lock-frontend").open("w")
    fcntl.lockf(dpkg, fcntl.LOCK_EX)
    second = scene.other.start("up")

    def finish() -> None:
        host.run("mv /usr/sbin/nft.away /usr/sbin/nft")
        dpkg.close()
        _see_to_its_end(second)
        scene.other.run("destroy")

    return finish


def _hold_lock(scene: Scene) -> Lift:
    host = scene.host()
    holder = host.run("setsid flock /var/lib/mesh/lock sleep 300 >/dev/null 2>&1 & echo $!").strip()
    return lambda: host.run(f"kill -- -{holder}", check=False)


def _jump_clock(scene: Scene) -> Lift:
    """Programs of some hosts see a clock that is a day off."""
    hosts, day = scene.hosts(), scene.dice.choice(("yesterday", "tomorrow"))
    for host in hosts:
        host.run(set_clock(day))

    def set_again() -> None:
        for host in hosts:
            host.run(SET_AGAIN)

    return set_again


def _kill_engine(scene: Scene) -> Lift:
    scene.run.kill_engine()
    return _nothing


def _kill_operator(scene: Scene) -> Lift:
    scene.run.kill_all()
    return _nothing


def _after_watchdogs(number: signal.Signals) -> Callable[[Scene], Lift]:
    """Strike the watchdogs of some hosts or all, and let the operator's machine die, so that they are needed."""

    def fall(scene: Scene) -> Lift:
        _signal(_served("watchdog", everywhere=True)(scene), number)
        return _kill_operator(scene)

    return fall


_KILL, _STOP = signal.SIGKILL, signal.SIGSTOP
_PROVIDER = _operators("pulumi.dynamic", "resource-pulumi-python")
_PLUGIN = _operators("resource-command")
_SESSION = _served("serve", everywhere=False)
_WATCHDOG = _served("watchdog", everywhere=True)

STRIKES = [
    Strike("engine killed", _kill_engine, ends_engine=True),
    Strike("engine stopped", lambda scene: _signal([scene.run.number], _STOP), (5, 40)),
    Strike("operator's machine dies", _kill_operator, ends_engine=True),
    Strike("operator's machine suspended", _by_signal(lambda scene: scene.run.processes(), _STOP), (5, 100)),
    Strike("provider killed", _by_signal(_PROVIDER, _KILL)),
    Strike("provider stopped", _by_signal(_PROVIDER, _STOP), (5, 40)),
    Strike("command plugin killed", _by_signal(_PLUGIN, _KILL)),
    Strike("command plugin stopped", _by_signal(_PLUGIN, _STOP), (5, 40)),
    Strike("watchdogs killed", _by_signal(_WATCHDOG, _KILL)),
    Strike("watchdogs stopped", _by_signal(_WATCHDOG, _STOP)),
    Strike("watchdogs killed, operator's machine dies", _after_watchdogs(_KILL), ends_engine=True),
    Strike("watchdogs stopped, operator's machine dies", _after_watchdogs(_STOP), ends_engine=True),
    Strike("session killed", _by_signal(_SESSION, _KILL)),
    Strike("session stopped", _by_signal(_SESSION, _STOP), (5, 40)),
    Strike("sshd killed", _by_signal(_daemons, _KILL)),
    Strike("sshd stopped", _by_signal(_daemons, _STOP), (5, 40)),
    Strike("host frozen", _by_signal(lambda scene: scene.host().processes(), _STOP), (5, 100)),
    Strike("power cut of a host", _cut_power, (0, 15)),
    Strike("operator cut off from hosts", _cut_operator, (2, 40)),
    Strike("two hosts cut off from each other", _cut_hosts, (2, 40)),
    Strike("disk full", _fill_disk, (5, 40)),
    Strike("file system read-only", _make_read_only, (5, 40)),
    Strike("second operator", _second_operator),
    Strike("another mesh changes", _another_mesh),
    Strike("dpkg locked, another mesh waits", _lock_packages, (20, 40)),
    Strike("host's lock held", _hold_lock, (5, 40)),
    Strike("clock a day off", _jump_clock, (5, 40)),
]
