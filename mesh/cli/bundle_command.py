"""`python -m mesh bundle`: what it is given, and the archive that it writes; what is in that is in `bundle`."""

import gzip
import io
import tarfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mesh.cli.parameters import SelectedStack
from mesh.cli.project import find_project
from mesh.cli.pulumi_cli import PulumiCli
from mesh.cli.stack_places import find_stack_file

__all__ = ["archive_of", "bundle_command"]

_FOLDER = "mesh-bundle"


def bundle_command(console: Console, errors: Console) -> Callable[..., None]:
    """Return the command."""

    def bundle(
        stack: SelectedStack = None,
        output: Annotated[Path | None, typer.Option(help="write it there; without it, here under the time")] = None,
        keep_names: Annotated[
            bool,
            typer.Option("--keep-names", help="leave names, addresses and public keys as they are, for your own use"),
        ] = False,
    ) -> None:
        """Write a debug bundle for a bug report: plan, status, diagnosis, logs of the hosts, and versions.

        Names, addresses and keys are replaced by others, the same by the same in all its files. It never holds a
        private key or a preshared key. Nothing is changed on hosts, and dead ones may be among them.
        """
        from mesh.cli.bundle import Bundle  # noqa: PLC0415
        from mesh.cli.output_file import check_output, write_private  # noqa: PLC0415

        path = Path(f"{_FOLDER}-{datetime.now(UTC):%Y%m%d-%H%M%S}.tar.gz") if output is None else output
        check_output(path, is_new=True)
        made = Bundle(stack, keep=keep_names, progress=lambda line: errors.print(f"bundle: {line} …"))
        made.collect(
            lambda: find_stack_file(stack) if stack else PulumiCli(find_project()).stack_file(),
            lambda: PulumiCli(find_project(), stack).recorded(),
        )
        write_private(path, archive_of(made.files))
        for name, text in sorted(made.files.items()):
            console.print(f"    {name}  {len(text.encode())} bytes")
        for name, why in sorted(made.failures.items()):
            console.print(f"    could not be had: {name}: {why}", soft_wrap=True)
        console.print(f"{path}: written, {'with real names' if keep_names else 'names, addresses and keys replaced'}")
        advice = "do not send it to others" if keep_names else "look through it before you send it"
        console.print(f"{advice}: tar -xzf {path}, then read {_FOLDER}/README.txt", soft_wrap=True)

    return bundle


def archive_of(files: Mapping[str, str]) -> bytes:
    """Return an archive of files by name, the same bytes for the same files."""
    packed = io.BytesIO()
    # Neither the time nor the user of this machine is in it.
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, text in sorted(files.items()):
            content = text.encode()
            entry = tarfile.TarInfo(f"{_FOLDER}/{name}")
            entry.size, entry.mode = len(content), 0o600
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
