"""`python -m mesh up`: what it is given; what it makes pulumi do is in `partial_up` and `checkpoints`."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Annotated

import typer
from rich.console import Console

from mesh.cli.checkpoints import CHECKPOINTS_VARIABLE, WAY_BACK, skips_checkpoints
from mesh.cli.completion import complete_host
from mesh.cli.parameters import SelectedStack
from mesh.cli.partial_up import target_options
from mesh.cli.project import find_project
from mesh.cli.pulumi_cli import PulumiCli
from mesh.config.models import Interface
from mesh.errors import MeshError
from mesh.plan.roster import participants_of
from mesh.rollout.unreachable import SKIP_VARIABLE

__all__ = ["up_command"]


def up_command(errors: Console) -> Callable[..., None]:
    """Return the command."""

    def up(
        stack: SelectedStack = None,
        further: Annotated[list[str] | None, typer.Argument(help="after --, what else pulumi up is to be told")] = None,
        only: Annotated[
            list[str] | None,
            typer.Option(help="only the change of this host or peer; may be given again", autocompletion=complete_host),
        ] = None,
        skip_unreachable: Annotated[
            bool,
            typer.Option("--skip-unreachable", help="go on without hosts that do not answer; they get theirs later"),
        ] = False,
        checkpoints: Annotated[
            bool | None,
            typer.Option(help="write the state after every step of the run; by default, if it has below 100 members"),
        ] = None,
    ) -> None:
        """Run pulumi up, for all hosts or --only some, in a way that never leaves a mesh with half a change.

        With --only, other members change only what they have to know: the new public keys, and endpoints and other
        settings that the stack file changes. Every host, phone and other peer that joins or leaves has to be named.

        From 100 members on, or with --no-checkpoints, the state is written once, at the end of the run. That saves most
        of its time. If pulumi is killed before, the keys that it made are on the hosts alone, and mesh adopt brings
        them back.
        """
        options = list(further or ())
        if stack and stack.startswith("-"):
            # Without a stack, the first word after -- is taken for one.
            options = [stack, *options]
            stack = None
        pulumi = PulumiCli(find_project(), stack)
        targets: list[str] = []
        meshes: Mapping[str, Interface] = {}
        if only:
            meshes = pulumi.configuration().interfaces
            planned = {name: {*mesh.hosts, *mesh.peers} for name, mesh in meshes.items()}
            running = {name: {*participants_of(entry.rollout["roster"])} for name, entry in pulumi.recorded().items()}
            targets = target_options(only, planned, running)
        variables = {SKIP_VARIABLE: "true"} if skip_unreachable else {}
        if checkpoints is not None:
            variables[CHECKPOINTS_VARIABLE] = "false"
        elif not meshes:
            # A stack that is not chosen yet, or a program of your own: Pulumi asks, or says what is wrong.
            with suppress(MeshError):
                meshes = pulumi.configuration().interfaces
        if skips_checkpoints(sum(len(mesh.hosts) for mesh in meshes.values()), checkpoints, os.environ):
            variables[CHECKPOINTS_VARIABLE] = "true"
            errors.print(WAY_BACK.format(stack=pulumi.stack), markup=False)
        pulumi.become("up", [*targets, *options], variables)

    return up
