"""Forget hosts that have left for good: the stack file says so, and no later `up` tries to wipe them."""

from collections.abc import Collection, Iterable, Mapping

from mesh.cli.stack_file import INTERFACES, StackFile
from mesh.cli.yaml_values import flow_list, is_shared
from mesh.config.models import Interface
from mesh.errors import MeshError, show_first

__all__ = ["choose_interfaces", "write_forgotten"]


def choose_interfaces(
    host: str, interface: str | None, interfaces: Mapping[str, Interface], not_wiped: Mapping[str, Iterable[str]]
) -> list[str]:
    """Return the interfaces on which to forget `host`: all that still try to wipe it, or the one that is named.

    Raises:
        MeshError: If it is a member there, or no interface tries to wipe it.
    """
    waiting_on = sorted(name for name, hosts in not_wiped.items() if host in hosts)
    chosen = [name for name in waiting_on if interface in (None, name)]
    member = sorted(name for name, entry in interfaces.items() if host in entry.hosts and interface in (None, name))
    if member and not chosen:
        raise MeshError(
            f"forget: {host} is a host of {', '.join(member)}; take it out of hosts and run pulumi up first"
        )
    if not chosen:
        waiting = sorted({name for hosts in not_wiped.values() for name in hosts})
        where = f" on {interface}" if interface else ""
        raise MeshError(
            f"forget: {host} is no longer waiting to be wiped{where}; hosts that are: {show_first(waiting) or 'none'}"
        )
    if absent := [name for name in chosen if name not in interfaces]:
        raise MeshError(f"forget: {', '.join(absent)} is no longer in the stack file; run pulumi up, which removes it")
    return chosen


def write_forgotten(file: StackFile, host: str, interfaces: Collection[str]) -> None:
    """Name `host` in `forgotten` of each interface; a reader of the file sees why it was never wiped.

    Raises:
        MeshError: If the file cannot be written, or another interface shares what would change.
    """
    for name in interfaces:
        entry = file.section(INTERFACES)[name]
        own = entry.get("forgotten", ())
        if host in own:
            continue
        if "forgotten" in entry and not is_shared(entry, "forgotten"):
            own.append(host)
        else:
            # What stands elsewhere too is of other meshes as well.
            entry["forgotten"] = flow_list([*own, host])
    file.write(INTERFACES, interfaces)
