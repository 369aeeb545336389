"""Give the file of an unmanaged peer to its owner: as text, or as a QR code."""

from collections.abc import Mapping
from typing import TextIO

import segno
from segno.encoder import DataOverflowError

from mesh.cli.known_names import show_known
from mesh.errors import MeshError, show_name

__all__ = ["choose_file", "show_qr_code"]


def choose_file(files: Mapping[str, Mapping[str, str]], name: str, interface: str | None) -> str:
    """Return the file of the peer `name`.

    Args:
        files: By interface and name.
        name: Of the peer.
        interface: None for the only one that has such a peer.

    Raises:
        MeshError: If there is none, or more than one.
    """
    having = [mesh for mesh, peers in files.items() if name in peers and interface in (None, mesh)]
    if not having:
        known = [f"{mesh}/{peer}" for mesh, peers in files.items() for peer in peers]
        advice = (
            f"there are {show_known(name, known)}"
            if known
            else "declare it in interfaces.NAME.peers, and run pulumi up"
        )
        raise MeshError(f"peer: {show_name(name)} is no peer of a verified mesh of this stack; {advice}")
    if len(having) > 1:
        raise MeshError(f"peer: {show_name(name)} is in {' and '.join(sorted(having))}; choose one with --interface")
    return files[having[0]][name]


def show_qr_code(text: str, out: TextIO) -> None:
    """Draw the code with the characters of a terminal.

    Raises:
        MeshError: If the text is longer than such a code can hold (2953 bytes, ISO/IEC 18004).
    """
    try:
        code = segno.make(text, error="l", micro=False)
    except DataOverflowError:
        raise MeshError(
            f"peer: {len(text.encode())} bytes are more than a QR code holds; give the peer fewer peers (peering), "
            "or take the file with --output"
        ) from None
    code.terminal(out, compact=True)
