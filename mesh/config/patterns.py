"""What a type of the stack file takes, for editors and for people: a pattern of the JSON schema, and words.

A pattern tells less than the type's own check: it never refuses what that takes. Patterns are in the syntax that
Python and ECMAScript share. The checks themselves are in `fields` and the modules beside it.
"""

from dataclasses import dataclass

from pydantic import WithJsonSchema

__all__ = ["DNS_NAME", "EXTERNAL_NAME", "HOST_NAME", "IPV4", "IPV6", "LABEL", "Accepts", "matching"]

LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
HOST_NAME = rf"{LABEL}(\.{LABEL})*"
# What resolvers take: with underscores too, alone or with a dot at the end that says that the name is whole.
_DNS_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
DNS_NAME = rf"{_DNS_LABEL}(\.{_DNS_LABEL})*\.?"
# Resolvers read a last label that begins with a digit as a part of an IPv4 address, in surprising ways.
EXTERNAL_NAME = rf"({_DNS_LABEL}\.)*[A-Za-z]([A-Za-z0-9_-]{{0,61}}[A-Za-z0-9_])?\.?"
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
