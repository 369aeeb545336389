"""Many strikes one after another, and the matrix of faults and phases that follows from them."""

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.lab.chaos import Chaos, ChaosError, Result
from tests.lab.phases import PHASES
from tests.lab.strikes import STRIKES

__all__ = ["MATRIX", "render", "strike"]

MATRIX = Path(__file__).parents[2] / "docs" / "fault-matrix.md"

_HEAD = """# What strikes, when, and what became of it

Four booted hosts, one of them behind NAT, carry traffic while the real engine changes keys, ports and MTU. At a
random moment of a phase, one strike falls. It has to leave all hosts on the old configuration or all on the new one,
every key that runs in the state, and a mesh that the next `pulumi up --refresh` completes. Written by
`python -m tests.bench chaos`; the deadline is 10 seconds, and during a proof 60.

In each cell: how often it ended on the old state and on the new one, and the longest time in seconds, from the strike
on, that any host had a deadline running. 0 is a strike that fell while none ran. A run may be past the phase that was
aimed at when the strike falls; what counts is where it was. `ended` is a strike that came after the end.
"""


def strike(count: int, first: int, prefix: str) -> Iterator[Result | ChaosError]:
    """Yield what became of each of `count` strikes, from the seed `first` on; after a broken promise in a new lab."""
    seeds = iter(range(first, first + count))
    left = count
    while left:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory()))
            chaos = stack.enter_context(Chaos(prefix, folder))
            for seed in seeds:
                left -= 1
                try:
                    result = chaos.strike(seed)
                except ChaosError as error:
                    sys.stderr.write(f"chaos: {error}\n")
                    yield error
                    break
                sys.stderr.write(f"chaos: {result}\n")
                yield result


def render(results: Sequence[Result], errors: Sequence[ChaosError]) -> str:
    """Return the matrix as Markdown."""
    cells: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        cells[result.fault, result.phase].append(result)
    phases = [*PHASES, "ended"]
    lines = [_HEAD, f"| | {' | '.join(phases)} |", f"|---|{'---|' * len(phases)}"]
    lines.extend(f"| {it.name} | {' | '.join(_cell(cells[it.name, phase]) for phase in phases)} |" for it in STRIKES)
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
