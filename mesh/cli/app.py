"""`mesh`, or `python -m mesh`: the companion of the Pulumi program, for what comes before and after `pulumi up`.

The commands only read arguments and print; a module of each does the work.
"""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from mesh.cli import export_command
from mesh.cli.adopt import Adoption
from mesh.cli.adopted_keys import write_with_keys
from mesh.cli.allocate import allocate_addresses as write_addresses
from mesh.cli.bundle_command import bundle_command
from mesh.cli.completion import complete_host, complete_interface
from mesh.cli.console import Screen
from mesh.cli.doctor_command import doctor_command
from mesh.cli.ending import end_command
from mesh.cli.engine import find_engine, install_engine, link_engine
from mesh.cli.forget import choose_interfaces, write_forgotten
from mesh.cli.graph_command import graph
from mesh.cli.history_command import history_command
from mesh.cli.importers.commands import import_commands
from mesh.cli.metrics_command import metrics_command
from mesh.cli.new_command import new_command
from mesh.cli.output_file import check_output, replace_file, write_private
from mesh.cli.page_command import page_command
from mesh.cli.parameters import OnlyMeshes, SelectedStack, StackArgument, StackOption, TheHosts
from mesh.cli.ping_command import ping_command
from mesh.cli.plan_command import plan_command
from mesh.cli.project import find_project
from mesh.cli.pulumi_cli import ADOPTED, PulumiCli, pulumi_of
from mesh.cli.scan import Scan
from mesh.cli.speed_command import speed_command
from mesh.cli.stack_file import HOSTS, StackFile
from mesh.cli.stack_places import find_stack_file
from mesh.cli.status_command import status_command
from mesh.cli.streams import finish_output, open_missing_streams
from mesh.cli.up_command import up_command
from mesh.errors import MeshError, visible

