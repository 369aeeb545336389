"""A change is struck at some moment, and what must hold afterwards is checked: all old or all new, no key lost, healed.

A seed says what is changed, what strikes, in which phase and when within it. Two runs of one seed differ by what a busy
machine does, and by no more. The strikes themselves are in `strikes`.
"""

import json
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from tests.lab.lab import Lab, default_hosts
from tests.lab.phases import HELD, PHASES, Watcher, seconds_left
from tests.lab.stack import Stack, wait_until
from tests.lab.strikes import STRIKES, Scene, Strike
from tests.lab.traffic import Traffic

__all__ = ["Chaos", "ChaosError", "Result", "planned"]

_PORT = 51825
_DEADLINE = 10
# The proof moves the deadline to 60 seconds and gives up before; then come turns, ten seconds after which a watchdog is
# missed, and the seconds of a busy machine.
_ARMED_AT_MOST = 100
# An order of the operator that gets no answer is given up after 60 seconds, and a struck run may need several.
_RUN_AT_MOST = 300

Running = dict[str, tuple[str, str]]


class ChaosError(AssertionError):
    """A promise was not kept; the message begins with the seed."""


@dataclass(frozen=True)
class Result:
    """What became of one strike.

    `outcome` is what all hosts run afterwards, old or new. `seconds` are how long, from the strike on, any host was on
    its way from one to the other with nobody to say that it may stay.
    """

    seed: int
    fault: str
    phase: str
    outcome: str
    seconds: float


def planned(seed: int) -> tuple[Strike, str]:
    """Return what strikes in which phase; each pair has its turn before any comes again."""
    pairs = list(product(STRIKES, PHASES))
    # The golden ratio leads far away each time, and to every pair, since it has no factor in common with their number.
    step = next(n for n in range(int(len(pairs) * 0.618), len(pairs)) if _are_coprime(n, len(pairs)))
    return pairs[seed * step % len(pairs)]


def _are_coprime(one: int, other: int) -> bool:
    while other:
        one, other = other, one % other
    return one == 1


def _lift_after(seconds: float, lift: Callable[[], object]) -> None:
    time.sleep(seconds)
    lift()


