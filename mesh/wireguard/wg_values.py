"""The values in a configuration, read as `wg` and `wg-quick` of wireguard-tools read them, or why they are not taken.

What they take beyond that is refused, since a mesh could not keep it, or nobody means it: a port by the name of a
service or above 65535, a short IPv4 address such as 10.1, a zone behind an address, `+` and `-` before one, and an MTU
or a prefix length that is hexadecimal or octal. No fault repeats a value, since any may be a key.
"""

import re
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
)

from mesh.wireguard.addressing import Network
from mesh.wireguard.endpoint import is_endpoint_name
from mesh.wireguard.keys import ZERO_KEY, is_key

__all__ = [
    "Address",
    "Endpoint",
    "read_addresses",
    "read_allowed_ips",
    "read_endpoint",
    "read_flag",
    "read_keepalive",
    "read_key",
    "read_mark",
    "read_mtu",
    "read_optional_key",
    "read_port",
]

Address = IPv4Interface | IPv6Interface
# An IP address or a name in small letters, and a port.
Endpoint = tuple[str, int]

_BITS = {4: 32, 6: 128}
_NETWORKS: dict[int, type[Network]] = {4: IPv4Network, 6: IPv6Network}
_SEPARATORS = re.compile(r"[ \t,]+")


def read_key(text: str) -> str:
    """Return a key."""
    if not is_key(text):
        raise ValueError("not a WireGuard key; give 44 characters of base64, as wg prints them")
    return text


def read_optional_key(text: str) -> str | None:
    """Return a key, None for all zeros."""
    return None if text == ZERO_KEY else read_key(text)


def read_port(text: str) -> int:
    """Return a UDP port, 0 for a random one."""
    return _number(text, 0, 65535)


def read_mtu(text: str) -> int | None:
    """Return an MTU in bytes; None where there is nothing, which leaves it to wg-quick."""
    if text.startswith("0"):
        raise ValueError(_not_between(1, 2**16))
    return _number(text, 1, 2**16) if text else None


def read_keepalive(text: str) -> int:
    """Return seconds, 0 for off."""
    return 0 if text.lower() == "off" else _number(text, 0, 65535)


def read_mark(text: str) -> bool:
    """Tell whether packets are marked."""
    is_hexadecimal = text.startswith("0x") and len(text) > 2
    try:
        return text.lower() != "off" and _number(text[2:] if is_hexadecimal else text, 0, 2**32 - 1, is_hexadecimal) > 0
    except ValueError:
        raise ValueError("not usable; give a number from 0 to 0xffffffff, or off") from None


def read_flag(text: str) -> bool:
    """Return true or false."""
    if text.lower() not in ("true", "false"):
        raise ValueError("not usable; give true or false")
    return text.lower() == "true"


def read_allowed_ips(text: str) -> tuple[Network, ...]:
    """Return prefixes, with the bits of a host taken away, as WireGuard does."""
    try:
        return tuple(_prefix(word) for word in text.split(","))
    except ValueError:
        raise ValueError("not usable; give prefixes such as 10.0.0.1/32 or fd00:1::/64, separated by commas") from None


def read_addresses(text: str) -> tuple[Address, ...]:
    """Return addresses, each alone or with the length of its prefix, as `ip address add` takes them."""
    try:
        return tuple(_interface(word) for word in _SEPARATORS.split(text) if word)
    except ValueError:
        raise ValueError("not usable; give addresses such as 10.0.0.1/24 or fd00:1::1/64") from None


def read_endpoint(text: str) -> Endpoint:
    """Return the endpoint of a peer."""
    host, separator, port = text[1:].partition("]:") if text.startswith("[") else text.rpartition(":")
    try:
        if not separator:
            raise ValueError
        return _place(host), _number(port, 1, 65535)
    except ValueError:
        raise ValueError(
            "not usable; give an address or a name and a port, such as 78.11.11.11:51820 or [2001:db8::1]:51820"
        ) from None


def _not_between(least: int, most: int) -> str:
    return f"not usable; give a whole number from {least} to {most}"


def _number(text: str, least: int, most: int, is_hexadecimal: bool = False) -> int:
    digits = text.lstrip("0") or text[:1]
    # Longer ones cost more than linear time to read.
    if re.fullmatch("[0-9a-fA-F]{1,10}" if is_hexadecimal else "[0-9]{1,10}", digits):
        number = int(digits, 16 if is_hexadecimal else 10)
        if least <= number <= most:
            return number
    raise ValueError(_not_between(least, most))


def _address(text: str) -> IPv4Address | IPv6Address:
    if "%" in text:
        raise ValueError
    return ip_address(text)


@lru_cache(2**12)
def _prefix(word: str) -> Network:
    text, slash, length = word.partition("/")
    address = _address(text)
    bits = _BITS[address.version]
    # By its number, since the library would write an address and read it again.
    return _NETWORKS[address.version]((int(address), _number(length, 0, bits) if slash else bits), strict=False)


def _interface(word: str) -> Address:
    text, slash, length = word.partition("/")
    address = _address(text)
    bits = _BITS[address.version]
    if slash and "." in length and address.version == 4:
        mask = IPv4Network(f"0.0.0.0/{length}")
        # The library takes masks of hosts too.
        if str(mask.netmask) != length:
            raise ValueError
        return ip_interface((address, mask.prefixlen))
    if slash and length.startswith("0") and length != "0":
        raise ValueError
    return ip_interface((address, _number(length, 0, bits) if slash else bits))


@lru_cache(2**12)
def _place(host: str) -> str:
    try:
        return str(_address(host))
    except ValueError:
        name = host.lower().removesuffix(".")
        if not is_endpoint_name(name):
            raise
        return name
