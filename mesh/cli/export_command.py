"""`python -m mesh export`: what it is given, and where it prints; the formats are in `export`."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from mesh.cli import export
from mesh.cli.output_file import replace_file
from mesh.cli.parameters import OnlyMesh, OnlyMeshes, StackArgument
from mesh.cli.planned import read_mesh, read_meshes
from mesh.config.fields import is_host_name
from mesh.errors import MeshError, show_name

__all__ = ["commands"]

commands = typer.Typer(help="Print the hosts of the stack file for other programs. No host is asked.")


@commands.command("ssh-config", epilog="Example: python -m mesh export ssh-config production > ~/.ssh/mesh.conf")
def print_ssh_config(
    stack: StackArgument,
    interface: OnlyMeshes = None,
    known_hosts: Annotated[
        Path | None, typer.Option(help="write the pinned host keys to this file, and trust no others")
    ] = None,
) -> None:
    """Print a configuration of ssh: each host as HOST, and over the mesh as HOST.IF or by its addresses there."""
    configuration, meshes = read_meshes(stack, interface)
    path = None if known_hosts is None else known_hosts.absolute()
    text = export.ssh_config(configuration.hosts, meshes, path)
    if known_hosts is not None:
        replace_file(known_hosts, export.known_hosts(configuration.hosts, meshes))
    sys.stdout.write(text)


@commands.command(epilog="Example: python -m mesh export ansible production > inventory.json")
def ansible(stack: StackArgument, interface: OnlyMeshes = None) -> None:
    """Print an inventory of Ansible, with a group for each mesh, site and tag."""
    configuration, meshes = read_meshes(stack, interface)
    sys.stdout.write(export.ansible_inventory(configuration.hosts, meshes))


@commands.command(epilog="Example: python -m mesh export hosts production | sudo tee -a /etc/hosts")
def hosts(stack: StackArgument, interface: OnlyMeshes = None) -> None:
    """Print lines for /etc/hosts, with HOST.IF for each host and peer."""
    sys.stdout.write(export.etc_hosts(read_meshes(stack, interface)[1]))


@commands.command("prometheus-sd", epilog="Example: python -m mesh export prometheus-sd production > mesh.json")
def prometheus_sd(
    stack: StackArgument,
    interface: OnlyMeshes = None,
    port: Annotated[int, typer.Option(help="the TCP port of the exporter", min=1, max=65535)] = 9100,
) -> None:
    """Print what file_sd_configs of Prometheus read: each host at its address inside the mesh."""
    configuration, meshes = read_meshes(stack, interface)
    sys.stdout.write(export.prometheus_targets(configuration.hosts, meshes, port))


@commands.command(
    "zone",
    epilog="Example: python -m mesh export zone production --interface management --origin example.org > mesh.zone",
)
def print_zone(
    stack: StackArgument,
    interface: OnlyMesh = None,
    origin: Annotated[str | None, typer.Option(help="the zone's name; that of the interface if none is given")] = None,
    name_server: Annotated[str, typer.Option(help="the name of the zone's DNS server")] = "localhost",
) -> None:
    """Print a DNS zone with AAAA and A records of each host and peer."""
    mesh = read_mesh(stack, interface)
    # Of the interface's name too, since servers refuse addresses below what is no name of a host.
    for name in (apex := mesh.interface if origin is None else origin, name_server):
        if not is_host_name(name):
            raise MeshError(f"zone: {show_name(name)} is no DNS name; give one such as mesh.example.org")
    # Servers take a zone with a higher number for the newer one.
    sys.stdout.write(export.zone(mesh, apex, name_server, int(time.time())))
