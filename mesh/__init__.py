"""A WireGuard full mesh on existing Linux hosts, as Pulumi resources."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mesh.component.library import Mesh

__all__ = ["Mesh"]


def __getattr__(name: str) -> Any:
    # Most modules know nothing of Pulumi, and importing one of them must not bring it in.
    if name == "Mesh":
        from mesh.component.library import Mesh  # noqa: PLC0415

        return Mesh
    raise AttributeError(f"module 'mesh' has no attribute {name!r}")
