"""Derive the address of each host in a mesh from its name, and find subnets that overlap.

Nothing is stored or negotiated, so adding a host never renumbers another. `topology` chooses peers and endpoints, and
`rules.prefixes` says which meshes must not collide.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Interface, IPv6Network
from types import MappingProxyType

__all__ = [
    "Collision",
    "Network",
    "Owner",
    "derive_subnet",
    "find_collisions",
    "find_overlaps",
    "host_address",
    "owned_subnets",
]

Network = IPv4Network | IPv6Network
# Interface and host.
Owner = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Collision:
    """Several owners, each an (interface, host), that derive one subnet."""

    subnet: IPv6Network
    owners: tuple[tuple[str, str], ...]


def derive_subnet(host: str, interface: str, prefix: IPv6Network | None = None) -> IPv6Network:
    """Return the /64 that `host` owns on `interface`: in `prefix`, of at most 60 bits, if there is one."""
    # Joined without a separator, because one would renumber every mesh that was deployed by this rule before. The
    # price: host 'ab' on 'c' and host 'a' on 'bc' are one subnet, which `find_collisions` reports.
    digest = hashlib.sha256((host + interface).encode()).hexdigest()
    if prefix is None:
        return IPv6Network(f"fd00:{digest[0:4]}:{digest[4:8]}:{digest[8:12]}::/64")
    number = int(digest[:16], 16) >> prefix.prefixlen
    return IPv6Network((int(prefix.network_address) | number << 64, 64))


def host_address(subnet: IPv6Network) -> IPv6Interface:
    """Return the address of the subnet's owner, `::1` in it, with the prefix length that the interface gets."""
    return IPv6Interface((subnet[1], subnet.prefixlen))


def find_collisions(
    owners: Iterable[tuple[str, str]], prefixes: Mapping[str, IPv6Network | None] = MappingProxyType({})
) -> tuple[Collision, ...]:
    """Return every subnet that more than one of the (interface, host) owners derives, sorted; none when all differ.

    `prefixes` are by interface.
    """
    by_subnet: defaultdict[IPv6Network, set[tuple[str, str]]] = defaultdict(set)
    for interface, host in owners:
        by_subnet[derive_subnet(host, interface, prefixes.get(interface))].add((interface, host))
    return tuple(
        Collision(subnet, tuple(sorted(by_subnet[subnet])))
        for subnet in sorted(by_subnet)
        if len(by_subnet[subnet]) > 1
    )


def owned_subnets(
    interface: str, hosts: Iterable[str], fixed: Mapping[str, IPv6Interface], prefix: IPv6Network | None = None
) -> dict[str, IPv6Network]:
    """Return what the mesh sends to each host: the subnet of its `fixed` or derived address.

    Hosts whose fixed addresses lie in one subnet share it, as in many meshes made by hand; each owns its address only.
    """
    members = list(hosts)
    uses = Counter(fixed[host].network for host in set(members) & set(fixed))
    subnets: dict[str, IPv6Network] = {}
    for host in members:
        if host not in fixed:
            subnets[host] = derive_subnet(host, interface, prefix)
        elif uses[fixed[host].network] > 1:
            subnets[host] = IPv6Network(fixed[host].ip)
        else:
            subnets[host] = fixed[host].network
    return subnets


def find_overlaps(subnets: Mapping[Owner, IPv6Network]) -> Iterator[tuple[Owner, Owner]]:
    """Yield every two owners of which the second one's subnet is the first one's or inside it."""
    enclosing: list[tuple[Owner, IPv6Network]] = []
    # Sorted, a subnet comes right after those around it, so not every two have to be compared.
    for owner, subnet in sorted(subnets.items(), key=lambda entry: (entry[1], entry[0])):
        while enclosing and not subnet.subnet_of(enclosing[-1][1]):
            enclosing.pop()
        yield from ((outer, owner) for outer, _ in enclosing)
        enclosing.append((owner, subnet))
