"""`python -m mesh graph`: what it is given, and where it prints; the formats are in `graph` and `graph_svg`."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from mesh.cli.graph import dot, draw, mermaid
from mesh.cli.graph_svg import svg
from mesh.cli.parameters import OnlyMesh, StackArgument
from mesh.cli.planned import read_mesh

__all__ = ["graph"]


class _Format(StrEnum):
    DOT = "dot"
    MERMAID = "mermaid"
    SVG = "svg"


def graph(
    stack: StackArgument,
    interface: OnlyMesh = None,
    form: Annotated[_Format, typer.Option("--format", help="dot, mermaid or svg")] = _Format.SVG,
) -> None:
    """Draw a mesh from the stack file: sites, hosts, peers, networks, and who reaches whom. No host is asked.

    Lines are direct, within a site, over the relay, or to an exit node. Pairs that cannot meet have none.
    """
    drawing = draw(read_mesh(stack, interface))
    sys.stdout.write({_Format.DOT: dot, _Format.MERMAID: mermaid, _Format.SVG: svg}[form](drawing))
