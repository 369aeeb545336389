"""`python -m mesh import`: read files, say what was found, and write the stack file and its encrypted keys."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from mesh.cli.adopted_keys import write_with_keys
from mesh.cli.importers.files import read_bytes, show_path
from mesh.cli.importers.fleet import read_fleet
from mesh.cli.importers.found import FoundMesh
from mesh.cli.importers.stack import add_meshes, hosts_without_address
from mesh.cli.importers.wg_meshconf import read_wg_meshconf
from mesh.cli.importers.wg_quick import read_wg_quick_folder
from mesh.cli.project import find_project
from mesh.cli.pulumi_cli import ADOPTED, pulumi_of
from mesh.cli.stack_file import StackFile
from mesh.cli.stack_places import find_or_name_stack_file
from mesh.errors import show_first

__all__ = ["import_commands"]

Stack = Annotated[str, typer.Argument(help="the stack to import into, or the path of its file")]


def import_commands(show: Callable[[str], None]) -> typer.Typer:
    """Return the commands; `show` prints a line."""
    commands = typer.Typer(help="Write a mesh that exists into a stack file, with its keys, encrypted.")

    def finish(stack: str, meshes: Sequence[FoundMesh]) -> None:
        path = find_or_name_stack_file(stack)
        pulumi = pulumi_of(path, find_project())
        file = StackFile(path, complete=True)
        keys = {name: key for mesh in meshes for name, key in mesh.keys.items()}
        held = pulumi.read_adopted() if keys else {}
        notes = add_meshes(file, meshes)
        if keys:
            write_with_keys(file, pulumi, {**held, **keys})
        else:
            file.write()
        for mesh in meshes:
            for note in mesh.notes:
                show(f"{mesh.interface}: {note}")
        for note in notes:
            show(note)
        names = ", ".join(f"{mesh.interface} with {len(mesh.members)} hosts" for mesh in meshes)
        show(f"{path.name}: {names}; {f'{len(keys)} keys in {ADOPTED}, encrypted' if keys else 'no keys yet'}; next:")
        if missing := hosts_without_address(file):
            show(f"    give ssh.address in the file for: {show_first(missing)}")
        show(f"    python -m mesh scan {stack}    # host keys; ssh.address is the endpoint's unless you change it")
        if not keys:
            show(f"    python -m mesh adopt {stack}    # the keys, from the hosts")
        show(f"    pulumi up --stack {pulumi.stack}")
        show(f"    {pulumi.removal}    # once up has succeeded")

    @commands.command("wg-quick")
    def wg_quick(
        files: Annotated[Path, typer.Argument(metavar="FOLDER", help="holds HOST/IF.conf, or HOST.conf")],
        stack: Stack,
        interface: Annotated[str | None, typer.Option(help="the interface of HOST.conf; or only this one")] = None,
    ) -> None:
        """Import a folder of wg-quick files, one for each host."""
        finish(stack, read_wg_quick_folder(files, interface))

    @commands.command("wg-meshconf")
    def wg_meshconf(
        database: Annotated[Path, typer.Argument(help="its database.csv")],
        stack: Stack,
        interface: Annotated[str, typer.Option(help="the name of the interface on the hosts")] = "wg0",
    ) -> None:
        """Import the database of wg-meshconf."""
        finish(stack, [read_wg_meshconf(read_bytes(database), interface, show_path(database))])

    @commands.command("fleet")
    def fleet(
        state: Annotated[Path, typer.Argument(help="the file of its state")],
        stack: Stack,
        port: Annotated[int | None, typer.Option(help="the UDP port of the mesh", min=1, max=65535)] = None,
    ) -> None:
        """Import the public part of a Fleet state; private keys are adopted from the hosts."""
        finish(stack, read_fleet(read_bytes(state), port, show_path(state)))

    return commands
