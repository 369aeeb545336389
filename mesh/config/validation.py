"""Say what is wrong with an entry of the stack file, and keep what can still be checked.

Every fault names its place as `pulumi config set --path` spells it, and never repeats a value. Rules about values
are in `fields`, rules across entries in `rules`.
"""

import copy
import difflib
import re
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from mesh.config.fields import CUSTOM_ERROR, is_host_name
from mesh.config.host_models import Settings
from mesh.config.patterns import Accepts
from mesh.errors import PlacedFault, is_showable, show_name

__all__ = ["PLACEHOLDER_ADDRESS", "PLACEHOLDER_HOST_KEY", "accepts", "join_path", "nearest", "read_entry"]

PLACEHOLDER_ADDRESS = "missing.invalid"
PLACEHOLDER_HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
_PLACEHOLDERS: Mapping[str, object] = {
    "address": PLACEHOLDER_ADDRESS,
    "hostKey": PLACEHOLDER_HOST_KEY,
    "ssh": {"address": PLACEHOLDER_ADDRESS, "hostKey": PLACEHOLDER_HOST_KEY},
    "hosts": [],
}
_SCAN = "run python -m mesh scan STACK to fill it in"
_MISSING_ADVICE: Mapping[str, str] = {"hostKey": _SCAN, "ssh": _SCAN}
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")
# Joins everybody, so that no rule across entries takes a faulty rule of peering for one that joins nobody.
_ANY_RULE: Mapping[str, object] = {"group": ["all"]}
# Each pass mends what the one before found: a wrong value, then the gap that it left, then the fields of that gap.
_PASSES = 5

Model = TypeVar("Model", bound=Settings)


