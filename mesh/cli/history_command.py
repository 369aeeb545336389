"""`python -m mesh history`: what it is given, and what it prints; what it knows is in `history`."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from mesh.cli.parameters import SelectedStack
from mesh.cli.project import find_project
from mesh.cli.pulumi_cli import PulumiCli

__all__ = ["history_command"]


def history_command(console: Console) -> Callable[..., None]:
    """Return the command."""

    def history(
        stack: SelectedStack = None,
        limit: Annotated[int, typer.Option(help="how many runs, the latest first", min=1)] = 10,
        as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
    ) -> None:
        """Show who changed what and when: the runs of a stack, from the engine's history, in words of the mesh."""
        from mesh.cli.history import read_history  # noqa: PLC0415
        from mesh.cli.history_json import show_history  # noqa: PLC0415

        runs = read_history(PulumiCli(find_project(), stack).history(), limit)
        if as_json:
            sys.stdout.write(show_history(runs) + "\n")
            return
        if not runs:
            console.print("no run of this stack yet")
        for run in runs:
            began = datetime.fromisoformat(run.began).astimezone(UTC)
            words = [f"{began:%Y-%m-%d %H:%M} UTC", run.kind, run.result, *filter(None, (run.who, run.message))]
            console.print("  ".join(words), soft_wrap=True)
            for line in run.lines:
                console.print(f"    {line}", soft_wrap=True)

    return history
