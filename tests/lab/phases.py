"""Which phase a change is in, by what its run prints and by how long the hosts hold."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.lab.stack import Run

__all__ = ["HELD", "PHASES", "Watcher", "seconds_left"]

# What begins each phase, and how long it lasts here, as a rule, in seconds.
PHASES = {
    "plan": ("", 3.0),
    "connect": ("connecting to", 1.0),
    "stage": ("staging on", 0.5),
    "switch": ("switching key 1", 1.5),
    "prove": ("verifying", 1.0),
    # Nothing is printed then; it begins when the first host has a deadline that is minutes away.
    "confirm": ("", 0.1),
    "go back": ("rolling back", 1.5),
}
_ORDER = [*PHASES, "ended"]
# Who has more seconds than this before it goes back was told to hold.
HELD = 300


def seconds_left(deadline: Path) -> float:
    """Return in how many seconds a host with this file goes back by itself, negative if that is late; 0 without one."""
    try:
        until = float(deadline.read_text().split()[0])
        return until - float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, IndexError, ValueError):
        return 0


class Watcher:
    """Follows a run to its end; `phase` is where it is, at last `ended`."""

    def __init__(self, run: Run, deadlines: list[Path], at: dict[str, Callable[[], None]]) -> None:
        """Follow `run` from now on; what `at` has for a phase is done as soon as that begins."""
        self._run, self._deadlines, self._at = run, deadlines, at
        self.phase = "plan"
        self._changed = threading.Condition()
        for work in (self._read, self._look):
            threading.Thread(target=work, daemon=True).start()

    def _enter(self, phase: str) -> None:
        with self._changed:
            if _ORDER.index(phase) <= _ORDER.index(self.phase):
                return
            self.phase = phase
            if phase in self._at:
                self._at[phase]()
            self._changed.notify_all()

    def _read(self) -> None:
        # Whoever strikes the run may close what it prints.
        with suppress(ValueError):
            for line in self._run.lines():
                for phase, (begin, _) in PHASES.items():
                    if begin and begin in line:
                        self._enter(phase)
        self._run.wait()
        self._enter("ended")

    def _look(self) -> None:
        while self.phase != "ended":
            if self.phase == "prove" and any(seconds_left(file) > HELD for file in self._deadlines):
                self._enter("confirm")
            time.sleep(0.001 if self.phase == "prove" else 0.02)

    def wait_for(self, phase: str, seconds: float) -> bool:
        """Wait until a phase has begun, or the run has ended; return whether either came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: _ORDER.index(self.phase) >= _ORDER.index(phase), seconds)
