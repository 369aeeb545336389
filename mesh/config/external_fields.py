"""The value types of the stack file for the endpoints of hosts: addresses and names outside the mesh.

The models say which field has which type. Hosts resolve names, we never do.
"""

from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address
from typing import Annotated

from pydantic import BeforeValidator

from mesh.config.fields import fault
from mesh.config.patterns import IPV4, IPV6, Accepts, matching
from mesh.wireguard.endpoint import ENDPOINT_NAME, is_endpoint_name, join_endpoint

__all__ = ["ExternalAddress", "ExternalName", "PeerEndpoint", "is_address"]

_BROADCAST = IPv4Address("255.255.255.255")


def is_address(text: str) -> bool:
    """Tell whether `text` is an IP address, and not a name."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _external_address(value: object) -> str:
    if not isinstance(value, str):
        raise fault("not an IP address; write it as text, such as 78.11.11.11 or 2001:db8::1")
    try:
        address = ip_address(value)
    except (AddressValueError, ValueError):
        if is_endpoint_name(value):
            raise fault("a name, and this takes addresses; give a name as externalName") from None
        raise fault(
            "not an IP address; give an IPv4 or IPv6 address, without brackets, port or prefix length"
        ) from None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        raise fault("an IPv4 address in IPv6 form; write it as IPv4")
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise fault("an address with a zone; give an address that peers elsewhere can reach")
    unusable = {
        "the unspecified address": address.is_unspecified,
        "a loopback address": address.is_loopback,
        "a multicast address": address.is_multicast,
        "a link-local address": address.is_link_local,
        "the broadcast address": address == _BROADCAST,
    }
    for name, applies in unusable.items():
        if applies:
            raise fault(f"{name} cannot be an endpoint; give the address that peers send to, or none for roaming")
    return str(address)


def _external_name(value: object) -> str:
    if isinstance(value, str) and is_address(value):
        raise fault("an address, and this takes a name; give it in externalIps instead")
    if not isinstance(value, str) or not is_endpoint_name(value):
        raise fault("not a DNS name; give one such as bernard.example.org, without a port")
    name = value.lower()
    if f".{name.rstrip('.')}".endswith(".localhost"):
        raise fault("a name of the loopback address; give the name at which peers elsewhere find this host")
    return name


def _peer_endpoint(value: object) -> str:
    host, colon, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    bracketed = host.startswith("[") and host.endswith("]")
    if (
        not colon
        or not port.isascii()
        or not port.isdigit()
        or not 1 <= int(port) <= 65535
        or bracketed != (":" in host)
        or not (is_endpoint_name(host) or is_address(host.strip("[]")))
    ):
        raise fault(
            "not an endpoint; give an IP address or a DNS name, and a UDP port, such as 78.11.11.11:51820, "
            "[2001:db8::1]:51820 or router.example.org:51820"
        )
    read = _external_name if is_endpoint_name(host) else _external_address
    return join_endpoint(read(host.strip("[]")), int(port))


ExternalAddress = Annotated[
    str, BeforeValidator(_external_address), matching(f"{IPV4}|{IPV6}"), Accepts("an IP address")
]
ExternalName = Annotated[
    str,
    BeforeValidator(_external_name),
    matching(ENDPOINT_NAME),
    Accepts("a DNS name such as bernard.example.org"),
]
PeerEndpoint = Annotated[
    str,
    BeforeValidator(_peer_endpoint),
    matching(rf"({ENDPOINT_NAME}|{IPV4}|\[{IPV6}\]):[0-9]+"),
    Accepts("an IP address or a DNS name, and a UDP port"),
]
