"""The preshared key of a pair: the mesh's own, or one for each pair that only its two ends hold.

A pair's key is derived from the mesh's by HKDF with SHA-256 (RFC 5869), so the state stays as small as it is, and any
change of the mesh's key changes them all.
"""

import base64

from mesh.plan.pairs import Pairs
from mesh.plan.roster import Roster

__all__ = ["keys_of", "pair_key"]

_BYTES = 32


def pair_key(roster: Roster, preshared_key: str, one: str, other: str) -> str:
    """Return the key of two participants, in base64, from the mesh's."""
    if roster.get("presharedKeys") != "pairwise":
        return preshared_key
    # Shared keys need none of it, and its import would cost every run some milliseconds.
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    low, high = sorted((one, other))
    # No name of a host or an interface holds a line break, so no two pairs have one text.
    info = "\n".join(("mesh preshared key", roster["interface"], low, high)).encode()
    derived = HKDF(SHA256(), _BYTES, salt=None, info=info).derive(base64.b64decode(preshared_key))
    return base64.b64encode(derived).decode()


def keys_of(roster: Roster, pairs: Pairs, preshared_key: str, host: str) -> set[str]:
    """Return all preshared keys that the kernel of `host` should have."""
    if roster.get("presharedKeys") != "pairwise":
        return {preshared_key}
    return {pair_key(roster, preshared_key, host, peer) for peer in pairs.links_of(host)}
