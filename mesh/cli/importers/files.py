"""Read the files of an import, and show their paths in a message."""

from pathlib import Path

from mesh.errors import ConfigurationError, PlacedFault
from mesh.wireguard.text import MOST_BYTES, check_size

__all__ = ["read_bytes", "show_path"]


def show_path(path: object) -> str:
    """Return a path as it can be shown: one that would change the terminal or break the line is quoted."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def read_bytes(path: Path) -> bytes:
    """Return what a file holds.

    Raises:
        ConfigurationError: If it cannot be read, or holds more than 4 MiB.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        words = f"cannot be read, {error.strerror}; give a file that you can read"
        raise ConfigurationError([PlacedFault(show_path(path), words)], "import") from None
    check_size(len(content), show_path(path))
    return content
