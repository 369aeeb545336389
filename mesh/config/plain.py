"""Values of YAML as Pulumi hands them to a program: one form for whatever the program and the commands read.

Pulumi writes a configuration as JSON, in which names are texts and 51900.0 is 51900. Whoever reads the same file
himself would otherwise refuse what a preview takes, or take what it refuses.
"""

import json
from collections.abc import Mapping, Set
from datetime import date, datetime, time

__all__ = ["plain", "plain_of_text"]

# No field is as deep in the file, and YAML can put a list into itself.
_DEEPEST = 12


def plain(value: object, depth: int = _DEEPEST) -> object:
    """Return the value with texts as names, whole numbers without a fraction, and the types of JSON alone."""
    if not depth:
        return None
    if isinstance(value, Mapping):
        return {_name(name): plain(entry, depth - 1) for name, entry in value.items()}
    if isinstance(value, Set):
        return {_name(name): None for name in value}
    if isinstance(value, list | tuple):
        return [plain(entry, depth - 1) for entry in value]
    return _scalar(value)


def plain_of_text(text: str) -> object:
    """Return what a text of Pulumi's configuration holds: the text itself where it is no JSON."""
    try:
        return plain(json.loads(text))
    except (ValueError, RecursionError):
        return text


def _name(name: object) -> str:
    scalar = _scalar(name)
    if scalar is None:
        return "<nil>"
    return str(scalar).lower() if isinstance(scalar, bool) else str(scalar)


def _scalar(value: object) -> object:
    # The YAML library's own kinds of texts and numbers remember how they were written, and equal those of Python.
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool) or type(value).__name__ == "ScalarBoolean":
        return bool(value)
    if isinstance(value, int):
        return _octal(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else float(value)
    if isinstance(value, date):
        moment = value if isinstance(value, datetime) else datetime.combine(value, time())
        return f"{moment:%Y-%m-%d %H:%M:%S} +0000 UTC"
    return value


def _octal(value: int) -> int:
    """Return a whole number as Pulumi's reader does: with a zero in front it is octal, if it can be."""
    width = getattr(value, "_width", None) or 0
    written = f"{int(value):0{width}d}"
    if len(written) > 1 and written.startswith("0") and type(value).__name__ == "ScalarInt":
        try:
            return int(written, 8)
        except ValueError:
            pass
    return int(value)
