"""`python -m mesh speed`: how fast packets come between two hosts, inside the tunnel and outside it."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from mesh.cli.chosen import check_hosts, choose_meshes
from mesh.cli.completion import complete_host
from mesh.cli.console import Grid
from mesh.cli.parameters import OnlyMeshes, StackOption
from mesh.cli.project import find_project
from mesh.cli.pulumi_cli import PulumiCli, RecordedMesh
from mesh.errors import MeshError
from mesh.plan.pairs import Pairs

if TYPE_CHECKING:
    from mesh.doctor.speed import Speed

__all__ = ["check_pair", "speed_command"]

_MEBIBYTE = 1 << 20


def check_pair(meshes: Mapping[str, RecordedMesh], one: str, other: str) -> dict[str, RecordedMesh]:
    """Return the meshes in which two hosts reach each other.

    Raises:
        MeshError: If there is none.
    """
    check_hosts((one, other), {host for mesh in meshes.values() for host in mesh.members}, "speed", "two")
    found = {name: mesh for name, mesh in meshes.items() if _reach(mesh, one, other)}
    if not found:
        raise MeshError(f"speed: {one} and {other} do not reach each other in any mesh; see python -m mesh status")
    return found


def _reach(mesh: RecordedMesh, one: str, other: str) -> bool:
    pairs = Pairs(mesh.rollout["roster"])
    are_peers = {one, other} <= mesh.members and other in pairs.peers_of(one)
    return are_peers and pairs.should_answer(one, other)


def speed_command(console: Console) -> Callable[..., None]:
    """Return the command."""

    def speed(
        host: Annotated[str, typer.Argument(help="a host of a mesh", autocompletion=complete_host)],
        peer: Annotated[str, typer.Argument(help="another one", autocompletion=complete_host)],
        stack: StackOption = None,
        interface: OnlyMeshes = None,
        seconds: Annotated[int, typer.Option(min=1, max=10, help="how long each stream is sent")] = 3,
        most: Annotated[
            int, typer.Option("--most", min=1, max=100_000, help="how much each stream sends at most, in MiB")
        ] = 1000,
        tunnel_only: Annotated[
            bool, typer.Option("--tunnel-only", help="inside the tunnel alone, and not outside it")
        ] = False,
        tcp: Annotated[
            bool, typer.Option("--tcp", help="TCP by iperf3, which both hosts need; inside the tunnel alone")
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="one JSON document instead of a table")] = False,
    ) -> None:
        """Measure how fast packets come between two hosts, in both directions, inside the tunnel and outside it.

        One host sends datagrams as fast as it can to WireGuard's port of the other, which drops them: nothing listens
        for them, and nothing is installed or changed. It fills the line for some seconds. With --tcp, iperf3 listens
        on the receiver's address in the mesh, which its firewall has to let in. The exit status is 0 if every stream
        was measured, and else 1.
        """
        from mesh.cli.speed_json import show_speeds  # noqa: PLC0415
        from mesh.doctor.speed import flows_between, measure_speed  # noqa: PLC0415
        from mesh.remote.concurrency import run  # noqa: PLC0415

        chosen = choose_meshes(PulumiCli(find_project(), stack).recorded(), "speed", interface)
        found: dict[str, tuple[int, list[Speed]]] = {}
        for name, mesh in check_pair(chosen, host, peer).items():
            flows = flows_between(mesh.rollout, host, peer, tunnel_only=tunnel_only or tcp)
            measured = run(partial(measure_speed, mesh.rollout, flows, seconds, most * _MEBIBYTE, tcp=tcp))
            found[name] = int(mesh.rollout["roster"]["mtu"]), measured
        if as_json:
            sys.stdout.write(show_speeds(found) + "\n")
        else:
            for name, (_, measured) in found.items():
                console.print(_table(name, measured))
                for each in measured:
                    if each.arrival.fault:
                        words = f"! {each.host} → {each.peer}, {each.way}: {each.arrival.fault}"
                        console.print(Text(words, style="red"), soft_wrap=True)
        if any(each.arrival.fault for _, measured in found.values() for each in measured):
            raise typer.Exit(1)

    return speed


def _table(name: str, speeds: Sequence["Speed"]) -> Grid:
    table = Grid("from", "to", "way", "by", "arrived", "sent", title=name, title_justify="left")
    for each in speeds:
        rate = each.arrival.bits_per_second
        shown = Text("-" if rate is None else f"{rate / 1e6:.1f} Mbit/s", style="red" if rate is None else "green")
        sent = "" if each.sent is None else f"{each.sent / _MEBIBYTE:.0f} MiB"
        table.add_row(each.host, each.peer, each.way, each.protocol, shown, sent)
    return table
