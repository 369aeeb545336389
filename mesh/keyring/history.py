"""Decide when a key is made, kept, brought back or adopted; the state of the two key resources is what they return.

A key that a host may still run is never dropped: every key stays in the resource, by the rotation it was made for, so
that reverting a rotation (or the failed rollout of one) brings back the key that the hosts run.
Nothing here talks to the engine.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from mesh.keyring.expiry import has_expired, show_moment
from mesh.stored.forms import FormerKey, FormerPresharedKey, KeyPairState, PresharedKeyState
from mesh.wireguard.keys import generate_key_pair, generate_preshared_key, public_key_of

__all__ = [
    "Inputs",
    "changed_key_pair",
    "changed_preshared_key",
    "key_pair_changes",
    "new_key_pair",
    "new_preshared_key",
    "preshared_key_changes",
    "with_new_names",
]

Inputs = Mapping[str, Any]


def _now() -> str:
    return show_moment(datetime.now(UTC))


def _is_due(entry: FormerKey | FormerPresharedKey | KeyPairState | PresharedKeyState, inputs: Inputs) -> bool:
    return has_expired(entry["createdAt"], int(inputs["maxKeyAge"]))


def _key_pair_state(inputs: Inputs, private_key: str, created_at: str, kept: list[FormerKey]) -> KeyPairState:
    return {
        "interface": inputs["interface"],
        "host": inputs["host"],
        "rotation": inputs["rotation"],
        "adopted": inputs["adopted"],
        "maxKeyAge": inputs["maxKeyAge"],
        "privateKey": private_key,
        "publicKey": public_key_of(private_key),
        "createdAt": created_at,
        "kept": json.dumps(kept),
    }


def new_key_pair(inputs: Inputs) -> KeyPairState:
    """Return the state of a first key pair: the adopted private key, or a new one."""
    private_key = inputs["adopted"] or generate_key_pair().private_key
    return _key_pair_state(inputs, private_key, _now(), [])


def key_pair_changes(old: KeyPairState, inputs: Inputs) -> bool:
    """Tell whether the inputs ask for another key than `old` holds."""
    if old["rotation"] != inputs["rotation"] or _is_due(old, inputs):
        return True
    # Once adopted, a key may leave the stack file; and a rotation since then counts for more than the file.
    return bool(inputs["adopted"]) and inputs["adopted"] != old["adopted"] and inputs["adopted"] != old["privateKey"]


def changed_key_pair(old: KeyPairState, inputs: Inputs) -> KeyPairState:
    """Return the state after a rotation, its reversal, an expiry, or an adoption; the key before it is kept."""
    kept: list[FormerKey] = json.loads(old["kept"])
    earlier = [entry for entry in kept if entry["rotation"] == inputs["rotation"] and not _is_due(entry, inputs)]
    former: FormerKey = {"rotation": old["rotation"], "privateKey": old["privateKey"], "createdAt": old["createdAt"]}
    if inputs["adopted"] and inputs["adopted"] not in (old["adopted"], old["privateKey"]):
        # A key that is new in the file is adopted, also together with a rotation.
        return _key_pair_state(inputs, inputs["adopted"], _now(), [*kept, former])
    if earlier:
        chosen = earlier[-1]
        rest = [entry for entry in kept if entry is not chosen]
        return _key_pair_state(inputs, chosen["privateKey"], chosen["createdAt"], [*rest, former])
    return _key_pair_state(inputs, generate_key_pair().private_key, _now(), [*kept, former])


def _former_preshared_keys(state: PresharedKeyState) -> list[FormerPresharedKey]:
    kept: list[FormerPresharedKey] = json.loads(state["kept"])
    return kept


def _preshared_state(
    inputs: Inputs, key: str, created_at: str, known_to: list[str], kept: list[FormerPresharedKey]
) -> PresharedKeyState:
    return {
        "interface": inputs["interface"],
        "owners": sorted(inputs["owners"]),
        "rotation": inputs["rotation"],
        "adopted": inputs["adopted"],
        "maxKeyAge": inputs["maxKeyAge"],
        "pairwise": inputs["pairwise"],
        "postQuantum": _post_quantum(inputs),
        "presharedKey": key,
        "createdAt": created_at,
        "knownTo": known_to,
        "kept": json.dumps(kept),
    }


def new_preshared_key(inputs: Inputs) -> PresharedKeyState:
    """Return the state of a first preshared key: the adopted one, or a new one."""
    key = _adopted(inputs) or generate_preshared_key()
    return _preshared_state({**inputs, "adopted": _adopted(inputs)}, key, _now(), sorted(inputs["owners"]), [])


def _adopted(inputs: Inputs) -> str:
    # What hosts share is no secret from them, so it cannot be what the keys of their pairs are derived from. Neither
    # does anybody know how an adopted key came to the hosts.
    return "" if inputs["pairwise"] or _post_quantum(inputs) else inputs["adopted"]


def _post_quantum(inputs: Inputs) -> bool:
    """Tell whether keys go to hosts by a post-quantum key exchange only; few meshes ask for it."""
    return bool(inputs.get("postQuantum"))


def preshared_key_changes(old: PresharedKeyState, inputs: Inputs) -> bool:
    """Tell whether owners, purpose, rotation or adoption differ, though perhaps not the key, or it has expired."""
    if sorted(old["owners"]) != sorted(inputs["owners"]) or old["pairwise"] != inputs["pairwise"]:
        return True
    if old["rotation"] != inputs["rotation"] or old["postQuantum"] != _post_quantum(inputs) or _is_due(old, inputs):
        return True
    return _newly_adopted(old, inputs)


def _newly_adopted(old: PresharedKeyState, inputs: Inputs) -> bool:
    adopted = _adopted(inputs)
    return bool(adopted) and adopted not in (old["adopted"], old["presharedKey"])


def with_new_names(old: PresharedKeyState, inputs: Inputs) -> PresharedKeyState:
    """Return a preshared key's state in which each owner that was renamed has its new name."""
    renamed = inputs.get("renamed") or {}

    def under_new_names(hosts: Iterable[str]) -> list[str]:
        return sorted(renamed.get(host, host) for host in hosts)

    kept = [{**entry, "knownTo": under_new_names(entry["knownTo"])} for entry in _former_preshared_keys(old)]
    return {
        **old,
        "owners": under_new_names(old["owners"]),
        "knownTo": under_new_names(old["knownTo"]),
        "kept": json.dumps(kept),
    }


