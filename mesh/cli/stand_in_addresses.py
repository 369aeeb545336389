"""Addresses of the documentation ranges in place of real ones: the same for the same, and two for two.

What is in one /24 (IPv4), one /48 or one /64 (IPv6) stays together. Networks of other lengths lie apart, since the
documentation ranges have no room for their nesting.
"""

from collections.abc import Hashable
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_interface, ip_network

__all__ = ["StandInAddresses"]

_Address = IPv4Address | IPv6Address

# What is in each is of RFC 5737, 2544, 3849 and 9637; the last of IPv4 is for nothing yet, and large enough.
_BLOCKS = {
    4: (24, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "240.0.0.0/5")),
    6: (48, ("2001:db8::/32", "3fff::/20")),
}
# Everybody has these, so that they tell nothing.
_OF_EVERYBODY = frozenset(
    map(
        ip_network,
        (
            *("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "127.0.0.0/8", "255.255.255.255", "10.0.0.0/8", "172.16.0.0/12"),
            *("192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "224.0.0.0/4"),
            *("::/0", "::/1", "8000::/1", "2000::/3", "fc00::/7", "fd00::/8", "fd00::/16", "fe80::/10", "ff00::/8"),
            *("0.0.0.0/32", "127.0.0.1", "127.0.1.1", "::", "::1", "ff02::1", "ff02::2"),
        ),
    )
)


class StandInAddresses:
    """Addresses that were replaced so far."""

    def __init__(self) -> None:
        """Begin with none."""
        self._numbers: dict[Hashable, dict[Hashable, int]] = {}

    def replace(self, text: str) -> str:
        """Return what stands for an address, for one with a prefix length, or for a network; so written.

        Raises:
            ValueError: If it is none.
        """
        if "/" not in text:
            address = ip_interface(text).ip
            return str(address) if ip_network(address) in _OF_EVERYBODY else str(self._address(address))
        interface = ip_interface(text)
        network = interface.network
        if network in _OF_EVERYBODY and interface.ip == network.network_address:
            return str(network)
        return f"{self._of_network(interface)}/{network.prefixlen}"

    def _of_network(self, interface: IPv4Interface | IPv6Interface) -> _Address:
        network = interface.network
        own = {24, 32} if network.version == 4 else {48, 64, 128}
        if network.prefixlen in own or interface.ip != network.network_address:
            return self._address(interface.ip)
        # The network itself, and a block of its own for it.
        return self._block(network.version, network)

    def _address(self, address: _Address) -> _Address:
        value = int(address)
        if address.version == 4:
            return self._block(4, value >> 8) + self._number(("in", value >> 8), value & 0xFF)
        subnet = self._number(("in", value >> 80), value >> 64 & 0xFFFF)
        host = self._number(("in", value >> 64), value & (1 << 64) - 1)
        return self._block(6, value >> 80) + (subnet << 64) + host

    def _number(self, where: Hashable, what: int) -> int:
        """Return the number of one thing there, from 1 on; 0 stays."""
        numbers = self._numbers.setdefault(where, {0: 0})
        return numbers.setdefault(what, len(numbers))

    def _block(self, version: int, what: Hashable) -> _Address:
        numbers = self._numbers.setdefault(version, {})
        number = numbers.setdefault(what, len(numbers))
        length, ranges = _BLOCKS[version]
        for network in map(ip_network, ranges):
            room = 1 << (length - network.prefixlen)
            if number < room:
                return network.network_address + (number << (network.max_prefixlen - length))
            number -= room
        raise ValueError("more addresses than there is room for")
