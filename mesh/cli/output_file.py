"""Write a file that a user asked for: a new one for its owner alone, or one that replaces another at once."""

import os
from contextlib import suppress
from pathlib import Path

from mesh.errors import MeshError

__all__ = ["check_output", "replace_file", "write_private"]


def _make(path: Path, content: bytes, mode: int = 0o600) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)


def _beside(path: Path) -> Path:
    # No name that node_exporter would take for a file of metrics.
    return path.with_name(f".{path.name}.{os.getpid()}")


def _refused(path: Path, problem: OSError) -> MeshError:
    return MeshError(f"{path}: {problem.strerror}; choose another path")


def _find_place(path: Path) -> Path | None:
    """Return where the file lies, of a link what it leads to; None for a device or a pipe, which stays what it is."""
    if path.is_dir():
        raise MeshError(f"{path}: is a folder; name a file in it")
    if path.exists() and not path.is_file():
        return None
    place = path.resolve()
    # Root may write everything, and means a file that is protected no more than others do.
    if place.exists() and not (place.stat().st_mode & 0o222 and os.access(place, os.W_OK)):
        raise MeshError(f"{path}: is read-only; run chmod u+w on it, or choose another path")
    return place


def check_output(path: Path, *, is_new: bool = False) -> None:
    """Check that a file can be written at `path`, before a work that takes long; `is_new` if it may not be there yet.

    Raises:
        MeshError: If it cannot.
    """
    try:
        place = _find_place(path)
        if is_new and (path.exists() or path.is_symlink()):
            raise MeshError(f"{path}: is there already; delete it, or choose another path")
        if place:
            _make(_beside(place), b"")
            _beside(place).unlink()
    except OSError as problem:
        raise _refused(path, problem) from None


def write_private(path: Path, content: str | bytes) -> None:
    """Write a new file that only its owner can read.

    Raises:
        MeshError: If there is a file already, or none can be made; then there is none.
    """
    check_output(path, is_new=True)
    try:
        _make(path, content if isinstance(content, bytes) else content.encode())
    except FileExistsError:
        raise MeshError(f"{path}: is there already; delete it, or choose another path") from None
    except OSError as problem:
        with suppress(OSError):
            path.unlink()
        raise _refused(path, problem) from None


def replace_file(path: Path, content: str | bytes, mode: int | None = None) -> None:
    """Put a file in the place of the one that is there, so that nobody reads half of it; `mode` None keeps that one's.

    A link keeps leading where it leads, and a device or a pipe is written to.

    Raises:
        MeshError: If it cannot be written; then what was there stays.
    """
    data = content if isinstance(content, bytes) else content.encode()
    try:
        place = _find_place(path)
        if place is None:
            with path.open("wb") as device:
                device.write(data)
            return
        if mode is None and place.exists():
            mode = place.stat().st_mode & 0o7777
        fresh = _beside(place)
        try:
            # What an earlier process of this number left when it was killed is nobody's.
            fresh.unlink(missing_ok=True)
            _make(fresh, data, 0o666 if mode is None else 0o600)
            if mode is not None:
                fresh.chmod(mode)
            fresh.replace(place)
        finally:
            with suppress(OSError):
                fresh.unlink()
    except OSError as problem:
        raise _refused(path, problem) from None
