"""`python -m mesh ping`: pings between hosts of a mesh, sent by the hosts themselves, in both directions at once."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from mesh.cli.chosen import choose_meshes
from mesh.cli.completion import complete_host
from mesh.cli.console import Grid
from mesh.cli.known_names import show_known
from mesh.cli.parameters import OnlyMeshes, StackOption
from mesh.cli.project import find_project
from mesh.cli.pulumi_cli import PulumiCli, RecordedMesh
from mesh.errors import MeshError
from mesh.plan.pairs import Pairs

if TYPE_CHECKING:
    from mesh.cli.doctor_json import PingedMesh

__all__ = ["ping_command"]

_MOST_PINGS = 1000


def _directions(mesh: RecordedMesh, between: Sequence[str]) -> dict[str, list[str]]:
    """Return whom each host pings: all that it can meet, or the two of `between` each other."""
    roster = mesh.rollout["roster"]
    pairs = Pairs(roster)
    if not between:
        return {
            host: [peer for peer in pairs.peers_of(host) if pairs.should_answer(host, peer)]
            for host in roster["members"]
        }
    first, second = between
    # A mesh of the stack may have one of the two only, or neither.
    if first not in pairs.participants or second not in pairs.peers_of(first):
        return {}
    return {one: [other] for one, other in ((first, second), (second, first)) if one in roster["members"]}


def _choose(
    meshes: Mapping[str, RecordedMesh], between: Sequence[str], *, everybody: bool
) -> dict[str, dict[str, list[str]]]:
    if everybody == bool(between) or len(between) not in (0, 2):
        raise MeshError("ping: it takes two hosts, or --all; give python -m mesh ping bernard carol")
    names = {name for mesh in meshes.values() for name in Pairs(mesh.rollout["roster"]).participants}
    if unknown := [name for name in between if name not in names]:
        raise MeshError(f"ping: {unknown[0]} is in no mesh; give two of {show_known(unknown[0], names)}")
    found = {name: _directions(mesh, between) for name, mesh in meshes.items()}
    if between and not any(found.values()):
        raise MeshError(f"ping: {between[0]} and {between[1]} are no peers in any mesh; see python -m mesh status")
    return {name: directions for name, directions in found.items() if directions}


def ping_command(console: Console) -> Callable[..., None]:
    """Return the command."""

    def ping(
        between: Annotated[
            list[str] | None,
            typer.Argument(metavar="HOST PEER", help="two names of a mesh", autocompletion=complete_host),
        ] = None,
        stack: StackOption = None,
        interface: OnlyMeshes = None,
        everybody: Annotated[bool, typer.Option("--all", help="all pairs of all hosts")] = False,
        count: Annotated[
            int, typer.Option("--count", "-c", min=1, max=_MOST_PINGS, help="pings in each direction, 5 a second")
        ] = 10,
        as_json: Annotated[bool, typer.Option("--json", help="one JSON document instead of a table")] = False,
    ) -> None:
        """Ping between two hosts in both directions: loss, times, and the largest packet that passes.

        The hosts send the pings themselves, inside the mesh. The exit status is 0 if every ping was answered, also one
        as large as the tunnel's MTU, and else 1.
        """
        from mesh.cli.doctor_json import PingedMesh, direction_entry, show_pings  # noqa: PLC0415
        from mesh.doctor.asking import measure_pairs  # noqa: PLC0415
        from mesh.remote.concurrency import run  # noqa: PLC0415

        meshes = choose_meshes(PulumiCli(find_project(), stack).recorded(), "ping", interface)
        found: dict[str, PingedMesh] = {}
        for name, directions in _choose(meshes, between or (), everybody=everybody).items():
            rollout = meshes[name].rollout
            measured, absent = run(partial(measure_pairs, rollout, directions, count))
            found[name] = PingedMesh(
                mtu=int(rollout["roster"]["mtu"]),
                unasked=absent,
                directions=tuple(
                    direction_entry(host, peer, measured.get(host, {}).get(peer))
                    for host in sorted(directions)
                    for peer in sorted(directions[host])
                ),
            )
        well = all(each.loss == 0 and each.largest >= mesh.mtu for mesh in found.values() for each in mesh.directions)
        if as_json:
            sys.stdout.write(show_pings(found, well=well) + "\n")
        else:
            for name, mesh in found.items():
                console.print(_table(name, mesh))
                for host, reason in mesh.unasked.items():
                    console.print(Text(f"! {host}: {reason}", style="red"))
        if not well:
            raise typer.Exit(1)

    return ping


def _table(name: str, mesh: "PingedMesh") -> Grid:
    title = f"{name}, whose tunnel carries packets of up to {mesh.mtu} bytes"
    table = Grid("from", "to", "sent", "loss", "least", "mean", "most", "largest", title=title, title_justify="left")
    for each in mesh.directions:
        times = ["" if time is None else f"{time:.1f} ms" for time in (each.least, each.mean, each.most)]
        size = Text(f"{each.largest} bytes" if each.received else "", style="" if each.largest >= mesh.mtu else "red")
        loss = Text(f"{each.loss:.0%}" if each.sent else "not asked", style="red" if each.loss else "green")
        table.add_row(each.host, each.peer, str(each.sent or ""), loss, *times, size)
    return table
