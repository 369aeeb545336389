"""Text that somebody else wrote, from a file or from a host: how large it may be, and how its bytes are read.

Nothing here knows what the text says.
"""

import codecs

from mesh.errors import ConfigurationError, PlacedFault

__all__ = ["MOST_BYTES", "MOST_CHARACTERS", "check_size", "read_text"]

# Of a file, and of a line or a cell in it. A configuration with 10,000 peers is some 2.5 MB.
MOST_BYTES = 4 * 2**20
MOST_CHARACTERS = 2**16

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def read_text(content: bytes | str, where: str) -> str:
    """Return the text in `content`, without a byte-order mark; `where` names it in faults.

    Bytes are UTF-8, else UTF-16 if they begin with its mark, else Latin-1: `wg` takes any bytes in a comment.

    Raises:
        ConfigurationError: If it is no text, or more than 4 MiB.
    """
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogatepass")
    check_size(len(content), where)
    marked = next(((mark, encoding) for mark, encoding in _MARKS if content.startswith(mark)), None)
    if marked:
        text = content[len(marked[0]) :].decode(marked[1], "replace")
    else:
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            text = content.decode("latin-1")
    if "\0" in text:
        words = "has zero bytes in it, as no text has; save it as UTF-8 text"
        raise ConfigurationError([PlacedFault(where, words)], "import")
    return text


def check_size(size: int, where: str) -> None:
    """Refuse more than 4 MiB.

    Raises:
        ConfigurationError: If there is more; `where` names what it is.
    """
    if size > MOST_BYTES:
        words = f"larger than {MOST_BYTES // 2**20} MiB, the most that is read; check that it is the right file"
        raise ConfigurationError([PlacedFault(where, words)], "import")
