"""Which keys a stack file asks to be regenerated, as far as the state tells that in clear; `history` makes them.

What an earlier key was, and whether one is adopted, is secret. So a rotation that is taken back is a change as well.
"""

from collections.abc import Collection
from typing import NamedTuple

from mesh.errors import show_first
from mesh.keyring.expiry import describe_expiry, has_expired
from mesh.keyring.explain import explain_rotation
from mesh.keyring.history import Inputs
from mesh.stored.forms import RecordedKey

__all__ = ["Foreseen", "foresee_key_pair", "foresee_preshared_key"]


class Foreseen(NamedTuple):
    """Whether a key changes, and why, or that it expires soon."""

    changes: bool
    lines: list[str]


def foresee_key_pair(old: RecordedKey, inputs: Inputs) -> Foreseen:
    """Return what becomes of the key of a host, by the same inputs as its resource has."""
    return _foresee(f"{inputs['host']} key", old, inputs)


def foresee_preshared_key(old: RecordedKey, inputs: Inputs, owners: Collection[str]) -> Foreseen:
    """Return what becomes of the preshared key; `owners` are all who may know it."""
    renamed = inputs.get("renamed") or {}
    if left := sorted({renamed.get(host, host) for host in old.get("knownTo", ())} - set(owners)):
        return Foreseen(True, [f"~ preshared key is regenerated: {show_first(left)} knew it and is no longer an owner"])
    if bool(old.get("pairwise")) != bool(inputs["pairwise"]):
        return Foreseen(True, ["~ preshared key is regenerated for another use"])
    if inputs["postQuantum"] and not old.get("postQuantum"):
        return Foreseen(True, ["~ preshared key is regenerated: it may have gone by a classical key exchange"])
    return _foresee("preshared key", old, inputs)


def _foresee(name: str, old: RecordedKey, inputs: Inputs) -> Foreseen:
    if old["rotation"] != inputs["rotation"]:
        return Foreseen(True, [f"~ {name} changes: {explain_rotation(old, inputs)}"])
    days = int(inputs["maxKeyAge"])
    return Foreseen(has_expired(old["createdAt"], days), describe_expiry(name, old["createdAt"], days))
