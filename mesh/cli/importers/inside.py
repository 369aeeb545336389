"""The addresses of hosts inside a mesh that was found: at most one of each IP version, and their prefixes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import TypeVar

from mesh.errors import PlacedFault
from mesh.wireguard.addressing import Network, owned_subnets
from mesh.wireguard.wg_quick import WgQuick

__all__ = ["Inside", "find_address_faults", "find_ipv4_prefix", "why_no_prefix"]

_Kind = TypeVar("_Kind", IPv4Interface, IPv6Interface)

_LONGEST_PREFIX, _SHORTEST_PREFIX = 30, 8


def find_address_faults(hosts: Mapping[str, WgQuick]) -> Iterator[PlacedFault]:
    """Yield the addresses that mesh could not keep."""
    has_ipv4 = {host for host, own in hosts.items() if _addresses(own, IPv4Interface)}
    for host, own in hosts.items():
        place = own.place("Address")
        if not own.addresses:
            yield PlacedFault(place, "no Address; give the one that the host has")
        counts = {"IPv6": len(_addresses(own, IPv6Interface)), "IPv4": len(_addresses(own, IPv4Interface))}
        for version, count in counts.items():
            if count > 1:
                words = f"{count} {version} addresses; a host of a mesh has one at most, so make it one first"
                yield PlacedFault(place, words)
        if own.addresses and has_ipv4 and host not in has_ipv4:
            words = f"no IPv4 address, and {min(has_ipv4)} has one; a mesh has one for each host, so give it one first"
            yield PlacedFault(place, words)


def _addresses(own: WgQuick, kind: type[_Kind]) -> list[_Kind]:
    return [address for address in own.addresses if isinstance(address, kind)]


def find_ipv4_prefix(written: Iterable[IPv4Interface], addresses: Iterable[IPv4Address]) -> IPv4Network | None:
    """Return the smallest network that all the addresses can be hosts of, if one is written one of these.

    None where even the widest that mesh takes could not hold them all.
    """
    owned = sorted(addresses)
    networks = {each.network for each in written if _SHORTEST_PREFIX <= each.network.prefixlen <= _LONGEST_PREFIX}
    grown = IPv4Network((owned[0], _LONGEST_PREFIX), strict=False)
    wider = [grown.supernet(new_prefix=length) for length in range(_LONGEST_PREFIX, _SHORTEST_PREFIX - 1, -1)]
    # A network that lacks the lowest or highest address is skipped, so that few are checked in full.
    held = (net for net in (*sorted(networks, key=_by_size), *wider) if owned[0] in net and owned[-1] in net)
    return next((net for net in held if _holds(net, owned)), None)


def why_no_prefix(addresses: Iterable[IPv4Address]) -> str:
    """Return why no prefix that mesh takes could hold all of these, and what to do."""
    owned = sorted(addresses)
    widest = IPv4Network((owned[0], _SHORTEST_PREFIX), strict=False)
    if owned[-1] not in widest:
        return (
            f"{owned[0]} and {owned[-1]} are in no network of 8 bits or more; a mesh has one for all its IPv4 "
            "addresses, so give it such first"
        )
    end = owned[0] if owned[0] == widest.network_address else owned[-1]
    return (
        f"{end} is the first or the last address of every network that holds all, which a mesh gives to no host; give "
        "another one first"
    )


def _by_size(network: IPv4Network) -> tuple[int, IPv4Network]:
    return -network.prefixlen, network


def _holds(network: IPv4Network, addresses: Iterable[IPv4Address]) -> bool:
    ends = (network.network_address, network.broadcast_address)
    return all(address in network and address not in ends for address in addresses)


@dataclass(frozen=True)
class Inside:
    """The addresses of the hosts of one interface, and of the `others` that are no hosts."""

    interface: str
    hosts: Mapping[str, WgQuick]
    others: Mapping[str, IPv6Interface] = field(default_factory=dict)

    @cached_property
    def ipv6(self) -> dict[str, IPv6Interface]:
        """The IPv6 addresses, by host; one that has none gets the derived one."""
        return self._by_host(IPv6Interface)

    @cached_property
    def ipv4(self) -> dict[str, IPv4Interface]:
        """The IPv4 addresses, by host; no host has one, or each."""
        return self._by_host(IPv4Interface)

    def _by_host(self, kind: type[_Kind]) -> dict[str, _Kind]:
        return {host: found[0] for host, own in self.hosts.items() if (found := _addresses(own, kind))}

    @cached_property
    def _subnets(self) -> dict[str, IPv6Network]:
        return owned_subnets(self.interface, [*self.hosts, *self.others], {**self.others, **self.ipv6})

    def owned(self, host: str) -> set[Network]:
        """Return the prefixes that peers must send to `host` already, since mesh sends them too."""
        owned = set[Network]()
        if host in self.ipv6:
            owned.add(self._subnets[host])
        if host in self.ipv4:
            owned.add(IPv4Network(self.ipv4[host].ip))
        return owned
