"""The meshes that a stack file describes, for commands that ask neither the engine nor a host."""

from collections.abc import Collection

from mesh.cli.stack_file import StackFile
from mesh.cli.stack_places import find_stack_file
from mesh.config.models import Configuration
from mesh.errors import MeshError, show_name
from mesh.plan.topology import MeshPlan, plan_meshes

__all__ = ["read_mesh", "read_meshes"]


def read_meshes(stack: str, chosen: Collection[str] | None) -> tuple[Configuration, list[MeshPlan]]:
    """Return what the stack file describes, and the plan of the meshes that are chosen, or of all.

    Raises:
        MeshError: If the file has a fault, or no such mesh.
    """
    file = StackFile(find_stack_file(stack))
    configuration = file.configuration()
    plans = plan_meshes(configuration)
    if missing := [name for name in chosen or () if name not in plans]:
        known = ", ".join(plans) or "none"
        raise MeshError(f"{file.path.name}: has no interface {show_name(missing[0])}; give one of {known}")
    return configuration, [plan for name, plan in plans.items() if not chosen or name in chosen]


def read_mesh(stack: str, interface: str | None) -> MeshPlan:
    """Return the plan of the mesh that is chosen, or of the only one.

    Raises:
        MeshError: As `read_meshes`, or if there are several.
    """
    _, meshes = read_meshes(stack, None if interface is None else [interface])
    if len(meshes) != 1:
        names = " and ".join(mesh.interface for mesh in meshes) or "no interface"
        raise MeshError(f"{stack}: has {names}, and this takes one; choose it with --interface")
    return meshes[0]
