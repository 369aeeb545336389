"""`python -m mesh metrics`: what it is given, and where it prints; the metrics are in `metrics`."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mesh.cli.output_file import check_output
from mesh.cli.parameters import OnlyMeshes, SelectedStack
from mesh.cli.project import find_project
from mesh.cli.pulumi_cli import PulumiCli
from mesh.errors import MeshError

__all__ = ["metrics_command"]


def metrics_command(errors: Console) -> Callable[..., None]:
    """Return the command."""

    def metrics(
        stack: SelectedStack = None,
        interface: OnlyMeshes = None,
        pairs: Annotated[bool, typer.Option(help="metrics of each pair, for which every peer is pinged")] = True,
        output: Annotated[Path | None, typer.Option(help="replace this file, as node_exporter reads it")] = None,
        listen: Annotated[str | None, typer.Option(help="serve them at this address and port")] = None,
    ) -> None:
        """Print what all hosts run and count at this moment, as OpenMetrics for Prometheus."""
        from mesh.cli.look import look  # noqa: PLC0415
        from mesh.cli.metrics import serve_metrics, show_metrics, write_metrics  # noqa: PLC0415
        from mesh.cli.status_rows import MeshStatus  # noqa: PLC0415

        if output is not None and listen is not None:
            raise MeshError("metrics: --output and --listen exclude each other; give one")
        if output is not None:
            check_output(output)
        pulumi = PulumiCli(find_project(), stack)

        def ask() -> list[MeshStatus]:
            found = look(pulumi, interface, "metrics", ping=pairs)
            return found if pairs else [replace(mesh, pairs=()) for mesh in found]

        if listen is not None:
            serve_metrics(ask, listen, errors.print)
        elif output is not None:
            write_metrics(ask, output)
        else:
            sys.stdout.write(show_metrics(ask))

    return metrics
