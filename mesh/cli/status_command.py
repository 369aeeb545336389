"""`python -m mesh status`: what it is given, and what it prints; what it asks is in `status`."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console

from mesh.cli.parameters import OnlyHosts, OnlyMeshes, SelectedStack
from mesh.cli.project import find_project
from mesh.cli.pulumi_cli import PulumiCli

__all__ = ["status_command"]


def status_command(console: Console) -> Callable[..., None]:
    """Return the command."""

    def status(
        stack: SelectedStack = None,
        interface: OnlyMeshes = None,
        only: OnlyHosts = None,
        ping: Annotated[bool, typer.Option(help="ping every peer from every host")] = True,
        pairs: Annotated[bool, typer.Option("--pairs", help="all pairs, also of many hosts")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="one JSON document instead of tables")] = False,
    ) -> None:
        """Show what all hosts run at this moment, and whether every pair answers; exit code 1 if anything is amiss.

        First comes a sentence, then what is wrong, then tables.
        """
        from mesh.cli.look import look, narrow  # noqa: PLC0415
        from mesh.cli.status_json import show_json  # noqa: PLC0415
        from mesh.cli.status_tables import show_tables  # noqa: PLC0415

        meshes = narrow(look(PulumiCli(find_project(), stack), interface, ping=ping), only or [])
        if as_json:
            sys.stdout.write(show_json(meshes) + "\n")
        else:
            console.print(show_tables(meshes, all_pairs=pairs))
        if not all(mesh.is_well for mesh in meshes):
            raise typer.Exit(1)

    return status
