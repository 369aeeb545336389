"""Why a key changes, in words for previews; `history` decides it."""

import json

from mesh.errors import show_first
from mesh.keyring.expiry import describe_expiry, has_expired
from mesh.keyring.history import (
    Inputs,
    changed_key_pair,
    changed_preshared_key,
    key_pair_changes,
    preshared_key_changes,
    with_new_names,
)
from mesh.stored.forms import KeyPairState, PresharedKeyState, RecordedKey

__all__ = ["explain_key_pair", "explain_preshared_key", "explain_rotation"]


def explain_key_pair(old: KeyPairState, inputs: Inputs) -> list[str]:
    """Return why a host's key is regenerated, comes back or is adopted, and whether it expires soon."""
    name, days = f"{inputs['host']} key", int(inputs["maxKeyAge"])
    if not key_pair_changes(old, inputs):
        return describe_expiry(name, old["createdAt"], days)
    key = changed_key_pair(old, inputs)["privateKey"]
    return _explain(name, old, inputs, key, "privateKey")


def explain_preshared_key(old: PresharedKeyState, inputs: Inputs) -> list[str]:
    """Return why the preshared key is regenerated, comes back or is adopted, and whether it expires soon."""
    name, days = "preshared key", int(inputs["maxKeyAge"])
    if not preshared_key_changes(old, inputs):
        return describe_expiry(name, old["createdAt"], days)
    key = changed_preshared_key(old, inputs)["presharedKey"]
    if key == old["presharedKey"]:
        return describe_expiry(name, old["createdAt"], days)
    former = sorted(set(with_new_names(old, inputs)["knownTo"]) - set(inputs["owners"]))
    if former and old["rotation"] == inputs["rotation"] and key not in old["kept"] and key != inputs["adopted"]:
        return [f"~ {name} is regenerated: {show_first(former)} knew it and is no longer an owner"]
    return _explain(name, old, inputs, key, "presharedKey")


def _explain(name: str, old: KeyPairState | PresharedKeyState, inputs: Inputs, key: str, field: str) -> list[str]:
    if key == inputs["adopted"]:
        return [f"~ {name} is adopted from mesh:adopted"]
    back = any(entry[field] == key for entry in json.loads(old["kept"]))
    outcome = "comes back" if back else "is regenerated"
    if old["rotation"] != inputs["rotation"]:
        return [f"~ {name} {outcome}: {explain_rotation(old, inputs)}"]
    if has_expired(old["createdAt"], int(inputs["maxKeyAge"])):
        return describe_expiry(name, old["createdAt"], int(inputs["maxKeyAge"]))
    if old.get("pairwise") != inputs.get("pairwise"):
        return [f"~ {name} {outcome}: {'each pair gets its own from it' if inputs['pairwise'] else 'all share it'}"]
    if not old.get("postQuantum") and inputs.get("postQuantum"):
        return [f"~ {name} {outcome}: it may have gone by a classical key exchange"]
    return [f"~ {name} {outcome}"]


def explain_rotation(old: RecordedKey | PresharedKeyState, inputs: Inputs) -> str:
    """Return which numbers of a rotation changed, and how."""
    owners = [inputs["interface"], inputs.get("host", ""), "all interfaces"]
    parts = zip(owners, _numbers(old["rotation"]), _numbers(inputs["rotation"]), strict=True)
    return " and ".join(f"rotation of {owner} {was} becomes {now}" for owner, was, now in parts if was != now)


def _numbers(rotation: str) -> list[str]:
    # That of the interface, for a host's key its own after a dot, and that of all interfaces if it was ever raised.
    own, _, of_all = rotation.partition("@")
    interface, _, host = own.partition(".")
    return [interface, host, of_all or "1"]
