"""What a type of the stack file takes, for editors and for people: a pattern of the JSON schema, and words.

A pattern tells less than the type's own check: it never refuses what that takes. Patterns are in the syntax that
Python and ECMAScript share. The checks themselves are in `fields` and the modules beside it.
"""

from dataclasses import dataclass

from pydantic import WithJsonSchema

from mesh.wireguard.endpoint import DNS_LABEL

__all__ = ["DNS_NAME", "HOST_NAME", "IPV4", "IPV6", "LABEL", "Accepts", "matching"]

LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
HOST_NAME = rf"{LABEL}(\.{LABEL})*"
DNS_NAME = rf"{DNS_LABEL}(\.{DNS_LABEL})*\.?"
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
IPV4 = rf"{_OCTET}(\.{_OCTET}){{3}}"
IPV6 = "[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"


@dataclass(frozen=True, slots=True)
class Accepts:
    """What a type takes, in words: metadata that ends a fault about its values, and stands in the reference."""

    words: str


def matching(pattern: str) -> WithJsonSchema:
    """Return the metadata by which the JSON schema of a type is a text that matches all of `pattern`."""
    return WithJsonSchema({"type": "string", "pattern": f"^({pattern})$"})
