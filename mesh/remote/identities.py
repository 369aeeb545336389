"""SSH keys that can sign a login: one in a file, or one that an agent holds, each with its certificate if it has one.

`credentials` chooses which of them are offered, and in which order; `agent` serves them to the command plugin.
Formats: RFC 4253 section 6.6, RFC 5656, RFC 8332, and PROTOCOL.key and PROTOCOL.certkeys of OpenSSH.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from mesh.remote.wire import pack, pack_number, unpack

__all__ = [
    "FileIdentity",
    "Identity",
    "SigningError",
    "blob_of",
    "certified_key",
    "is_certificate",
    "read_beside",
    "read_key_blob",
    "read_private_key",
    "read_public_lines",
    "with_certificate",
]

PrivateKey = Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_CERTIFICATE = b"-cert-v01@openssh.com"
_MAGIC = b"openssh-key-v1\0"
_ARMOUR = re.compile(rb"-----BEGIN OPENSSH PRIVATE KEY-----(.*?)-----END OPENSSH PRIVATE KEY-----", re.DOTALL)
# Flags of a sign request: which hash RSA signs with.
_RSA_SHA2_256, _RSA_SHA2_512 = 2, 4


class SigningError(Exception):
    """A key does not sign: its agent refused, or is gone."""


class Identity(Protocol):
    """A public key, or a certificate, as SSH sends it, and what signs for it."""

    @property
    def blob(self) -> bytes:
        """The public key or certificate, which begins with its type."""

    @property
    def comment(self) -> str:
        """What its owner calls it."""

    def sign(self, data: bytes, flags: int) -> bytes:
        """Return a signature as SSH sends it; `flags` as in a request to an agent.

        Raises:
            SigningError: If there is none to be had.
        """


@dataclass(frozen=True)
class FileIdentity:
    """A private key from a file, whose `blob` may be a certificate for it."""

    blob: bytes
    comment: str
    key: PrivateKey = field(repr=False, compare=False)

    def sign(self, data: bytes, flags: int) -> bytes:
        """Sign with the key itself."""
        match self.key:
            case Ed25519PrivateKey():
                return pack(b"ssh-ed25519", self.key.sign(data))
            case ec.EllipticCurvePrivateKey():
                size = self.key.curve.key_size
                digest = hashes.SHA256() if size <= 256 else hashes.SHA384() if size <= 384 else hashes.SHA512()
                numbers = decode_dss_signature(self.key.sign(data, ec.ECDSA(digest)))
                return pack(f"ecdsa-sha2-nistp{size}".encode(), b"".join(map(pack_number, numbers)))
            case rsa.RSAPrivateKey():
                if flags & _RSA_SHA2_512:
                    return pack(b"rsa-sha2-512", self.key.sign(data, padding.PKCS1v15(), hashes.SHA512()))
                if flags & _RSA_SHA2_256:
                    return pack(b"rsa-sha2-256", self.key.sign(data, padding.PKCS1v15(), hashes.SHA256()))
        raise SigningError("it wants RSA with SHA-1 for it; use a key of type ed25519")


def read_private_key(text: bytes) -> PrivateKey | None:
    """Return the private key in a file of OpenSSH's or of a PEM format; None if a passphrase is needed to read it.

    Raises:
        ValueError: If it is none, or of a kind that a file alone cannot sign with.
    """
    try:
        key = load_ssh_private_key(text, None) if _ARMOUR.search(text) else load_pem_private_key(text, None)
    except TypeError:
        return None
    except (ValueError, UnsupportedAlgorithm) as error:
        if "password-protected" in str(error):
            return None
        raise ValueError from None
    if not isinstance(key, Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ValueError
    return key


def blob_of(key: PrivateKey) -> bytes:
    """Return the public half of a private key as SSH sends it."""
    return base64.b64decode(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1])


def read_key_blob(text: bytes) -> bytes | None:
    """Return the public key that a private key file of OpenSSH's format holds in clear, passphrase or not."""
    found = _ARMOUR.search(text)
    try:
        body = base64.b64decode(found[1]) if found else b""
        if not body.startswith(_MAGIC):
            return None
        *_, rest = unpack(body[len(_MAGIC) :], 3)
        # After the number of keys, which is always one.
        return next(unpack(rest[4:], 1))
    except (ValueError, StopIteration):
        return None


def read_public_lines(text: bytes) -> list[tuple[bytes, str]]:
    """Return the public keys and certificates, with their comments, of a file that has one a line."""
    found = []
    for line in text.splitlines():
        words = line.split(None, 2)
        try:
            blob = base64.b64decode(words[1], validate=True)
            if is_certificate(blob):
                # A certificate that was cut off is none.
                certified_key(blob)
            if next(unpack(blob, 1)) == words[0]:
                found.append((blob, words[2].decode(errors="replace") if len(words) > 2 else ""))
        except (IndexError, ValueError, StopIteration, binascii.Error):
            continue
    return found


def read_beside(path: Path) -> list[bytes]:
    """Return the public keys and certificates of a file beside a key, which may be missing or not be for us to read."""
    try:
        return [blob for blob, _ in read_public_lines(path.read_bytes())]
    except OSError:
        return []


def with_certificate(path: Path) -> Iterator[bytes]:
    """Yield the certificate beside a key file, NAME-cert.pub, if there is one."""
    yield from filter(is_certificate, read_beside(path.with_name(f"{path.name.removesuffix('.pub')}-cert.pub")))


def is_certificate(blob: bytes) -> bool:
    """Tell whether `blob` is a certificate, and not a plain key."""
    return next(unpack(blob, 1)).endswith(_CERTIFICATE)


def certified_key(blob: bytes) -> bytes:
    """Return the plain public key that a certificate is for."""
    kind, _, rest = unpack(blob, 2)
    plain = kind.removesuffix(_CERTIFICATE)
    fields = {b"ssh-ed25519": 1, b"ssh-rsa": 2}.get(plain, 2)
    if plain.startswith(b"sk-"):
        plain += b"@openssh.com"
        fields = 2 if b"ed25519" in plain else 3
    *values, _ = unpack(rest, fields)
    return pack(plain, *values)
