"""The value types of the stack file for what lies behind a host: the prefix of a network, and the name of an exit node.

Rules for the routes of several hosts are in `rules.routes`. Other value types are in `fields`.
"""

from collections.abc import Iterable
from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import BeforeValidator, WithJsonSchema

from mesh.config.fields import fault, is_host_name
from mesh.config.patterns import HOST_NAME, IPV4, IPV6, Accepts, matching
from mesh.wireguard.addressing import Network

__all__ = ["OFF", "ExitNode", "Route", "in_order"]

OFF: Literal["off"] = "off"

# A wider prefix would hold the endpoints of hosts too; that is what an exit node is for.
_WIDEST = {4: 8, 6: 16}


def in_order(networks: Iterable[Network]) -> tuple[Network, ...]:
    """Return the networks sorted, IPv4 first; those of two IP versions cannot be compared."""
    return tuple(sorted(networks, key=lambda network: (network.version, network)))


def _route(value: object) -> Network:
    try:
        # The library reads numbers as addresses too.
        network = ip_network(value) if isinstance(value, str) and "/" in value else None
    except ValueError:
        network = None
    if network is None:
        raise fault("not a prefix; give one such as 192.168.10.0/24 or 2001:db8:5::/64, without host bits")
    if network.prefixlen < _WIDEST[network.version]:
        raise fault("wider than /8 (IPv4) or /16 (IPv6); for a default route, name this host as exitNode")
    if network.is_multicast or network.is_loopback or network.is_link_local:
        raise fault("not a network that can be routed to; give the prefix that machines behind the host have")
    return network


def _exit_node(value: object) -> str:
    # A YAML 1.1 reader turns a bare `off` into false.
    if value is False or value == OFF:
        return OFF
    if is_host_name(value):
        return str(value)
    raise fault("not an exit node; give the name of a host of this interface, or off")


Route = Annotated[
    Network, BeforeValidator(_route), matching(f"({IPV4}|{IPV6})/[0-9.]+"), Accepts("a prefix such as 192.168.10.0/24")
]
ExitNode = Annotated[
    str,
    BeforeValidator(_exit_node),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": f"^({HOST_NAME})$"}, {"const": False}]}),
    Accepts("a host of this interface, or off"),
]
