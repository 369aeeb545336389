"""Arguments and options that several commands have, each with what it means and what a shell completes."""

from typing import Annotated

import typer

from mesh.cli.completion import complete_host, complete_interface, complete_stack

__all__ = [
    "OnlyHosts",
    "OnlyMesh",
    "OnlyMeshes",
    "SelectedStack",
    "StackArgument",
    "StackOption",
    "TheHosts",
]

StackArgument = Annotated[
    str, typer.Argument(help="a stack's name, or the path of its file", autocompletion=complete_stack)
]
SelectedStack = Annotated[
    str | None,
    typer.Argument(help="a stack's name; the selected one if none is given", autocompletion=complete_stack),
]
StackOption = Annotated[
    str | None,
    typer.Option("--stack", help="a stack's name; the selected one if none is given", autocompletion=complete_stack),
]
OnlyMesh = Annotated[
    str | None,
    typer.Option("--interface", help="the mesh, if there are several", autocompletion=complete_interface),
]
OnlyMeshes = Annotated[
    list[str] | None,
    typer.Option("--interface", help="only this mesh; may be given again", autocompletion=complete_interface),
]
OnlyHosts = Annotated[
    list[str] | None,
    typer.Option("--only", help="only what concerns this host; may be given again", autocompletion=complete_host),
]
TheHosts = Annotated[
    list[str] | None,
    typer.Option("--host", help="only this host; may be given again", autocompletion=complete_host),
]
