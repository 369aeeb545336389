"""Many strikes one after another, and the matrix of faults and phases that follows from them."""

import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

from tests.lab.chaos import Chaos, ChaosError, Result
from tests.lab.phases import PHASES
from tests.lab.strikes import STRIKES

__all__ = ["MATRIX", "render", "strike"]

MATRIX = Path(__file__).parents[2] / "docs" / "fault-matrix.md"

_HEAD = """# Fault injection: which fault, in which phase, and the outcome

Four booted hosts, one of them behind NAT, carry traffic while the real engine changes keys, ports and MTU. At a
random moment of a phase, one fault is injected. It has to leave all hosts on the old configuration or all on the new
one, every key that runs in the state, and a mesh that the next `pulumi up --refresh` completes. Written by
`python -m tests.bench chaos`; the deadline is 10 seconds, and during a proof 60.

In each cell: how often it ended on the old state and on the new one, and the longest time in seconds, from the fault
on, that any host had a deadline running. 0 is a fault while none ran. A run may be past the phase that was
aimed at when the fault comes; what counts is where it was. `ended` is a fault that came after the end. A clock is a
day off for the programs of a host, not for WireGuard, since these hosts share one kernel; in virtual machines it jumps
for all of them (`tests/lab/test_clock_jumps.py`).
"""


def strike(seeds: range, prefix: str, labs: int = 1) -> list[Result | ChaosError]:
    """Return what became of the strike of each seed; several labs share them."""
    shares = [seeds[number::labs] for number in range(labs)]
    enough = Event()
    with ThreadPoolExecutor(labs) as pool:
        outcomes = pool.map(_strike_in_turn, shares, (f"{prefix}{number}" for number in range(labs)), repeat(enough))
        try:
            return [outcome for share in outcomes for outcome in share]
        finally:
            # Who is interrupted takes the labs away after the strikes that are under way.
            enough.set()


def _strike_in_turn(seeds: range, prefix: str, enough: Event) -> list[Result | ChaosError]:
    """Strike in one lab; after a broken promise in a new one."""
    outcomes: list[Result | ChaosError] = []
    while len(outcomes) < len(seeds) and not enough.is_set():
        with TemporaryDirectory() as folder, Chaos(prefix, Path(folder)) as chaos:
            for seed in seeds[len(outcomes) :]:
                if enough.is_set():
                    break
                try:
                    outcomes.append(chaos.strike(seed))
                except ChaosError as error:
                    outcomes.append(error)
                sys.stderr.write(f"chaos: {outcomes[-1]}\n")
                if isinstance(outcomes[-1], ChaosError):
                    break
    return outcomes


def render(results: Sequence[Result], errors: Sequence[ChaosError]) -> str:
    """Return the matrix as Markdown."""
    cells: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        cells[result.fault, result.phase].append(result)
    phases = [*PHASES, "ended"]
    # Without spaces, so that a line fits an editor.
    lines = [_HEAD, f"||{'|'.join(phases)}|", f"|---|{'---|' * len(phases)}"]
    lines.extend(f"|{it.name}|{'|'.join(_cell(cells[it.name, phase]) for phase in phases)}|" for it in STRIKES)
    longest = max((result.seconds for result in results), default=0)
    old = sum(result.outcome == "old" for result in results)
    lines.append("")
    lines.append(
        f"{len(results) + len(errors)} strikes: {old} ended on the old state, {len(results) - old} on the new one, "
        f"and\n{len(errors)} broke a promise. The longest time to settle was {longest:.0f} seconds."
    )
    lines.extend(f"\n- {error}" for error in errors)
    return "\n".join(lines) + "\n"


def _cell(results: list[Result]) -> str:
    if not results:
        return ""
    counts = [(outcome, sum(result.outcome == outcome for result in results)) for outcome in ("old", "new")]
    words = " ".join(f"{count} {outcome}" for outcome, count in counts if count)
    return f"{words}, {max(result.seconds for result in results):.0f} s"
