"""Find what SSH logs in with: the key that the environment names, then the keys of the operator's agent.

The rollout and the command plugin offer the same keys in the same order. They are never inputs of resources, so the
state does not depend on who runs `pulumi up`.
"""

import base64
import hashlib
import os
import re
import shlex
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mesh.errors import MeshError
from mesh.remote.agent import AgentIdentity, list_identities
from mesh.remote.identities import (
    FileIdentity,
    Identity,
    blob_of,
    certified_key,
    is_certificate,
    read_beside,
    read_key_blob,
    read_private_key,
    read_public_lines,
    with_certificate,
)

__all__ = ["KEY_FILE_VARIABLE", "OFFERED", "Credentials", "fingerprint_of", "load", "prefer", "remember", "renew"]

KEY_FILE_VARIABLE = "MESH_SSH_KEY_FILE"
_NAMED = "SSH_AUTH_SOCK"
# What no name of a file is: a private key in its armour, or the beginning of what OpenSSH has there, in base64.
_KEY_TEXT = re.compile(r"PRIVATE KEY-----|^\s*b3BlbnNzaC1rZXkt")

# An sshd ends a connection at the sixth key that it refuses (MaxAuthTries of sshd_config).
OFFERED = 5

# Which keys hosts have accepted, by fingerprint, the latest first; kept only where there are more keys than one
# connection may offer.
_ACCEPTED = Path(".mesh/accepted")


@dataclass(frozen=True)
class Credentials:
    """What to log in with, in the order in which it is offered; `notes` say what was passed over, and `lack` why."""

    identities: tuple[Identity, ...]
    notes: tuple[str, ...] = ()
    lack: str = ""

    @property
    def are_many(self) -> bool:
        """Whether one connection cannot offer them all."""
        return len(self.identities) > OFFERED


def load() -> Credentials:
    """Return what the environment gives to log in with.

    Raises:
        MeshError: If the key file that it names cannot be used.
    """
    return _load(os.environ.get(KEY_FILE_VARIABLE) or "", os.environ.get(_NAMED) or "")


def renew() -> None:
    """Have the next `load` look again, which otherwise gives the same as the last."""
    _load.cache_clear()


@lru_cache(maxsize=1)
def _load(key_file: str, agent: str) -> Credentials:
    held, trouble, is_broken = _ask_agent(agent)
    named = _read_named(key_file, held) if key_file else []
    blobs = {identity.blob for identity in named}
    identities = (*named, *(identity for identity in held if identity.blob not in blobs))
    if identities:
        return Credentials(identities, (f"{trouble}; going on with {KEY_FILE_VARIABLE} alone",) if trouble else ())
    way_out = f"run `ssh-add`, or set {KEY_FILE_VARIABLE} to a private key file"
    if not agent:
        way_out = f"start one with `eval $(ssh-agent) && ssh-add`, or set {KEY_FILE_VARIABLE} to a private key file"
    elif is_broken:
        way_out = f"correct it, or set {KEY_FILE_VARIABLE} to a private key file"
    return Credentials((), (), f"{trouble or 'no ssh-agent and no key file'}; {way_out}")


def _ask_agent(path: str) -> tuple[list[AgentIdentity], str, bool]:
    """Return what the agent holds, what is wrong with it, and whether that is because it does not answer."""
    if not path:
        return [], "", False
    try:
        held = list_identities(path)
    except (OSError, ValueError):
        return [], f"no agent answers at {_NAMED}", True
    return held, "" if held else "the ssh-agent holds no key", False


