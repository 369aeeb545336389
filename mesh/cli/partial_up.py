"""Choose what `pulumi up` has to target so that a run is the change of some hosts, whole, and of no other host's keys.

Unmanaged peers count as hosts here. The result is `--target` patterns; `pulumi_cli` runs pulumi.
"""

from collections.abc import Collection, Mapping, Set

from mesh.cli.known_names import show_known
from mesh.errors import MOST_SHOWN, MeshError, show_first

__all__ = ["target_options"]

# What one change of a mesh may change besides the hosts; the component itself only where the mesh is new. The rollout
# is to all members, so it needs the enrolments of all: a host that does not answer has none until it is back, and one
# that was reinstalled, or has another SSH address, is enrolled again with the key that it has.
_OF_A_MESH = ("", "/identity", "/preshared-key", "/roster", "/survey", "/*/enrol", "/rollout")

Members = Mapping[str, Set[str]]


def target_options(only: Collection[str], planned: Members, running: Members) -> list[str]:
    """Return the options that limit a run to the hosts `only`; none for all.

    `planned` are the participants of each mesh by the stack file, `running` those of the last confirmed rollout.

    Raises:
        MeshError: If a host is in no mesh, or if another host joins or leaves a mesh of theirs: a host
            that is told of a mesh is told of all its members.
    """
    if not only:
        return []
    meshes = {name: planned.get(name, frozenset()) | running.get(name, frozenset()) for name in {*planned, *running}}
    known = frozenset[str]().union(*meshes.values())
    if unknown := sorted(set(only) - known):
        raise MeshError(f"--only: {show_first(unknown)} is in no mesh; give some of {show_known(unknown[0], known)}")
    concerned = sorted(name for name, members in meshes.items() if members & set(only))
    faults = [fault for name in concerned if (fault := _unnamed(name, set(only), planned, running))]
    if faults:
        raise MeshError("\n".join(faults))
    patterns = [f"**/{host}/**" for host in sorted(set(only))]
    patterns += [f"**::{name}{part}" for name in concerned for part in _OF_A_MESH]
    return [word for pattern in patterns for word in ("--target", pattern)]


def _unnamed(interface: str, only: Set[str], planned: Members, running: Members) -> str:
    before, after = running.get(interface, frozenset()), planned.get(interface, frozenset())
    moves = [f"{host} joins" for host in sorted(after - before - only)]
    moves += [f"{host} leaves" for host in sorted(before - after - only)]
    if not moves:
        return ""
    names = " ".join(f"--only {move.split()[0]}" for move in moves)
    if len(moves) > MOST_SHOWN:
        return f"{interface}: {show_first(moves)}, and every member must learn of it; run up without --only"
    return (
        f"{interface}: {' and '.join(moves)}, and every member must learn of it; add {names}, or undo it in "
        "the stack file for now"
    )
