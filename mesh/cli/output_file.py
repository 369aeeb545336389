"""Write a file that a user asked for: a new one for its owner alone, or one that replaces another at once."""

import os
from pathlib import Path

from mesh.errors import MeshError

__all__ = ["replace_file", "write_private"]


def _make(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def write_private(path: Path, content: str | bytes) -> None:
    """Write a new file that only its owner can read.

    Raises:
        MeshError: If there is a file already, or none can be made.
    """
    try:
        _make(path, content if isinstance(content, bytes) else content.encode())
    except FileExistsError:
        raise MeshError(f"{path}: is there already; delete it, or choose another path") from None
    except OSError as problem:
        raise MeshError(f"{path}: {problem.strerror}; choose another path") from None


def replace_file(path: Path, text: str, mode: int) -> None:
    """Put a file in the place of whatever is there, so that nobody reads half of it.

    Raises:
        MeshError: If it cannot be written; then what was there stays.
    """
    # No name that node_exporter would take for a file of metrics.
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # What an earlier process of this number left when it was killed is nobody's.
        fresh.unlink(missing_ok=True)
        _make(fresh, text.encode())
        fresh.chmod(mode)
        fresh.replace(path)
    except OSError as problem:
        fresh.unlink(missing_ok=True)
        raise MeshError(f"{path}: {problem.strerror}; choose another path") from None