def _read_named(name: str, held: Iterable[AgentIdentity]) -> list[Identity]:
    """Return the key in a file, behind its certificates; a public one has to be in the agent."""
    if _KEY_TEXT.search(name):
        raise MeshError(
            f"{KEY_FILE_VARIABLE}: is a key itself, not the name of a file; keep the key in a file that only you can "
            "read, and name that"
        )
    path = Path(name)
    # Of a user who is not known, it stays as it is.
    with suppress(RuntimeError):
        path = path.expanduser()
    where = f"{KEY_FILE_VARIABLE}: {name!r}"
    try:
        text = path.read_bytes()
    except OSError as error:
        is_there = not isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
        # In `pulumi up`, the folder is the project's, wherever that was typed.
        is_whole = path.is_absolute() or name.startswith("~")
        missing = "is not a file" if is_whole else f"is not a file in {Path.cwd()}"
        what = f"cannot be read ({error.strerror})" if is_there else missing
        raise MeshError(f"{where} {what}; name an SSH private key, or use ssh-agent") from None
    if lines := read_public_lines(text):
        return _public(where, path, lines, held)
    if path.is_file() and path.stat().st_mode & 0o077 and path.stat().st_uid == os.getuid():
        raise MeshError(f"{where} can be read by others; run chmod 600 on it")
    try:
        key = read_private_key(text)
    except ValueError:
        key = None
        if read_key_blob(text) is None:
            raise MeshError(
                f"{where} is no SSH key that can be used; name an SSH private key, or use ssh-agent"
            ) from None
    if key is not None:
        plain = blob_of(key)
        certificates = [blob for blob in with_certificate(path) if certified_key(blob) == plain]
        return [FileIdentity(blob, path.name, key) for blob in (*certificates, plain)]
    blob = read_key_blob(text) or next(iter(read_beside(path.with_name(f"{path.name}.pub"))), b"")
    return _from_agent(
        [*with_certificate(path), blob],
        held,
        f"{where} needs its passphrase or its device, and ssh-agent does not hold it; run ssh-add "
        f"{_typed(name, path)}, or name a key without a passphrase",
    )


def _typed(name: str, path: Path) -> str:
    """Return how a shell takes the name of a file; a tilde stays, which quotes would make a letter."""
    return name if shlex.quote(name.removeprefix("~")) == name.removeprefix("~") else shlex.quote(str(path))


def _public(where: str, path: Path, lines: list[tuple[bytes, str]], held: Iterable[AgentIdentity]) -> list[Identity]:
    blobs = [blob for blob, _ in lines]
    plain = [certified_key(blob) for blob in blobs if is_certificate(blob)]
    refusal = f"{where} is a public key that ssh-agent does not hold; run ssh-add, or name the private key file"
    return _from_agent([*with_certificate(path), *blobs, *plain], held, refusal)


def _from_agent(blobs: Iterable[bytes], held: Iterable[AgentIdentity], refusal: str) -> list[Identity]:
    by_blob = {identity.blob: identity for identity in held}
    found: dict[bytes, Identity] = {}
    for blob in filter(None, blobs):
        plain = certified_key(blob) if is_certificate(blob) else blob
        if signer := by_blob.get(blob) or by_blob.get(plain):
            found.setdefault(blob, AgentIdentity(blob, signer.comment, signer.socket, signer.blob))
    if not found:
        raise MeshError(refusal)
    return list(found.values())


def fingerprint_of(identity: Identity) -> str:
    """Return a key's fingerprint as `ssh-add -l` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(identity.blob).digest()).decode().rstrip("=")


def prefer(identities: Iterable[Identity]) -> list[Identity]:
    """Return `identities`, and first what hosts accepted before if there are too many for one connection."""
    every = list(identities)
    if len(every) <= OFFERED:
        return every
    places = {fingerprint: place for place, fingerprint in enumerate(_read_accepted())}
    return sorted(every, key=lambda identity: places.get(fingerprint_of(identity), len(places)))


def _read_accepted() -> list[str]:
    # It only saves tries, so nothing fails for want of it.
    with suppress(OSError, ValueError):
        return _ACCEPTED.read_text(encoding="utf-8").split()
    return []


def remember(identity: Identity) -> None:
    """Record that a host has accepted a key, so that it is offered first from now on."""
    known, accepted = _read_accepted(), fingerprint_of(identity)
    if accepted in known[:OFFERED]:
        return
    fresh = _ACCEPTED.with_name(f"accepted.{os.getpid()}")
    words = [accepted, *(word for word in known if word != accepted)][:20]
    with suppress(OSError):
        _ACCEPTED.parent.mkdir(mode=0o700, exist_ok=True)
        fresh.write_text("\n".join(words) + "\n", encoding="utf-8")
        fresh.replace(_ACCEPTED)
