"""Values that a preview does not know yet, such as the address of a machine that is to be made."""

from collections.abc import Mapping
from typing import Any

__all__ = ["KNOWN_LATER", "in_words", "is_known"]

# It takes the place of a value in a sentence.
KNOWN_LATER = "one known once its machine is made"


def is_known(value: object) -> bool:
    """Tell whether all of a property is known; what is not is an object of the engine's own."""
    if isinstance(value, Mapping):
        return all(map(is_known, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_known, value))
    return value is None or isinstance(value, str | int | float)


def in_words(value: Any) -> Any:
    """Return plain data with words in the place of each value that is not known."""
    if isinstance(value, Mapping):
        return {name: in_words(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [in_words(entry) for entry in value]
    return value if is_known(value) else KNOWN_LATER
