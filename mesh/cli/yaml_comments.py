"""Keep the comments of a YAML file where they are, when something is added to what stands before them.

The library takes a comment for the end of the value before it, also where it is about the entry that follows, so that
whatever is added to that value at its end would come between the comment and its entry.
"""

from collections.abc import Iterator
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark
from ruamel.yaml.tokens import CommentToken

__all__ = ["Comments", "replace_value"]


class Comments:
    """The comments of a document, each with how it ended when it was read."""

    def __init__(self, content: Any) -> None:
        """Remember what comes last in each mapping and list that has a line for each entry, the innermost first."""
        self._last = [(node, _last_of(node)) for node in _blocks(content, set())]

    def settle(self) -> None:
        """Move each comment that has something new before it, and that is not about what it stands in."""
        for number, (node, before) in enumerate(self._last):
            now = _last_of(node)
            if before is not None and now is not None and now != before and before in _places(node):
                _attach(_end(node, now), _take(_end(node, before), node.lc.col))
                self._last[number] = node, now


def replace_value(mapping: CommentedMap, key: str, value: CommentedMap) -> None:
    """Put a value in the place of the one that is there, if one is, before all that follows it."""
    rest = _take(_end(mapping, key), mapping.lc.col + 1) if key in mapping else ""
    mapping[key] = value
    _attach(_end(mapping, key), rest)


def _blocks(node: Any, seen: set[int]) -> Iterator[Any]:
    # An alias makes a graph of it, and may make a circle.
    if not _is_block(node) or id(node) in seen:
        return
    seen.add(id(node))
    for place in _places(node):
        yield from _blocks(node[place], seen)
    # What it merges has no place in it.
    if not (isinstance(node, CommentedMap) and node.merge):
        yield node


def _is_block(node: Any) -> bool:
    return isinstance(node, CommentedMap | CommentedSeq) and bool(node) and not node.fa.flow_style()


def _places(node: Any) -> Any:
    return node.keys() if isinstance(node, CommentedMap) else range(len(node))


def _last_of(node: Any) -> Any:
    return next(reversed(list(_places(node))), None)


def _end(node: Any, place: Any) -> tuple[Any, Any]:
    """Return where the last line of an entry is: in which mapping or list, and at which place."""
    # What has an anchor may be an alias here, which is one line.
    while _is_block(node[place]) and node[place].anchor.value is None:
        node = node[place]
        place = _last_of(node)
    return node, place


def _token(node: Any, place: Any) -> Any:
    found = node.ca.items.get(place)
    return found[_slot(node)] if found else None


def _slot(node: Any) -> int:
    return 2 if isinstance(node, CommentedMap) else 0


def _take(end: tuple[Any, Any], column: int) -> str:
    """Take away what follows a line, from the first comment on that is further to the left, and return it."""
    token = _token(*end)
    own, newline, after = token.value.partition("\n") if token else ("", "", "")
    stay, lines = 0, after.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if (text := line.lstrip(" ")) and text != "\n":
            if len(line) - len(text) < column:
                break
            stay = number + 1
    else:
        if stay == len(lines):
            return ""
    token.value = f"{own}{newline}{''.join(lines[:stay])}"
    return "".join(lines[stay:])


def _attach(end: tuple[Any, Any], text: str) -> None:
    """Let a text follow a line."""
    if not text:
        return
    node, place = end
    if token := _token(node, place):
        token.value += text
        return
    slots = node.ca.items.setdefault(place, [None, None, None, None])
    slots[_slot(node)] = CommentToken(f"\n{text}", start_mark=CommentMark(0), end_mark=None)
