"""`python -m mesh page`: what it is given, and where the page goes; what is on it is in `page`."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from mesh.cli.output_file import check_output, replace_file
from mesh.cli.parameters import OnlyMeshes, SelectedStack
from mesh.cli.project import find_project
from mesh.cli.pulumi_cli import PulumiCli
from mesh.errors import MeshError

if TYPE_CHECKING:
    from mesh.cli.page.content import Page

__all__ = ["page_command"]


def page_command(errors: Console) -> Callable[..., None]:
    """Return the command."""

    def page(
        stack: SelectedStack = None,
        interface: OnlyMeshes = None,
        output: Annotated[
            Path | None, typer.Option("--output", "-o", help="replace this file instead of STACK.html; - prints it")
        ] = None,
        redact: Annotated[
            bool, typer.Option("--redact", help="numbers instead of names, addresses and keys, for sharing")
        ] = False,
        serve: Annotated[
            bool, typer.Option("--serve", help="serve it on 127.0.0.1 and renew it, until Ctrl-C")
        ] = False,
        port: Annotated[int, typer.Option(min=0, max=65535, help="with --serve; 0 for any that is free")] = 9587,
        every: Annotated[int, typer.Option(min=5, help="with --serve, seconds between two looks at the hosts")] = 60,
    ) -> None:
        """Write one HTML file to look at: a matrix of all pairs, a map, faults in doctor's words, keys, all hosts.

        All hosts are asked once, as by doctor. The file needs no network and asks nobody for anything. The exit status
        is 1 if anything is wrong; the page is written all the same.
        """
        from mesh.cli.page.asking import ask_page  # noqa: PLC0415
        from mesh.cli.page.render import show_page  # noqa: PLC0415

        if output is not None and serve:
            raise MeshError("page: --output and --serve exclude each other; give one")
        if output is not None and str(output) != "-":
            check_output(output)
        pulumi = PulumiCli(find_project(), stack)

        def ask() -> "Page":
            return ask_page(pulumi, interface, redact=redact)

        if serve:
            _serve(ask, port, every, errors.print)
            return
        found = ask()
        if str(output) == "-":
            sys.stdout.write(show_page(found))
        else:
            path = Path(f"{found.stack}.html") if output is None else output
            # It is for its owner to read and to share.
            replace_file(path, show_page(found), 0o600)
            errors.print(f"{path}: written; open it in a browser")
        if not found.is_well:
            raise typer.Exit(1)

    return page


def _serve(ask: Callable[[], "Page"], port: int, every: int, say: Callable[[str], None]) -> None:
    from mesh.cli.page.serve import PageServer  # noqa: PLC0415

    with PageServer(ask, port, every) as server:
        say(f"page: http://127.0.0.1:{server.server_port}/")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            server.renew(say)
        except KeyboardInterrupt:
            server.end()
