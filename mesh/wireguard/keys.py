"""Make and check the key values of WireGuard: 32 bytes, written as 44 characters of base64.

The resources store, rotate and send keys.
"""

import base64
import binascii
import secrets
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mesh.errors import InvalidKeyError

__all__ = ["ZERO_KEY", "KeyPair", "generate_key_pair", "generate_preshared_key", "is_key", "public_key_of"]

_KEY_BYTES = 32
# To WireGuard, all zeros are no key.
ZERO_KEY = "A" * 43 + "="


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key and its public key, both base64 of 44 characters; printing it shows the public key only."""

    private_key: str = field(repr=False)
    public_key: str


def _decode(text: str) -> bytes | None:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    # A last character with stray bits decodes to the same bytes but is not what `wg` prints, so a comparison would
    # never come out equal.
    if len(raw) != _KEY_BYTES or base64.b64encode(raw).decode("ascii") != text:
        return None
    return raw


def is_key(text: object) -> bool:
    """Tell whether `text` is a key as `wg` writes it: canonical base64 of exactly 32 bytes."""
    return isinstance(text, str) and _decode(text) is not None


def public_key_of(private_key: str) -> str:
    """Return the public key that belongs to `private_key`, as `wg pubkey` does.

    Raises:
        InvalidKeyError: If `private_key` is not a key; the message does not repeat it.
    """
    raw = _decode(private_key)
    if raw is None:
        raise InvalidKeyError("private key: not base64 of 32 bytes; give 44 characters as `wg genkey` prints them")
    public = X25519PrivateKey.from_private_bytes(raw).public_key()
    return base64.b64encode(public.public_bytes_raw()).decode("ascii")


def generate_key_pair() -> KeyPair:
    """Return a new key pair from the system's entropy."""
    private = X25519PrivateKey.generate()
    return KeyPair(
        private_key=base64.b64encode(private.private_bytes_raw()).decode("ascii"),
        public_key=base64.b64encode(private.public_key().public_bytes_raw()).decode("ascii"),
    )


def generate_preshared_key() -> str:
    """Return a new preshared key, base64 of 32 random bytes."""
    return base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode("ascii")
