"""The value types of the stack file: what one field may hold, in the canonical form in which it is compared.

Rules across fields are in `rules`, the fields themselves in `models`, and addresses outside the mesh in
`external_fields`. No message repeats a value, because a secret may have been pasted into the wrong field.
"""

import re
from datetime import timedelta
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
)
from typing import Annotated, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from mesh.config.connection import HOST_KEY_TYPES
from mesh.config.patterns import DNS_NAME, HOST_NAME, IPV4, IPV6, LABEL, Accepts, matching
from mesh.wireguard.keys import ZERO_KEY, is_key

__all__ = [
    "CUSTOM_ERROR",
    "NO_HOST_NAME",
    "FormerName",
    "HostKey",
    "Ipv4Address",
    "Ipv4Prefix",
    "Ipv6Prefix",
    "Keepalive",
    "KeyAge",
    "MeshAddress",
    "Port",
    "PublicKey",
    "Rotation",
    "Site",
    "SshAddress",
    "SshUser",
    "Tag",
    "fault",
    "is_host_name",
]

CUSTOM_ERROR = "mesh"
NO_HOST_NAME = "not a host name; use letters, digits and - in labels of 1 to 63, joined by dots"

_LABEL = re.compile(LABEL)
_DNS_NAME = re.compile(DNS_NAME)
# A key that is there already is not replaced without the option.
_SCAN = "run python -m mesh scan STACK --accept-changed"
_SSH_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,63}\$?")
# As interfaces are called, by which it is known here.
_ZONE = re.compile(r"[A-Za-z0-9_.:-]{1,15}")
_KEY_AGE = re.compile(r"([1-9][0-9]{0,3})d")
# A member owns its subnet, and the whole mesh sends it what goes there.
_WIDEST_SUBNET = 32
# This network, loopback, link-local, multicast and what is reserved (RFC 6890).
_NO_HOSTS_IPV4 = [IPv4Network(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")]
# Unique local (RFC 4193) and global unicast (RFC 4291).
_OF_HOSTS_IPV6 = [IPv6Network(text) for text in ("fc00::/7", "2000::/3")]


def fault(message: str) -> PydanticCustomError:
    """Return the error of a field, whose message says what is wrong and what to give instead."""
    return PydanticCustomError(CUSTOM_ERROR, "{message}", {"message": message})


def is_host_name(text: object) -> bool:
    """Tell whether `text` is a host name: RFC 1123 labels joined by dots, 253 characters at most."""
    return isinstance(text, str) and len(text) <= 253 and all(_LABEL.fullmatch(label) for label in text.split("."))


def _is_dns_name(text: object) -> bool:
    """Tell whether `text` is a name that resolvers may know: as a host name, and underscores and a last dot too."""
    return isinstance(text, str) and len(text) <= 254 and _DNS_NAME.fullmatch(text) is not None


def _mesh_address(value: object) -> IPv6Interface:
    try:
        # The library reads numbers as addresses too.
        address = ip_interface(value) if isinstance(value, str) and "/" in value else None
    except ValueError:
        address = None
    if address is None:
        raise fault("not an address with its prefix length; give one such as fd00:1:2:3::1/64")
    if isinstance(address, IPv4Interface):
        raise fault("an IPv4 address, and a mesh is IPv6 inside; give an IPv6 address, or leave it out to have one")
    ip = address.ip
    if ip.is_unspecified or ip.is_loopback or ip.is_multicast or ip.is_link_local or ip.scope_id or ip.ipv4_mapped:
        raise fault("not an address that peers can send to; give one of your own, such as fd00:1:2:3::1/64")
    if address.network.prefixlen < _WIDEST_SUBNET:
        raise fault(f"a subnet that swallows other networks; give a prefix length from {_WIDEST_SUBNET} to 128")
    if address.network.prefixlen < 127 and ip == address.network.network_address:
        raise fault("the subnet itself; give the host's own address in it, such as ::1")
    return IPv6Interface((ip, address.network.prefixlen))


def _ipv4_prefix(value: object) -> IPv4Network:
    try:
        prefix = IPv4Network(value) if isinstance(value, str) and "/" in value else None
    except ValueError:
        prefix = None
    if prefix is None or not 8 <= prefix.prefixlen <= 30:
        raise fault("not an IPv4 prefix; give one of 8 to 30 bits such as 10.20.0.0/24, without host bits")
    if any(prefix.overlaps(taken) for taken in _NO_HOSTS_IPV4):
        raise fault("addresses that no host can have; give a prefix of your own, such as 10.20.0.0/24")
    return prefix


def _ipv6_prefix(value: object) -> IPv6Network:
    try:
        prefix = IPv6Network(value) if isinstance(value, str) and "/" in value else None
    except ValueError:
        prefix = None
    if prefix is None or not 16 <= prefix.prefixlen <= 60 or not any(map(prefix.subnet_of, _OF_HOSTS_IPV6)):
        raise fault("not an IPv6 prefix of 16 to 60 bits; give one of your own, such as fd12:3456:789a::/48")
    return prefix


def _ipv4_address(value: object) -> IPv4Address:
    try:
        # The library reads numbers as addresses too.
        if isinstance(value, str):
            return IPv4Address(value)
    except ValueError:
        pass
    raise fault("not an IPv4 address; give one of the interface's ipv4 prefix, or run python -m mesh allocate STACK")


def _public_key(value: object) -> str:
    if not isinstance(value, str) or not is_key(value):
        raise fault("not a WireGuard public key; give the 44 characters of base64 that wg pubkey prints")
    if value == ZERO_KEY:
        raise fault("all zeros, which is no key to WireGuard; give the one that wg pubkey prints")
    return value


def _ssh_address(value: object) -> str:
    if isinstance(value, str):
        try:
            address = ip_address(value)
            # The library takes any text for a zone, and files of other programs would have it in their lines.
            if not getattr(address, "scope_id", None) or _ZONE.fullmatch(value.partition("%")[2]):
                return str(address)
        except ValueError:
            # All-numeric labels are a mistyped IPv4 address, which a resolver would read in surprising ways.
            if _is_dns_name(value) and not value.replace(".", "").isdigit():
                return value.lower()
    raise fault("not an address; give a host name or an IP address, without user, brackets or port")


def _former_name(value: object) -> str:
    if is_host_name(value):
        return str(value)
    raise fault("not a host name; give the name that this host had in mesh:hosts before, or leave it out")


def _ssh_user(value: object) -> str:
    if isinstance(value, str) and _SSH_USER.fullmatch(value):
        return value
    raise fault("not a user name; give the account that SSH logs in to, such as root")


def _host_key(value: object) -> str:
    if isinstance(value, str) and "PRIVATE KEY" in value:
        raise fault(f"a private key; replace that key on the host, then give the public one: {_SCAN}")
    words = value.split() if isinstance(value, str) else []
    if len(words) < 2:
        raise fault(f"not a public host key; give its type and its base64, or {_SCAN}")
    if words[0] not in HOST_KEY_TYPES:
        raise fault(f"not a supported type of host key; give one of {', '.join(HOST_KEY_TYPES)}")
    try:
        load_ssh_public_key(f"{words[0]} {words[1]}".encode())
    except (ValueError, UnsupportedAlgorithm):
        raise fault(f"a damaged host key; {_SCAN}") from None
    # What follows is a comment, and a changed comment must not look like a changed key.
    return f"{words[0]} {words[1]}"


def _keepalive(value: object) -> int | Literal["off"]:
    # A YAML 1.1 reader turns a bare `off` into false, and `wg` takes 0 for off.
    if value is False or value == "off" or (value == 0 and isinstance(value, int)):
        return "off"
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535:
        return value
    raise fault("not a keepalive; give seconds from 1 to 65535, or off")


def _key_age(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    found = _KEY_AGE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise fault("not an age; give days from 1d to 9999d, such as 180d")
    return timedelta(days=int(found.group(1)))


Port = Annotated[int, Field(strict=True, ge=1, le=65535), Accepts("a whole number from 1 to 65535")]
Rotation = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1), Accepts("a whole number from 1 up")]
Site = Annotated[str, Field(strict=True, min_length=1, max_length=64), Accepts("a name of 1 to 64 characters")]
Tag = Annotated[str, Field(strict=True, min_length=1, max_length=64), Accepts("a text of 1 to 64 characters")]
MeshAddress = Annotated[
    IPv6Interface,
    BeforeValidator(_mesh_address),
    matching(rf"{IPV6}/(3[2-9]|[4-9][0-9]|1[01][0-9]|12[0-8])"),
    Accepts("an IPv6 address with its prefix length"),
]
PublicKey = Annotated[
    str,
    BeforeValidator(_public_key),
    matching("[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="),
    Accepts("44 characters of base64, as wg pubkey prints them"),
]
Ipv4Prefix = Annotated[
    IPv4Network,
    BeforeValidator(_ipv4_prefix),
    matching(rf"{IPV4}/([89]|[12][0-9]|30|{IPV4})"),
    Accepts("an IPv4 prefix of 8 to 30 bits such as 10.20.0.0/24"),
]
Ipv6Prefix = Annotated[
    IPv6Network,
    BeforeValidator(_ipv6_prefix),
    matching(rf"{IPV6}/(1[6-9]|[2-5][0-9]|60)"),
    Accepts("an IPv6 prefix of 16 to 60 bits such as fd12:3456:789a::/48"),
]
Ipv4Address = Annotated[
    IPv4Address, BeforeValidator(_ipv4_address), matching(IPV4), Accepts("an address of the interface's ipv4 prefix")
]
FormerName = Annotated[str, BeforeValidator(_former_name), matching(HOST_NAME), Accepts("a host name")]
SshAddress = Annotated[
    str,
    BeforeValidator(_ssh_address),
    matching(f"{DNS_NAME}|{IPV6}(%{_ZONE.pattern})?"),
    Accepts("the host name or IP address that SSH connects to"),
]
SshUser = Annotated[str, BeforeValidator(_ssh_user), matching(_SSH_USER.pattern), Accepts("a user name")]
HostKey = Annotated[
    str,
    BeforeValidator(_host_key),
    matching(rf"\s*({'|'.join(HOST_KEY_TYPES)})\s+[A-Za-z0-9+/]+=*(\s.*)?"),
    Accepts(f"the host's public key, its type and base64; {', '.join(HOST_KEY_TYPES)}"),
]
Keepalive = Annotated[
    int | Literal["off"],
    BeforeValidator(_keepalive),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, {"enum": ["off", False, 0]}]}),
    Accepts("seconds from 1 to 65535, or off"),
]
KeyAge = Annotated[
    timedelta, BeforeValidator(_key_age), matching(_KEY_AGE.pattern), Accepts("days from 1d to 9999d, such as 180d")
]