def join_path(*parts: object) -> str:
    """Return the place in the stack file, such as `mesh:hosts.bernard.ssh.hostKey` or `mesh:hosts["a.b"].tags[0]`."""
    path = str(parts[0])
    for part in parts[1:]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif isinstance(part, str) and (is_host_name(part) or is_showable(part)):
            path += f".{part}" if _PLAIN_NAME.fullmatch(part) else f'["{part}"]'
        else:
            path += f"[{show_name(part)}]"
    return path


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the one of `known` that is probably meant by `word`; empty if none is near."""
    lowered = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.replace("_", "").lower(), list(lowered), n=1)
    return lowered[close[0]] if close else ""


def _nested_model(annotation: object) -> type[BaseModel] | None:
    candidates = (annotation, *typing.get_args(annotation))
    return next((item for item in candidates if isinstance(item, type) and issubclass(item, BaseModel)), None)


def _locate(model: type[BaseModel], location: Sequence[object]) -> tuple[type[BaseModel], FieldInfo | None, object]:
    """Return the innermost model that `location` leads into, its field that this names, if any, and the type there."""
    owner, field, annotation = model, None, typing.cast("object", model)
    for part in location:
        if (kind := typing.get_origin(annotation)) in (dict, tuple):
            annotation = typing.get_args(annotation)[1 if kind is dict else 0]
            owner, field = _nested_model(annotation) or owner, None
        elif (nested := _nested_model(annotation)) is not None:
            owner = nested
            field = next((info for info in owner.model_fields.values() if info.alias == part), None)
            annotation = field.annotation if field is not None else None
    return owner, field, annotation


def _words(annotation: object) -> str:
    metadata = getattr(annotation, "__metadata__", ())
    inner = typing.get_args(annotation)
    return next((item.words for item in metadata if isinstance(item, Accepts)), "") or next(
        filter(None, map(_words, inner)), ""
    )


def accepts(field: FieldInfo) -> str:
    """Return what may be given in a field, in words; empty where its type does not say."""
    own = (item.words for item in field.metadata if isinstance(item, Accepts))
    return next(own, "") or _words(field.annotation)


def _describe(model: type[BaseModel]) -> str:
    required = [info.alias or "" for info in model.model_fields.values() if info.is_required()]
    if required:
        return f"a mapping with at least {' and '.join(required)}"
    return f"a mapping of {', '.join(info.alias or '' for info in model.model_fields.values())}"


def _meant_field(model: type[BaseModel], error: ErrorDetails) -> str:
    owner, _, _ = _locate(model, error["loc"])
    return nearest(str(error["loc"][-1]), _fields(owner))


def _fields(model: type[BaseModel]) -> list[str]:
    return [info.alias or name for name, info in model.model_fields.items()]


def _word(model: type[BaseModel], where: tuple[object, ...], error: ErrorDetails) -> PlacedFault:
    location = error["loc"]
    path = join_path(*where, *location)
    if error["type"] == CUSTOM_ERROR:
        return PlacedFault(path, error["msg"])
    owner, field, annotation = _locate(model, location)
    if error["type"] == "extra_forbidden":
        if close := _meant_field(model, error):
            return PlacedFault(path, f"unknown field; did you mean {close}?")
        return PlacedFault(path, f"unknown field; allowed here: {', '.join(_fields(owner))}")
    # An item of a list has words of its own; an entry of a mapping is one of a model.
    expected = (accepts(field) if field else _words(annotation)) or _describe(owner)
    if error["type"] == "missing":
        return PlacedFault(path, f"missing; {_MISSING_ADVICE.get(str(location[-1]), f'give {expected}')}")
    if isinstance(location[-1] if location else None, int) and error["type"] == "string_type":
        return PlacedFault(path, f"not a text; give {expected}, in quotes if it is a number")
    return PlacedFault(path, f"not usable; give {expected}")


def _left_out(model: type[BaseModel], error: ErrorDetails) -> Iterator[tuple[str, ...]]:
    """Yield the path of what an error leaves open: a field, of which an item is a part, or the one that is meant."""
    location = error["loc"]
    end = next((place for place, part in enumerate(location) if isinstance(part, int)), len(location))
    path = tuple(map(str, location[:end]))
    if error["type"] != "extra_forbidden" or end < len(location):
        yield path
    elif meant := _meant_field(model, error):
        yield (*path[:-1], meant)


def _mend(raw: dict[str, Any], error: ErrorDetails) -> None:
    """Take the value that `error` names out of `raw`, or put a placeholder where a required one is missing."""
    *parents, last = error["loc"]
    rule = next((place for place, part in enumerate(error["loc"]) if isinstance(part, int)), None)
    if rule is not None and error["loc"][:rule] == ("peering",):
        raw["peering"][error["loc"][rule]] = copy.deepcopy(_ANY_RULE)
        return
    holder: Any = raw
    for part in parents:
        holder = holder.get(part) if isinstance(holder, dict) else holder[part] if isinstance(part, int) else None
    if error["type"] == "missing" and isinstance(holder, dict):
        holder[last] = copy.deepcopy(_PLACEHOLDERS.get(str(last)))
    elif error["type"] == "model_type":
        # What is named there is there, whatever is to be said of it.
        holder[last] = {}
    elif isinstance(holder, dict):
        holder.pop(last, None)
    elif isinstance(holder, list) and isinstance(last, int) and last < len(holder):
        del holder[last]


def read_entry(model: type[Model], raw: object, *where: object) -> tuple[Model, list[PlacedFault]]:
    """Return the entry at `where` and its faults.

    An entry with faults is returned too: without its faulty fields, which it knows, and with placeholders for required
    ones, so that the rules across entries find their faults in the same report. It must not be used for anything else.
    """
    faults: list[PlacedFault] = []
    left_out: set[tuple[str, ...]] = set()
    remains: Any = copy.deepcopy(raw)
    for number in range(_PASSES):
        try:
            entry = model.model_validate(remains)
        except ValidationError as problem:
            errors = problem.errors(include_url=False, include_input=False, include_context=False)
            if number == 0:
                faults = [_word(model, where, error) for error in errors]
            left_out |= {path for error in errors for path in _left_out(model, error)}
            if not isinstance(remains, dict):
                remains = {}
                continue
            # From the back, so that the indexes in front keep their meaning.
            for error in reversed(errors):
                _mend(remains, error)
        else:
            entry.leave_out(*left_out)
            return entry, faults
    return _unread(model), faults


def _unread(model: type[Model]) -> Model:
    """Return an entry of which nothing is known."""
    required = [info.alias or "" for info in model.model_fields.values() if info.is_required()]
    entry = model.model_validate({name: copy.deepcopy(_PLACEHOLDERS.get(name)) for name in required})
    entry.leave_out(())
    return entry
