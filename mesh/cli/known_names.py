"""Names that there are, in a message about one that there is not."""

from collections.abc import Collection
from difflib import get_close_matches

from mesh.errors import show_first

__all__ = ["show_known"]

# More names than these are not read.
_SHOWN = 12


def show_known(name: str, known: Collection[str]) -> str:
    """Return the names of which another one than `name` has to be given: of many, those that are most like it."""
    if len(known) <= _SHOWN:
        return ", ".join(sorted(known))
    alike = get_close_matches(name, known, n=_SHOWN, cutoff=0.0)
    return show_first([*alike, *sorted(set(known) - set(alike))], _SHOWN)
