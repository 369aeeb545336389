"""The meshes and hosts of a stack that a command is about, as the state records them."""

from collections.abc import Collection, Iterable, Mapping

from mesh.cli.known_names import show_known
from mesh.cli.pulumi_cli import RecordedMesh
from mesh.errors import MeshError, show_name

__all__ = ["check_hosts", "choose_meshes"]


def choose_meshes(
    recorded: Mapping[str, RecordedMesh], command: str, interfaces: Collection[str] | None
) -> dict[str, RecordedMesh]:
    """Return the meshes that are chosen, or all, by interface.

    Raises:
        MeshError: If one was never rolled out, or none; `command` begins the message.
    """
    if not recorded:
        raise MeshError(f"{command}: nothing was rolled out in this stack; run pulumi up first")
    if missing := [name for name in interfaces or () if name not in recorded]:
        lost, known = show_name(missing[0]), " or ".join(sorted(recorded))
        raise MeshError(f"{command}: {lost} was never rolled out in this stack; give {known}, or run pulumi up first")
    return {name: recorded[name] for name in interfaces or sorted(recorded)}


def check_hosts(names: Iterable[str], known: Collection[str], command: str, count: str = "some") -> None:
    """Check that all are `known` as hosts of meshes.

    Raises:
        MeshError: Naming the first that is not, and of which to give `count`.
    """
    if unknown := sorted(set(names) - set(known)):
        hosts = show_known(unknown[0], known)
        raise MeshError(f"{command}: {unknown[0]} is no host of any mesh; give {count} of {hosts}")
