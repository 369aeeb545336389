"""`python -m mesh new`: its arguments, and what it prints; `new` does the work."""

from collections.abc import Callable
from typing import Annotated, Protocol

import typer
from rich.console import Console

from mesh.cli.new import init_stack, make_stack_file, name_stack_file, read_wanted
from mesh.cli.project import find_project
from mesh.cli.stack_places import stack_of
from mesh.config.interface_name import interface_name_fault
from mesh.errors import MeshError, show_name

__all__ = ["new_command"]


class Confirm(Protocol):
    """Ask for a yes, or raise."""

    def __call__(self, question: str, *, yes: bool, command: str) -> None:
        """Return if the answer is yes; `command` begins the message of a no."""


def new_command(console: Console, errors: Console, confirm: Confirm) -> Callable[..., None]:
    """Return the command, which prints on these two and asks by `confirm`."""

    def new(
        stack: Annotated[str, typer.Argument(help="the name of a stack that is not there yet")],
        host: Annotated[
            list[str],
            typer.Argument(help="what ssh takes: a name, ADDRESS, USER@ADDRESS, USER@ADDRESS:PORT; or NAME= and that"),
        ],
        interface: Annotated[str, typer.Option(help="the name of the mesh's interface")] = "mesh0",
        yes: Annotated[bool, typer.Option("--yes", help="accept new fingerprints without asking")] = False,
    ) -> None:
        """Write the file of a new stack with one mesh of these hosts, as scan fills it in, and make the stack."""
        if wrong := interface_name_fault(interface):
            raise MeshError(f"--interface: {show_name(interface)} is {wrong}")
        project, path = find_project(), name_stack_file(stack)
        problems = make_stack_file(
            path,
            [read_wanted(text) for text in host],
            interface,
            show=lambda what: console.print(what, markup=not isinstance(what, str), soft_wrap=isinstance(what, str)),
            confirm=lambda question: confirm(question, yes=yes, command="new"),
        )
        console.print(f"{path.name}: written", markup=False)
        for host_name, problem in problems.items():
            errors.print(f"error: host {host_name!r}: {problem}")
        name = stack_of(path)
        steps = init_stack(name, project)
        if problems:
            steps = [f"python -m mesh scan {name}", *steps]
        title = "next, when that is mended:" if problems else "next:"
        console.print("\n    ".join([title, *steps]), markup=False, soft_wrap=True)
        if problems:
            raise typer.Exit(1)

    return new
