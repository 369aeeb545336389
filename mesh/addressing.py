"""Place each host in a mesh by its name alone.

Nothing is stored or negotiated here, so adding a host never renumbers another. Choosing peers and endpoints belongs
in `topology`; deciding which meshes must not collide belongs in `consistency`.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Interface, IPv6Network

__all__ = ["Collision", "derive_subnet", "find_collisions", "host_address"]


@dataclass(frozen=True, slots=True)
class Collision:
    """Several owners, each an (interface, host), that derive one subnet."""

    subnet: IPv6Network
    owners: tuple[tuple[str, str], ...]


def derive_subnet(host: str, interface: str) -> IPv6Network:
    """Return the /64 that `host` owns on `interface`."""
    # Joined without a separator, because one would renumber every mesh that was deployed by this rule before. The
    # price: host 'ab' on 'c' and host 'a' on 'bc' are one subnet, which `find_collisions` reports.
    digest = hashlib.sha256((host + interface).encode()).hexdigest()
    return IPv6Network(f"fd00:{digest[0:4]}:{digest[4:8]}:{digest[8:12]}::/64")


def host_address(subnet: IPv6Network) -> IPv6Interface:
    """Return the address of the subnet's owner, `::1` in it, with the prefix length that the interface gets."""
    return IPv6Interface((subnet[1], subnet.prefixlen))


def find_collisions(owners: Iterable[tuple[str, str]]) -> tuple[Collision, ...]:
    """Return every subnet that more than one of the (interface, host) owners derives, sorted; none when all differ."""
    by_subnet: defaultdict[IPv6Network, set[tuple[str, str]]] = defaultdict(set)
    for interface, host in owners:
        by_subnet[derive_subnet(host, interface)].add((interface, host))
    return tuple(
        Collision(subnet, tuple(sorted(by_subnet[subnet])))
        for subnet in sorted(by_subnet)
        if len(by_subnet[subnet]) > 1
    )
