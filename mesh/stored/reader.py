"""Read what earlier runs left in the state, in one place: every field that anything reads is there, or it is refused.

What an earlier form of the program did not write yet is filled in with what held at that time. What every form wrote
cannot be filled in: a state without it is damaged, or of a later version.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, NotRequired, TypeVar, cast, get_args, get_origin, get_type_hints, is_typeddict

from mesh.errors import MeshError, is_showable
from mesh.plan.roster import Roster
from mesh.stored.forms import (
    BEFORE,
    FormerKey,
    FormerPresharedKey,
    KeyPairState,
    PresharedKeyState,
    RecordedKey,
    RecordedRollout,
    RolloutState,
    RosterState,
    SurveyState,
)

__all__ = [
    "complete_rollout_inputs",
    "read_key_pair",
    "read_peer_files",
    "read_preshared_key",
    "read_recorded",
    "read_recorded_key",
    "read_rollout",
    "read_roster",
    "read_survey_state",
]

# What is lacking was written by this version and all before it.
_VERSION = "0.1.0"

Form = TypeVar("Form")


class _UnfitError(Exception):
    """A field, named by its path, is not there or is of another kind."""


@cache
def _fields_of(form: type) -> Mapping[str, Any]:
    hints = get_type_hints(form, include_extras=True)
    return {name: get_args(hint)[0] if get_origin(hint) is NotRequired else hint for name, hint in hints.items()}


def _read(form: Any, value: Any, path: tuple[str, ...] = ()) -> Any:
    """Return `value` as a `form` has it; what the form does not know stays."""
    if is_typeddict(form):
        if not isinstance(value, Mapping):
            raise _UnfitError(*path)
        completed = {**BEFORE.get(form, {}), **{name: item for name, item in value.items() if item is not None}}
        for name, hint in _fields_of(form).items():
            if name in completed:
                completed[name] = _read(hint, completed[name], (*path, name))
            elif name in form.__required_keys__:
                raise _UnfitError(*path, name)
        return completed
    if get_origin(form) is Annotated:
        plain, is_well_formed = get_args(form)
        if not is_well_formed(_read(plain, value, path)):
            raise _UnfitError(*path)
        return value
    kind: Any = get_origin(form) or form
    # The engine hands back every number as a fraction.
    if not isinstance(value, (int, float) if kind is int else kind):
        raise _UnfitError(*path)
    items: Any = value
    if kind is list:
        return [_read(get_args(form)[0], item, path) for item in items]
    if kind is dict:
        return {name: _read(get_args(form)[1], item, (*path, name)) for name, item in items.items()}
    return value


def _read_state(where: str, form: type[Form], kept: Any, outputs: Mapping[str, Any]) -> Form:
    """Return a resource's outputs by their `form`; `kept` is that of the earlier keys, if it has any.

    Raises:
        MeshError: Naming the first field that is not there or is of another kind; never its value.
    """
    try:
        state = _read(form, outputs)
        if kept:
            try:
                entries = json.loads(state["kept"])
            except ValueError:
                raise _UnfitError("kept") from None
            state["kept"] = json.dumps(_read(list[kept], entries, ("kept",)))
    except _UnfitError as unfit:
        name = ".".join(word if is_showable(word) else "…" for word in unfit.args) or "it"
        raise MeshError(
            f"{where}: the state has {name} in no form that mesh {_VERSION} or an earlier one wrote; run pulumi up "
            "with the version that wrote it first, or go back to an earlier state, as docs/tasks/state.md shows"
        ) from None
    return cast("Form", state)


def read_key_pair(id_: str, outputs: Mapping[str, Any]) -> KeyPairState:
    """Return what the state says of a host's key."""
    return _read_state(f"{id_}/key", KeyPairState, FormerKey, outputs)


def read_preshared_key(id_: str, outputs: Mapping[str, Any]) -> PresharedKeyState:
    """Return what the state says of the preshared key of a mesh."""
    return _read_state(f"{id_}/preshared-key", PresharedKeyState, FormerPresharedKey, outputs)


def read_recorded_key(name: str, outputs: Mapping[str, Any]) -> RecordedKey:
    """Return what the state says of either, a resource of that name, where secrets are encrypted."""
    return _read_state(name, RecordedKey, None, outputs)


def read_survey_state(id_: str, outputs: Mapping[str, Any]) -> SurveyState:
    """Return what the state says of the installations of hosts."""
    return _read_state(f"{id_}/survey", SurveyState, None, outputs)


def read_roster(outputs: Mapping[str, Any]) -> RosterState:
    """Return what the state says of the members of a mesh."""
    roster = outputs.get("roster")
    interface = roster.get("interface") if isinstance(roster, Mapping) else None
    where = f"{interface}/roster" if isinstance(interface, str) else "roster"
    return _read_state(where, RosterState, None, outputs)


def read_rollout(id_: str, outputs: Mapping[str, Any]) -> RolloutState:
    """Return what the state says of the last verified rollout."""
    return _read_state(f"{id_}/rollout", RolloutState, None, outputs)


def read_recorded(id_: str, outputs: Mapping[str, Any]) -> RecordedRollout:
    """Return the same where secrets are encrypted."""
    return _read_state(f"{id_}/rollout", RecordedRollout, None, outputs)


def complete_rollout_inputs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rollout's inputs, which are outputs of resources that may be of an earlier form and have not changed."""
    roster = inputs.get("roster")
    # In a preview it may not be known yet.
    completed = {**BEFORE[Roster], **roster} if isinstance(roster, Mapping) else roster
    # What an output lacks is not known in a preview; where it is about to change, the key is not known either.
    revision = inputs.get("revision")
    return {
        **inputs,
        "roster": completed,
        "pairwise": inputs.get("pairwise") is True,
        "revision": revision if isinstance(revision, str) else "",
    }


def read_peer_files(output: str, value: object) -> dict[str, str]:
    """Return the files of peers by name, as the stack's `output` of that name holds them."""
    return _read_state(output, dict[str, str], None, value)  # type: ignore[arg-type]
