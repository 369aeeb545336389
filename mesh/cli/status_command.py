"""`python -m mesh status`: what it is given, and what it prints; what it asks is in `status`."""

import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.live import Live

from mesh.cli.parameters import OnlyHosts, OnlyMeshes, SelectedStack
from mesh.cli.project import find_project
from mesh.cli.pulumi_cli import PulumiCli
from mesh.errors import MeshError

if TYPE_CHECKING:
    from mesh.cli.status_rows import MeshStatus

__all__ = ["status_command", "watch_status"]


def watch_status(
    console: Console, ask: "Callable[[], Sequence[MeshStatus]]", seconds: float, *, all_pairs: bool
) -> "Sequence[MeshStatus]":
    """Show what `ask` returns, again and again in the same place, until Ctrl-C; return what was shown last."""
    from mesh.cli.status_rates import rates_between  # noqa: PLC0415
    from mesh.cli.status_tables import show_tables  # noqa: PLC0415

    shown: Sequence[MeshStatus] = ()
    is_interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal is_interrupted
        is_interrupted = True
        raise KeyboardInterrupt

    # With Python's own handler, asyncio takes Ctrl-C for a cancellation, which a reply of that moment may overtake.
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with Live(console=console, auto_refresh=False) as live:
            size = console.size
            while not is_interrupted:
                found = ask()
                if console.size != size:
                    # The lines of before were broken anew, and nobody knows how many they are.
                    console.clear()
                    size = console.size
                live.update(show_tables(found, all_pairs=all_pairs, rates=rates_between(shown, found)), refresh=True)
                shown = found
                time.sleep(seconds)
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGINT, before)
    return shown


def status_command(console: Console) -> Callable[..., None]:
    """Return the command."""

    def status(
        stack: SelectedStack = None,
        interface: OnlyMeshes = None,
        only: OnlyHosts = None,
        ping: Annotated[bool, typer.Option(help="ping every peer from every host")] = True,
        pairs: Annotated[bool, typer.Option("--pairs", help="all pairs, also of many hosts")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="one JSON document instead of tables")] = False,
        watch: Annotated[bool, typer.Option("--watch", help="look again and again, with rates, until Ctrl-C")] = False,
        interval: Annotated[int, typer.Option(help="seconds from one look of --watch to the next", min=1)] = 5,
    ) -> None:
        """Show what all hosts run at this moment, and whether every pair answers; exit status 1 if anything is wrong.

        First comes a sentence, then what is wrong, then tables.
        """
        from mesh.cli.look import look, narrow  # noqa: PLC0415
        from mesh.cli.status_json import show_json  # noqa: PLC0415
        from mesh.cli.status_tables import show_tables  # noqa: PLC0415

        if watch and as_json:
            raise MeshError("status: --watch redraws tables, and --json is one document; give one of them")
        if watch and not console.is_terminal:
            raise MeshError("status: --watch redraws a terminal, and there is none; leave it out")
        pulumi = PulumiCli(find_project(), stack)

        def ask() -> "Sequence[MeshStatus]":
            return narrow(look(pulumi, interface, "status", ping=ping), only or [])

        meshes = watch_status(console, ask, interval, all_pairs=pairs) if watch else ask()
        if as_json:
            sys.stdout.write(show_json(meshes) + "\n")
        elif not watch:
            console.print(show_tables(meshes, all_pairs=pairs))
        if not all(mesh.is_well for mesh in meshes):
            raise typer.Exit(1)

    return status
