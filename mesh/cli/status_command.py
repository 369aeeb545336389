"""`python -m mesh status`: what it is given, and what it prints; what it asks is in `status`."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mesh.cli.pulumi_cli import Cli
from mesh.errors import MeshError

__all__ = ["status_command"]


def status_command(root: Path, console: Console) -> Callable[..., None]:
    """Return the command; `root` is the project's folder."""

    def status(
        stack: Annotated[str | None, typer.Argument(help="a stack's name; the selected one if none is given")] = None,
        interface: Annotated[list[str] | None, typer.Option(help="only this mesh; may be given again")] = None,
        ping: Annotated[bool, typer.Option(help="ping every peer from every host")] = True,
        pairs: Annotated[bool, typer.Option("--pairs", help="all pairs, also of many hosts")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="one JSON document instead of tables")] = False,
    ) -> None:
        """Show what all hosts run at this moment, and whether every pair answers; exit code 1 if anything is amiss."""
        from mesh.cli.status import ask  # noqa: PLC0415
        from mesh.cli.status_tables import show_json, show_tables  # noqa: PLC0415
        from mesh.remote.concurrency import run  # noqa: PLC0415

        recorded = Cli(root, stack).recorded()
        chosen = interface or sorted(recorded)
        if missing := [name for name in chosen if name not in recorded]:
            raise MeshError(f"status: {missing[0]} was never rolled out in this stack; run pulumi up first")
        meshes = [run(partial(ask, recorded[name].rollout, ping=ping)) for name in chosen]
        if as_json:
            sys.stdout.write(show_json(meshes) + "\n")
        else:
            console.print(show_tables(meshes, all_pairs=pairs))
        if not all(mesh.is_well for mesh in meshes):
            raise typer.Exit(1)

    return status
