"""`python -m tests.bench`: measure against booted hosts and, at engine level, against hosts on loopback."""

import os
import secrets
import signal
import statistics
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tests.lab.lab import LabUnavailableError

app = typer.Typer(help="Measure. Alone, it runs everything that this machine can run.", pretty_exceptions_enable=False)

# As wide as the tables: in a file or a pipe a narrower one would cut their words.
_CONSOLE = Console(width=None if sys.stdout.isatty() else 140)


@app.command()
def lab(
    hosts: Annotated[
        list[int] | None,
        typer.Option(help="hosts in the mesh, of which one is behind NAT; may be given again; 10 and 30"),
    ] = None,
    rounds: Annotated[int, typer.Option(help="counted rounds; one more goes before")] = 3,
) -> None:
    """A mesh from nothing and its everyday changes: this program, pyinfra and parallel ssh, taking turns in one lab."""
    from tests.bench.lab import BARE, OURS, PARALLEL_SSH, PYINFRA, compare  # noqa: PLC0415

    for count in hosts or [10, 30]:
        try:
            seconds = compare(count, rounds)
        except LabUnavailableError as error:
            raise SystemExit(f"bench: the lab cannot run here: {error}") from None
        ways = (PARALLEL_SSH, PYINFRA, BARE)
        columns = ("seconds", OURS, *ways, *(f"by {way}" for way in ways))
        table = Table(*columns, title=f"{count} hosts, medians of {rounds} rounds; only {OURS} proves every pair")
        for change in dict.fromkeys(change for change, _ in seconds):
            ours = seconds[change, OURS]
            theirs = [seconds.get((change, way), []) for way in ways]
            table.add_row(
                change,
                *(f"{statistics.median(values):.1f}" if values else "" for values in (ours, *theirs)),
                *(f"{_ratio(ours, values):.2f}" if values else "" for values in theirs),
            )
        _CONSOLE.print(table)


def _ratio(ours: list[float], theirs: list[float]) -> float:
    """Return the median of the ratios of each round."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


@app.command()
def loss(
    hosts: Annotated[list[int] | None, typer.Option(help="hosts in the mesh; may be given again; 10 and 30")] = None,
) -> None:
    """What a running mesh loses by each change, and what it loses when pyinfra or Ansible make that change."""
    from tests.bench.loss import measure  # noqa: PLC0415

    for count in hosts or [10, 30]:
        columns = ("lost among the others", "stall ms", "lost with the subject", "stall ms", "TCP kept", "s")
        table = Table("by", "change", *columns, title=f"what a change loses, {count} hosts")
        try:
            for row in measure(count):
                cells = [
                    cell
                    for gaps in (row.others, row.subject)
                    for cell in ((f"{gaps.lost} of {gaps.sent}", f"{gaps.stall * 1000:.0f}") if gaps else ("", ""))
                ]
                table.add_row(row.tool, row.change, *cells, row.kept, f"{row.seconds:.1f}")
        except LabUnavailableError as error:
            raise SystemExit(f"bench: the lab cannot run here: {error}") from None
        _CONSOLE.print(table)


@app.command()
def kernel() -> None:
    """What a change loses where WireGuard is the kernel's, in virtual machines, and in userspace; not part of all."""
    from tests.bench.kernel import compare_kernels  # noqa: PLC0415

    table = Table("change", "kernel", "gap ms", "userspace", "gap ms", title="packets lost, 3 hosts, 20 pings a second")
    try:
        for both in compare_kernels():
            cells = [
                cell
                for loss in (both.kernel, both.userspace)
                for cell in (f"{loss.lost} of {loss.sent}", f"{loss.gap * 1000:.0f}")
            ]
            table.add_row(both.change, *cells)
    except LabUnavailableError as error:
        raise SystemExit(f"bench: virtual machines cannot run here: {error}") from None
    _CONSOLE.print(table)


@app.command()
def engine(hosts: Annotated[str, typer.Option(help="numbers of hosts, with commas")] = "10,100,1000") -> None:
    """What the engine costs by the number of hosts, which are stand-ins on loopback."""
    from tests.bench.engine import measure  # noqa: PLC0415

    columns = (
        "hosts",
        "preview s",
        "first up s",
        "written once s",
        "no-op up s",
        "add one s",
        "rotate one s",
        "changed by add",
        "state KB",
        "memory MB",
        *("status s", "doctor s", "metrics s", "page s"),
    )
    table = Table(*columns, title="engine level")
    for row in measure([int(count) for count in hosts.split(",")]):
        seconds = (row.preview, row.first, row.once, row.nothing, row.add, row.rotate)
        cells = [
            str(row.hosts),
            *("" if value is None else f"{value:.1f}" for value in seconds),
            str(row.changed),
            f"{row.state:.0f}",
        ]
        cells.append(f"{row.memory:.0f}")
        cells += [f"{value:.1f}" for value in row.looks.values()]
        table.add_row(*cells)
        _CONSOLE.print(" ".join(cells), style="dim")
    _CONSOLE.print(table)


@app.command()
def chaos(
    strikes: Annotated[
        int, typer.Option(help="how many fall; each fault has its turn in each phase before any again")
    ] = 200,
    seed: Annotated[int, typer.Option(help="the first one's; a seed that failed is tried again by --strikes 1")] = 0,
    labs: Annotated[int, typer.Option(help="how many labs share them")] = 1,
) -> None:
    """Strike changes at random moments, check what must hold, write docs/fault-matrix.md; 1 where a promise broke."""
    from tests.bench.chaos import MATRIX, render, strike  # noqa: PLC0415
    from tests.lab.chaos import ChaosError  # noqa: PLC0415

    prefix = os.environ.get("MESH_LAB_PREFIX", "chaos")
    try:
        outcomes = strike(range(seed, seed + strikes), prefix, labs)
    except LabUnavailableError as error:
        raise SystemExit(f"bench: the lab cannot run here: {error}") from None
    errors = [each for each in outcomes if isinstance(each, ChaosError)]
    text = render([each for each in outcomes if not isinstance(each, ChaosError)], errors)
    if strikes >= 20:
        MATRIX.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    if errors:
        raise typer.Exit(1)


@app.command()
def walk(
    steps: Annotated[int, typer.Option(help="how many times the stack file is edited")] = 200,
    seed: Annotated[int | None, typer.Option(help="which edits; without it, another walk each time")] = None,
    back: Annotated[bool, typer.Option("--back", help="let each step fail first, and be rolled back")] = False,
) -> None:
    """Random edits of the stack file, one to four at a time, each under traffic in all directions, at 4 hosts."""
    from tests.bench.walk import walk_far  # noqa: PLC0415

    chosen = secrets.randbelow(2**32) if seed is None else seed
    sys.stderr.write(f"bench: walk with seed {chosen}\n")
    try:
        for line in walk_far(chosen, steps, back=back):
            _CONSOLE.print(line)
    except LabUnavailableError as error:
        raise SystemExit(f"bench: the lab cannot run here: {error}") from None


@app.callback(invoke_without_command=True)
def everything(context: typer.Context) -> None:
    """Run all of it."""
    # Whoever ends it wants the lab to be gone too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if context.invoked_subcommand is None:
        lab()
        loss()
        engine()
        walk()
        chaos()


app()