class Chaos:
    """Four hosts, a mesh with traffic, and another mesh that comes and goes; use as a context."""

    def __init__(self, prefix: str, folder: Path) -> None:
        """Describe the lab; `folder` takes the stacks."""
        # Small disks, so that one can be filled.
        self._lab = Lab([replace(spec, disk_megabytes=64) for spec in default_hosts(4)], prefix=prefix)
        self._folder = folder
        self._rotation = 1
        self._mesh: dict[str, Any] = {"port": _PORT, "deadline": _DEADLINE, "rotation": 1, "members": {}}

    def __enter__(self) -> "Chaos":
        """Boot the hosts and bring up the mesh."""
        self._lab.up()
        try:
            self._stack, self._other = (Stack(self._lab, self._folder / name) for name in ("stack", "other"))
            back: dict[str, Any] = {"hosts": ["bernard", "carol"], "port": 51999}
            self._other.write({"backwg": {**back, "members": {"carol": {"routes": ["2001:db8:77::/64"]}}}})
            self._mesh["hosts"] = list(self._lab.hosts)
            self._stack.write({"testwg": self._mesh})
            self._stack.up()
        except BaseException:
            self._lab.down()
            raise
        self._deadlines = [host.files / "var/lib/mesh/testwg/deadline" for host in self._lab.hosts.values()]
        return self

    def __exit__(self, *_: object) -> None:
        """Take everything away."""
        self._lab.down()

    def strike(self, seed: int) -> Result:
        """Change the mesh, let the strike of `seed` fall, and check what it leaves.

        Raises:
            ChaosError: If a promise was not kept.
        """
        strike, phase = planned(seed)
        try:
            return self._strike(seed, strike, phase)
        except Exception as error:
            raise ChaosError(f"seed {seed} ({strike.name}, {phase}): {error}") from error

    def _strike(self, seed: int, strike: Strike, phase: str) -> Result:
        dice = random.Random(seed)  # noqa: S311
        old = self._running()
        self._change(dice)
        # For the run to go back, a host takes no new SSH connection.
        network = self._lab.network
        at: dict[str, Callable[[], None]] = {"switch": lambda: network.refuse_ssh("dora")} if phase == "go back" else {}
        with Traffic(list(self._lab.hosts.values()), "testwg", 10), ThreadPoolExecutor(1) as aside:
            run = self._stack.start("up")
            try:
                watcher = Watcher(run, self._deadlines, at)
                watcher.wait_for(phase, _RUN_AT_MOST)
                time.sleep(dice.uniform(0, PHASES[phase][1]))
                fell_in, fallen = watcher.phase, time.monotonic()
                lift = strike.fall(Scene(self._lab, run, self._stack, self._other, dice))
                lifting = aside.submit(_lift_after, dice.uniform(*strike.seconds), lift)
                seconds = self._wait_until_settled(watcher, fallen)
                lifting.result()
            finally:
                if at:
                    # A host that lost power has a new network.
                    with suppress(RuntimeError):
                        network.accept_ssh("dora")
            outcome = self._judge(old)
            self._heal(strike)
            run.kill_all()
        return Result(seed, strike.name, fell_in, outcome, seconds)

    def _change(self, dice: random.Random) -> None:
        """Write a stack file that asks for new keys on all hosts or one, and perhaps for another port or MTU."""
        # A number that never was, since the keys of a change that failed stay in the state.
        self._rotation += 1
        if dice.random() < 0.5:
            self._mesh |= {"rotation": self._rotation, "members": {}}
        else:
            name = dice.choice(list(self._lab.hosts))
            self._mesh["members"] = {**self._mesh["members"], name: {"rotation": self._rotation}}
        if dice.random() < 0.4:
            self._mesh["port"] = _PORT + (self._mesh["port"] - _PORT + 1) % 4
        if dice.random() < 0.3:
            self._mesh["mtu"] = dice.choice((1300, 1360, 1400))
        self._stack.write({"testwg": self._mesh})

    def _running(self) -> Running:
        """Return the key and the port of each host."""
        script = "wg show testwg public-key; wg show testwg listen-port"
        words = {name: host.run(script, check=False).split() for name, host in self._lab.hosts.items()}
        # An interface that has just been created has no key yet, and shows `(none)`.
        return {name: (it[0], it[1]) if len(it) == 2 and it[0] != "(none)" else ("", "") for name, it in words.items()}

    def _wait_until_settled(self, watcher: Watcher, fallen: float) -> float:
        """Wait until the run has ended, and no host has a deadline but to hold; return for how long one had another."""
        armed_since, armed, quiet_since = 0.0, fallen, 0.0
        while True:
            now = time.monotonic()
            if any(left != 0 and left < HELD for left in map(seconds_left, self._deadlines)):
                armed_since, armed, quiet_since = armed_since or now, now, 0.0
            else:
                armed_since, quiet_since = 0.0, quiet_since or now
            if armed_since and now - armed_since > _ARMED_AT_MOST + _DEADLINE:
                raise ChaosError(f"a host was neither confirmed nor back for {now - armed_since:.0f} seconds")
            if watcher.phase != "ended" and now - fallen > _RUN_AT_MOST:
                raise ChaosError(f"the run did not end within {_RUN_AT_MOST} seconds")
            has_power = all(host.first_process() for host in self._lab.hosts.values())
            if watcher.phase == "ended" and has_power and quiet_since and now - quiet_since > 3:
                return armed - fallen
            time.sleep(0.2)

    def _judge(self, old: Running) -> str:
        """Return whether all hosts run what they ran before, or what the state asks for."""
        wait_until(lambda: all(key for key, _ in self._running().values()), 30)
        running, keys = self._running(), self._stack.public_keys()
        new = {name: (keys[f"testwg/{name}/key"], str(self._mesh["port"])) for name in running}
        exported = json.dumps(self._stack.state())
        if lost := [name for name, key in self._stack.running_keys("testwg").items() if key not in exported]:
            raise ChaosError(f"the state lacks the key that {', '.join(lost)} runs")
        if running in (old, new):
            return "old" if running == old else "new"
        states = {name: "old" if it == old[name] else "new" if it == new[name] else it for name, it in running.items()}
        raise ChaosError(f"hosts run different states: {states}")

    def _heal(self, strike: Strike) -> None:
        """Do what an operator does next, which has to succeed."""
        if strike.ends_engine:
            self._stack.cancel()
        self._stack.up("--refresh")
        if silent := self._stack.silent("testwg", 10):
            raise ChaosError(f"after the next up, no answer: {silent}")
        look = "ls -d /var/lib/mesh/testwg/deadline /var/lib/mesh/testwg/next 2>/dev/null"
        if left := [name for name, host in self._lab.hosts.items() if host.run(look, check=False)]:
            raise ChaosError(f"after the next up, not confirmed: {left}")
