"""The Pulumi project that a command works on."""

from pathlib import Path

from mesh.errors import MeshError

__all__ = ["find_project"]

_CHECKOUT = Path(__file__).parents[2]
_MARK = "Pulumi.yaml"


def find_project(checkout: Path = _CHECKOUT) -> Path:
    """Return the project's folder: the working directory or the first one above it, as for pulumi, else the checkout.

    `checkout` is where this package lies; an installed one lies in no project.

    Raises:
        MeshError: If there is none.
    """
    try:
        here = Path.cwd()
    except FileNotFoundError:
        raise MeshError("mesh: the working directory no longer exists; change to another one") from None
    found = next((folder for folder in (here, *here.parents, checkout) if (folder / _MARK).is_file()), None)
    if found is None:
        raise MeshError(f"mesh: no {_MARK} in {here} or above it; change to the folder of your Pulumi project")
    return found
