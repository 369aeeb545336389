"""`python -m mesh graph`: what it is given, and where it prints; the formats are in `graph` and `graph_svg`."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from mesh.cli.graph import Drawing, dot, draw, mermaid
from mesh.cli.graph_svg import svg
from mesh.cli.parameters import OnlyMesh, StackArgument
from mesh.cli.planned import read_mesh
from mesh.cli.project import find_project
from mesh.cli.pulumi_cli import pulumi_of
from mesh.cli.stack_places import find_stack_file

__all__ = ["graph"]


class _Format(StrEnum):
    DOT = "dot"
    MERMAID = "mermaid"
    SVG = "svg"


def graph(
    stack: StackArgument,
    interface: OnlyMesh = None,
    form: Annotated[_Format, typer.Option("--format", help="dot, mermaid or svg")] = _Format.SVG,
    live: Annotated[bool, typer.Option("--live", help="ask the hosts, and draw in red what is wrong")] = False,
) -> None:
    """Draw a mesh from the stack file: sites, hosts, peers, networks, and who reaches whom. No host is asked.

    Lines are direct, within a site, over the relay, or to an exit node. Pairs that cannot meet have none. With --live
    all hosts are asked once, as by status.
    """
    plan = read_mesh(stack, interface)
    drawing = draw(plan)
    if live:
        drawing = _ask(drawing, stack, plan.interface)
    sys.stdout.write({_Format.DOT: dot, _Format.MERMAID: mermaid, _Format.SVG: svg}[form](drawing))


def _ask(drawing: Drawing, stack: str, interface: str) -> Drawing:
    from mesh.cli.graph_live import mark_faulty  # noqa: PLC0415
    from mesh.cli.look import look  # noqa: PLC0415

    [mesh] = look(pulumi_of(find_stack_file(stack), find_project(), stack), [interface], "graph", ping=True)
    return mark_faulty(drawing, mesh)