app = typer.Typer(
    help="Write stack files, plan and run changes of the mesh, watch it, and say what is wrong with it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

_console = Screen()
_errors = Screen(stderr=True, soft_wrap=True)


app.add_typer(import_commands(lambda line: _console.print(line, markup=False, soft_wrap=True)), name="import")
app.add_typer(export_command.commands, name="export")


def _confirm(question: str, *, yes: bool, command: str) -> None:
    if not yes and not sys.stdin.isatty():
        raise MeshError(f"{command}: these keys need a yes, and there is no terminal; compare them, then add --yes")
    if not yes and not typer.confirm(question):
        raise MeshError(f"{command}: not confirmed, so nothing was written; compare the fingerprints and run it again")


@app.command()
def scan(
    stack: StackArgument,
    host: TheHosts = None,
    yes: Annotated[bool, typer.Option("--yes", help="accept new fingerprints without asking")] = False,
    accept_changed: Annotated[
        bool, typer.Option("--accept-changed", help="replace the keys of hosts that have new ones")
    ] = False,
) -> None:
    """Fill in host keys, systems and external addresses of a stack file, after showing the fingerprints."""
    file = StackFile(find_stack_file(stack))
    before, entries = file.text(), file.select(host or [])
    found = Scan(
        entries,
        show=_console.print,
        confirm=lambda question: _confirm(question, yes=yes, command="scan"),
        accept_changed=accept_changed,
    )
    found.run()
    if file.text() == before:
        _console.print(f"{file.path.name}: nothing to fill in", markup=False)
    else:
        file.write(HOSTS, entries)
        _console.print(f"{file.path.name}: written", markup=False)
    for name, problem in found.problems.items():
        _errors.print(f"error: host {name!r}: {problem}")
    if found.problems:
        raise typer.Exit(1)


app.command()(new_command(_console, _errors, _confirm))


@app.command()
def adopt(
    stack: StackArgument,
    interface: OnlyMeshes = None,
    host: TheHosts = None,
    yes: Annotated[bool, typer.Option("--yes", help="adopt without asking")] = False,
) -> None:
    """Take over the keys that hosts run already: from their interfaces into the stack's encrypted configuration."""
    file = StackFile(find_stack_file(stack))
    pulumi = pulumi_of(file.path, find_project(), stack)
    held = pulumi.read_adopted()
    keys = Adoption(
        file.configuration(),
        show=_console.print,
        confirm=lambda question: _confirm(question, yes=yes, command="adopt"),
        interfaces=interface or [],
        hosts=host or [],
    ).run()
    # The keys that it holds were read before the question, and all are written again.
    write_with_keys(file, pulumi, {**held, **keys})
    done = f"{file.path.name}: {len(keys)} keys in {ADOPTED}, encrypted"
    _console.print(
        f"{done}; next:\n    pulumi up --stack {pulumi.stack}\n    {pulumi.removal}    # once up has succeeded",
        markup=False,
        soft_wrap=True,
    )


app.command(epilog="Example: python -m mesh status production --only build-machine")(status_command(_console))
app.command(epilog="Example: python -m mesh doctor production --only build-machine")(doctor_command(_console))
app.command(epilog="Example: python -m mesh ping gateway.berlin.example.org build-machine --stack production")(
    ping_command(_console)
)
app.command(epilog="Example: python -m mesh plan production --format markdown > plan.md")(plan_command(_console))
app.command(epilog="Example: python -m mesh speed gateway.berlin.example.org build-machine --stack production")(
    speed_command(_console)
)
app.command(epilog="Example: python -m mesh bundle production")(bundle_command(_console, _errors))
app.command(epilog="Example: python -m mesh history production --limit 3")(history_command(_console))
app.command(epilog="Example: python -m mesh metrics production --output /var/lib/node_exporter/mesh.prom")(
    metrics_command(_errors)
)
app.command(epilog="Example: python -m mesh page production --redact --output shared.html")(page_command(_errors))
app.command(epilog="Example: python -m mesh up production --only build-machine")(up_command(_errors))
app.command(epilog="Example: python -m mesh graph production --interface management > mesh.svg")(graph)


@app.command()
def forget(
    host: Annotated[
        str, typer.Argument(help="a host that has left and is gone for good", autocompletion=complete_host)
    ],
    stack: StackOption = None,
    interface: Annotated[
        str | None, typer.Option(help="only on this interface", autocompletion=complete_interface)
    ] = None,
) -> None:
    """Stop trying to wipe a host that has left; its name goes to `forgotten` in the stack file, for the next pulumi up.

    It must be gone for good: what it has of the mesh stays on its disk. No member still accepts its keys.
    """
    pulumi = PulumiCli(find_project(), stack)
    file = StackFile(pulumi.stack_file())
    not_wiped = {name: entry.not_wiped for name, entry in pulumi.recorded().items()}
    chosen = choose_interfaces(host, interface, pulumi.configuration().interfaces, not_wiped)
    write_forgotten(file, host, chosen)
    _console.print(f"{file.path.name}: {host} is forgotten on {', '.join(chosen)} from the next up on", markup=False)


@app.command()
def allocate(stack: StackArgument) -> None:
    """Write an IPv4 address into the stack file for each host and peer that has none, where an interface has ipv4."""
    file = StackFile(find_stack_file(stack))
    given = write_addresses(file)
    for owner, address in given.items():
        _console.print(f"{owner}: {address}", markup=False)
    _console.print(f"{file.path.name}: {'written' if given else 'nothing to allocate'}", markup=False)


@app.command()
def peer(
    name: Annotated[str, typer.Argument(help="an unmanaged peer, by its name in interfaces.NAME.peers")],
    stack: SelectedStack = None,
    interface: Annotated[
        str | None, typer.Option(help="the mesh, if the peer is in several", autocompletion=complete_interface)
    ] = None,
    output: Annotated[Path | None, typer.Option(help="write the file there, for its owner to read only")] = None,
    qr: Annotated[bool, typer.Option("--qr", help="show it as a QR code, for a phone")] = False,
) -> None:
    """Print the wg-quick file of a phone, laptop or router: its key, its address, and every host that it can reach.

    The file holds the private key, if that was made here, and the preshared key of the mesh.
    """
    from mesh.cli.peer_file import choose_file, show_qr_code  # noqa: PLC0415

    if output is not None:
        check_output(output, is_new=True)
    text = choose_file(PulumiCli(find_project(), stack).peer_files(), name, interface)
    if output is not None:
        write_private(output, text)
        _errors.print(f"{output}: written; it holds secrets, so delete it when {name} has it")
    if qr:
        show_qr_code(text, sys.stdout)
    if output is None and not qr:
        sys.stdout.write(text)


@app.command()
def engine(
    record: Annotated[Path | None, typer.Option(help="write the folder of the engine, for PATH, to this file")] = None,
) -> None:
    """Find a Pulumi engine that fits, else install one in ~/.pulumi; without internet, warn.

    One that is not on PATH is linked into the active virtual environment.
    """
    if record is not None:
        check_output(record)
    found = find_engine()
    if found is None:
        _console.print("engine: no pulumi from 3.244 up and below 4; installing it in ~/.pulumi …")
        try:
            found = install_engine()
        except MeshError as error:
            _errors.print(f"warning: {error}; until then make demo can only rehearse")
    if found is not None:
        _console.print(f"engine: pulumi {found.version}, {found.command}", markup=False)
        if not found.is_on_path:
            advice = f'to use it in your shell: export PATH="{found.command.parent}:$PATH"'
            if link := link_engine(found):
                advice = f"linked as {link}, for shells that run . {link.parent}/activate"
            _console.print(f"engine: {advice}", markup=False)
    if record is not None:
        replace_file(record, f"{found.command.parent if found else Path(sys.executable).parent}\n")


def main() -> None:
    """Run a command; an expected failure is reported in words, with exit status 1, and Ctrl-C in one word, with 130."""
    open_missing_streams()
    try:
        try:
            app()
        finally:
            finish_output()
    except (SystemExit, KeyboardInterrupt) as end:
        end_command(end, _errors)
    except MeshError as error:
        fault = str(error)
    except BrokenPipeError:
        # Whoever reads us, as `head` does, has what it wanted.
        raise SystemExit(1) from None
    except OSError as problem:
        where = visible(str(problem.filename or "standard output"))
        fault = f"{where}: {problem.strerror or problem}; see that it can be used, and that its disk has room"
    with suppress(OSError):
        _errors.print(f"error: {fault}")
    raise SystemExit(1)
