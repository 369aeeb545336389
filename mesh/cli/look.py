"""One look at the meshes of a stack: what the state records, what the hosts say, and the part that is asked for."""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial

from mesh.cli.chosen import check_hosts, choose_meshes
from mesh.cli.pulumi_cli import PulumiCli, RecordedMesh
from mesh.cli.status import read_status
from mesh.cli.status_rows import MeshStatus
from mesh.remote.concurrency import run
from mesh.rollout.fault import Fault

__all__ = ["dated", "look", "look_at", "narrow"]

_UNKNOWN = ("", "")


def look(pulumi: PulumiCli, interfaces: Collection[str] | None, command: str, *, ping: bool) -> list[MeshStatus]:
    """Return how each mesh is, or each that is chosen; `command` begins the message of a refusal.

    Raises:
        MeshError: If one was never rolled out.
    """
    return look_at(choose_meshes(pulumi.recorded(), command, interfaces), ping=ping)


def look_at(meshes: Mapping[str, RecordedMesh], *, ping: bool) -> list[MeshStatus]:
    """Return how each of these meshes is."""
    return [dated(run(partial(read_status, mesh.rollout, ping=ping)), mesh) for mesh in meshes.values()]


def dated(mesh: MeshStatus, recorded: RecordedMesh) -> MeshStatus:
    """Return the status with what the state knows of keys and of the last change."""
    of_keys = recorded.key_times()
    times = {host.host: of_keys.get(host.public_key, _UNKNOWN) for host in mesh.hosts}
    return replace(
        mesh,
        hosts=tuple(
            replace(host, key_made=times[host.host][0], key_expires=times[host.host][1]) for host in mesh.hosts
        ),
        changed=recorded.changed_at,
        preshared_key_expires=of_keys.get("", _UNKNOWN)[1],
    )


def narrow(meshes: Collection[MeshStatus], only: Collection[str]) -> list[MeshStatus]:
    """Return what concerns the hosts `only`, or everything if there are none; other meshes than theirs are left out.

    Raises:
        MeshError: If one of them is in no mesh.
    """
    check_hosts(only, {host.host for mesh in meshes for host in mesh.hosts}, "status")
    if not only:
        return list(meshes)

    def concerns(fault: Fault) -> bool:
        # A fault of no host is one of the mesh itself, and that of another host may be about one of these.
        return (
            not fault.host or bool({fault.host, fault.peer} & set(only)) or bool(set(only) & set(_words(fault.cause)))
        )

    return [
        replace(
            mesh,
            hosts=tuple(host for host in mesh.hosts if host.host in only),
            pairs=tuple(pair for pair in mesh.pairs if {pair.host, pair.peer} & set(only)),
            faults=tuple(fault for fault in mesh.faults if concerns(fault)),
            not_wiped=(),
        )
        for mesh in meshes
        if {host.host for host in mesh.hosts} & set(only)
    ]


def _words(cause: str) -> list[str]:
    return re.findall(r"[\w.-]*\w", cause)
