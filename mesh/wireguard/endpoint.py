"""Endpoints as texts, `78.11.11.11:51825`, `[2001:db8::1]:51825` or `bernard.example.org:51825`.

`config.external_fields` says which of them a stack file may hold. Hosts resolve names, we never do.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

__all__ = [
    "DNS_LABEL",
    "ENDPOINT_NAME",
    "address_of",
    "host_part",
    "ip_version",
    "is_endpoint_name",
    "join_endpoint",
    "split_endpoint",
]

# What resolvers take: with underscores too, alone or with a dot at the end that says that the name is whole.
DNS_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
# Resolvers read a last label that begins with a digit as a part of an IPv4 address, in surprising ways.
ENDPOINT_NAME = rf"({DNS_LABEL}\.)*[A-Za-z]([A-Za-z0-9_-]{{0,61}}[A-Za-z0-9_])?\.?"
_ENDPOINT_NAME = re.compile(ENDPOINT_NAME)


def is_endpoint_name(text: str) -> bool:
    """Tell whether an endpoint may have `text` in place of an address: a name that resolvers may know."""
    return len(text) <= 254 and _ENDPOINT_NAME.fullmatch(text) is not None


def join_endpoint(host: str, port: int | str) -> str:
    """Return the endpoint that an address or a name makes with a port, as `wg` takes it."""
    # `wg` cuts at the last colon, so an IPv6 address without brackets would lose its last group.
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_part(endpoint: str) -> str:
    """Return the address or name of an endpoint, empty for an empty one."""
    return endpoint.rpartition(":")[0].strip("[]")


def split_endpoint(endpoint: str) -> tuple[str, int]:
    """Return the address or name of an endpoint, and its port."""
    return host_part(endpoint), int(endpoint.rpartition(":")[2])


def address_of(endpoint: str) -> IPv4Address | IPv6Address | None:
    """Return the address of an endpoint; None for one by name, and for an empty one."""
    return ip_address(host_part(endpoint)) if ip_version(endpoint) else None


def ip_version(endpoint: str) -> int | None:
    """Return the IP version of an endpoint; None for one by name, which may lead to either, and for an empty one."""
    if endpoint.startswith("["):
        return 6
    # By its letters, since a large mesh asks for each of its pairs; the last label of a name begins with one.
    return 4 if endpoint.rpartition(":")[0].replace(".", "").isdigit() else None
