"""Say what is wrong with an entry of the stack file, and keep what can still be checked.

Every fault names its place as `pulumi config set --path` spells it, and never repeats a value. Rules about values
are in `fields`, rules across entries in `rules`.
"""

import copy
import difflib
import re
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from mesh.config.fields import CUSTOM_ERROR, is_host_name
from mesh.config.patterns import Accepts
from mesh.errors import PlacedFault, is_showable, show_name

__all__ = ["PLACEHOLDER_ADDRESS", "PLACEHOLDER_HOST_KEY", "accepts", "join_path", "read_entry"]

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
# Each pass mends what the one before found: a wrong value, then the gap that it left, then the fields of that gap.
_PASSES = 4

Model = TypeVar("Model", bound=BaseModel)


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


def _nested_model(annotation: object) -> type[BaseModel] | None:
    candidates = (annotation, *typing.get_args(annotation))
    return next((item for item in candidates if isinstance(item, type) and issubclass(item, BaseModel)), None)


def _locate(model: type[BaseModel], location: Sequence[object]) -> tuple[type[BaseModel], FieldInfo | None]:
    """Return the innermost model that `location` leads into, and the field of it that it names, if there is one."""
    owner, field, annotation = model, None, typing.cast("object", model)
    for part in location:
        if (kind := typing.get_origin(annotation)) in (dict, tuple):
            annotation = typing.get_args(annotation)[1 if kind is dict else 0]
            owner, field = _nested_model(annotation) or owner, None
        elif (nested := _nested_model(annotation)) is not None:
            owner = nested
            field = next((info for info in owner.model_fields.values() if info.alias == part), None)
            annotation = field.annotation if field is not None else None
    return owner, field


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


def _word(model: type[BaseModel], where: tuple[object, ...], error: ErrorDetails) -> PlacedFault:
    location = error["loc"]
    path = join_path(*where, *location)
    if error["type"] == CUSTOM_ERROR:
        return PlacedFault(path, error["msg"])
    owner, field = _locate(model, location)
    if error["type"] == "extra_forbidden":
        known = [info.alias or name for name, info in owner.model_fields.items()]
        lowered = {name.lower(): name for name in known}
        close = difflib.get_close_matches(str(location[-1]).replace("_", "").lower(), list(lowered), n=1)
        if close:
            return PlacedFault(path, f"unknown field; did you mean {lowered[close[0]]}?")
        return PlacedFault(path, f"unknown field; allowed here: {', '.join(known)}")
    expected = (field and accepts(field)) or _describe(owner)
    if error["type"] == "missing":
        return PlacedFault(path, f"missing; {_MISSING_ADVICE.get(str(location[-1]), f'give {expected}')}")
    return PlacedFault(path, f"not usable; give {expected}")


def _mend(raw: object, error: ErrorDetails) -> None:
    """Take the value that `error` names out of `raw`, or put a placeholder where a required one is missing."""
    location = error["loc"] or (None,)
    # A list of rules is left out whole: those that remain would say something else.
    rule = next((place for place, part in enumerate(location[:-1]) if isinstance(part, int)), None)
    *parents, last = location if rule is None else location[:rule]
    holder: Any = raw
    for part in parents:
        holder = holder.get(part) if isinstance(holder, dict) else holder[part] if isinstance(part, int) else None
    if error["type"] == "missing" and rule is None and isinstance(holder, dict):
        holder[last] = copy.deepcopy(_PLACEHOLDERS.get(str(last)))
    elif isinstance(holder, dict):
        holder.pop(last, None)
    elif isinstance(holder, list) and isinstance(last, int) and last < len(holder):
        del holder[last]


def read_entry(model: type[Model], raw: object, *where: object) -> tuple[Model | None, list[PlacedFault]]:
    """Return the entry at `where` and its faults.

    An entry with faults is returned too if it can be: without its faulty fields and with placeholders for required
    ones, so that the rules across entries find their faults in the same report. It must not be used for anything else.
    """
    faults: list[PlacedFault] = []
    remains = copy.deepcopy(raw)
    for number in range(_PASSES):
        try:
            return model.model_validate(remains), faults
        except ValidationError as problem:
            errors = problem.errors(include_url=False, include_input=False, include_context=False)
            if number == 0:
                faults = [_word(model, where, error) for error in errors]
            # From the back, so that the indexes in front keep their meaning.
            for error in reversed(errors):
                _mend(remains, error)
    return None, faults