def changed_preshared_key(old: PresharedKeyState, inputs: Inputs) -> PresharedKeyState:
    """Return the state after owners came or went, a rotation, its reversal, an expiry, an adoption, or a new purpose.

    A key is used as long as all who ever knew it are owners; so it stays when an owner joins, and is regenerated when
    one leaves. A key that a leaver knew is never used again, since a host of the same name that joins later may be
    another machine. An earlier key comes back when a rotation is reverted. Keys of pairs are never derived from a key
    that all hosts have, nor is such a key shared. With a post-quantum key exchange only, no key is used that may have
    gone to a host by another.
    """
    owners = set(inputs["owners"])
    old = with_new_names(old, inputs)
    if not _adopted(inputs):
        # One that cannot serve now is taken later, unless it was before.
        inputs = {**inputs, "adopted": old["adopted"] if inputs["adopted"] else ""}
    current: FormerPresharedKey = {
        "rotation": old["rotation"],
        "presharedKey": old["presharedKey"],
        "createdAt": old["createdAt"],
        "knownTo": old["knownTo"],
        "pairwise": old["pairwise"],
        "postQuantum": old["postQuantum"],
        "revoked": False,
    }
    kept: list[FormerPresharedKey] = [
        {**entry, "revoked": entry["revoked"] or not set(entry["knownTo"]) <= owners}
        for entry in [*_former_preshared_keys(old), current]
    ]
    if _newly_adopted(old, inputs):
        return _preshared_state(inputs, inputs["adopted"], _now(), sorted(owners), kept)
    for entry in reversed(kept):
        fits = entry["rotation"] == inputs["rotation"] and entry["pairwise"] == inputs["pairwise"]
        fits = fits and (entry["postQuantum"] or not _post_quantum(inputs))
        if fits and not entry["revoked"] and not _is_due(entry, inputs):
            rest = [other for other in kept if other is not entry]
            return _preshared_state(inputs, entry["presharedKey"], entry["createdAt"], sorted(owners), rest)
    return _preshared_state(inputs, generate_preshared_key(), _now(), sorted(owners), kept)
