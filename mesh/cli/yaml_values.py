"""Values as a stack file has them: short lists and mappings in one line, and quotes where a reader may need them."""

from collections.abc import Iterable
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

__all__ = ["flow_list", "flow_mapping", "is_shared", "may_stand_elsewhere", "quote_colons"]


def quote_colons(value: str) -> str:
    """Return a text that every reader takes for one: a bare colon may make a mapping of an IPv6 address."""
    return DoubleQuotedScalarString(value) if ":" in value else value


def flow_list(items: Iterable[str]) -> CommentedSeq:
    """Return a list that is written in one line."""
    sequence = CommentedSeq(map(quote_colons, items))
    sequence.fa.set_flow_style()
    return sequence


def flow_mapping(settings: dict[str, Any]) -> CommentedMap:
    """Return a mapping that is written in one line."""
    mapping = CommentedMap(settings)
    mapping.fa.set_flow_style()
    return mapping


def is_shared(mapping: CommentedMap, key: str) -> bool:
    """Tell whether what is below `key` may stand elsewhere too, so that a change would be one there as well."""
    found = mapping.get(key)
    merged = any(found is other.get(key) for other in mapping.merge)
    return isinstance(found, CommentedMap | CommentedSeq) and (merged or found.anchor.value is not None)


def may_stand_elsewhere(mapping: dict[str, Any], key: str) -> bool:
    """Tell the same also where `key` is new, and the mapping itself may stand elsewhere."""
    if not isinstance(mapping, CommentedMap):
        return False
    return mapping.anchor.value is not None or is_shared(mapping, key)
