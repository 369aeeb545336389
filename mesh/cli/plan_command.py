"""`python -m mesh plan`: what it is given, and what it prints; what it compares is in `plan`."""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from mesh.cli.parameters import OnlyMeshes, SelectedStack
from mesh.cli.project import find_project
from mesh.cli.pulumi_cli import PulumiCli
from mesh.cli.stack_file import StackFile
from mesh.errors import MeshError, show_name

__all__ = ["plan_command"]

# As the exit statuses of `terraform plan -detailed-exitcode` and of `git diff --exit-code` tell changes from failures.
_CHANGES = 2


class _Format(StrEnum):
    MARKDOWN = "markdown"
    TEXT = "text"


def plan_command(console: Console) -> Callable[..., None]:
    """Return the command."""

    def plan(
        stack: SelectedStack = None,
        interface: OnlyMeshes = None,
        form: Annotated[
            _Format, typer.Option("--format", help="text, or markdown for a comment on a pull request")
        ] = _Format.TEXT,
        exit_code: Annotated[bool, typer.Option("--exit-code", help="exit status 2 if anything would change")] = False,
    ) -> None:
        """Show what the next pulumi up would change: the stack file beside the state. No host is asked.

        It tells which hosts gain and lose which peers, how many hosts and pairs change, what running tunnels are
        expected to lose, and which keys expire next.
        """
        from mesh.cli.plan import plan_changes  # noqa: PLC0415
        from mesh.cli.plan_text import as_markdown, as_text  # noqa: PLC0415

        pulumi = PulumiCli(find_project(), stack)
        changes = plan_changes(StackFile(pulumi.stack_file()).configuration(), pulumi.recorded())
        known = [change.interface for change in changes]
        if missing := [name for name in interface or () if name not in known]:
            raise MeshError(f"plan: {show_name(missing[0])} is no mesh; give one of {', '.join(known) or 'none'}")
        chosen = [change for change in changes if not interface or change.interface in interface]
        show = as_markdown if form is _Format.MARKDOWN else as_text
        console.print(show(pulumi.stack, chosen), soft_wrap=True)
        if exit_code and any(change.changes for change in chosen):
            raise typer.Exit(_CHANGES)

    return plan
