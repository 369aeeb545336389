"""Turn the configuration into the plan of each mesh: who is in it, at which address, and who can reach whom.

Keys are not known here, because the plan is complete before the first key is made. Text for hosts and readers is
rendered elsewhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address, IPv6Interface, IPv6Network, ip_address
from itertools import combinations
from typing import Literal, Self

from mesh.addressing import host_address, owned_subnets
from mesh.settings import Configuration, Host, Interface, MemberOverrides

__all__ = ["Member", "MeshPlan", "plan_meshes"]

# Shorter than the 30 seconds after which common NAT routers forget a UDP flow.
_ROAMING_KEEPALIVE = 25


@dataclass(frozen=True, slots=True)
class Member:
    """One host on one interface; peers send it what goes to its `subnet`.

    `endpoint` is where peers first seek it, such as `78.11.11.11:51825` or `[2001:db8::1]:51825`, or None if it is
    roaming; hosts of the same `site` seek it at its `local_endpoint`, if it has one. `persistent_keepalive` is in
    seconds, 0 for off, and is what the host itself sends. A new `rotation`, the interface's and the host's own joined
    by a dot, asks for a new key. `formerly` is the name of a renamed host before.
    """

    host: str
    address: IPv6Interface
    endpoint: str | None
    persistent_keepalive: int
    rotation: str
    subnet: IPv6Network
    formerly: str | None = None
    site: str | None = None
    local_endpoint: str | None = None

    @property
    def is_roaming(self) -> bool:
        """Whether peers elsewhere cannot start talking to this host, because it has no external address."""
        return self.endpoint is None

    def is_sought_by(self, other: Self) -> bool:
        """Tell whether `other` can send the first packet."""
        return self.endpoint is not None or (
            self.local_endpoint is not None and self.site is not None and self.site == other.site
        )


@dataclass(frozen=True, slots=True)
class MeshPlan:
    """One mesh; `members` are sorted by host, `mtu` is in bytes and `deadline` in seconds.

    `forgotten` names hosts that have left and are not to be wiped any more.
    """

    interface: str
    port: int
    mtu: int
    deadline: int
    unreachable: Literal["stop", "skip"]
    rotation: int
    max_key_age: timedelta | None
    members: tuple[Member, ...]
    forgotten: tuple[str, ...] = ()

    @property
    def max_key_days(self) -> int:
        """How many days a key serves, 0 for without end."""
        return self.max_key_age.days if self.max_key_age else 0

    def member(self, host: str) -> Member:
        """Return the member that is `host`.

        Raises:
            KeyError: If the host is not in this mesh.
        """
        for member in self.members:
            if member.host == host:
                return member
        raise KeyError(host)

    def peers_of(self, host: str) -> tuple[Member, ...]:
        """Return every member but `host`, sorted.

        Raises:
            KeyError: If the host is not in this mesh.
        """
        self.member(host)
        return tuple(member for member in self.members if member.host != host)

    def _all_pairs(self) -> Iterator[tuple[Member, Member]]:
        return combinations(self.members, 2)

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Return the pairs of hosts that can talk, each with the lower name first."""
        return tuple((a.host, b.host) for a, b in self._all_pairs() if a.is_sought_by(b) or b.is_sought_by(a))

    def pairs_that_cannot_meet(self) -> tuple[tuple[str, str], ...]:
        """Return the pairs of which neither host knows where to send the first packet."""
        return tuple((a.host, b.host) for a, b in self._all_pairs() if not (a.is_sought_by(b) or b.is_sought_by(a)))


def _endpoint(addresses: Sequence[str], port: int) -> str | None:
    if not addresses:
        return None
    address = ip_address(addresses[0])
    # `wg` cuts at the last colon, so an IPv6 address without brackets would lose its last group.
    return f"[{address}]:{port}" if isinstance(address, IPv6Address) else f"{address}:{port}"


def _plan_member(name: str, host: Host, interface: Interface, subnet: IPv6Network) -> Member:
    overrides = interface.members.get(name, MemberOverrides())
    endpoint = _endpoint(host.external_ips, interface.external_port(name))
    keepalive = overrides.persistent_keepalive or interface.persistent_keepalive
    if keepalive is None:
        keepalive = _ROAMING_KEEPALIVE if endpoint is None else "off"
    return Member(
        host=name,
        address=overrides.address or host_address(subnet),
        endpoint=endpoint,
        persistent_keepalive=0 if keepalive == "off" else keepalive,
        rotation=f"{interface.rotation}.{overrides.rotation or 1}",
        subnet=subnet,
        formerly=host.formerly,
        site=host.site,
        local_endpoint=_endpoint(host.local_ips, interface.port),
    )


def _plan_mesh(name: str, interface: Interface, hosts: Mapping[str, Host]) -> MeshPlan:
    subnets = owned_subnets(name, interface.hosts, interface.fixed_addresses)
    return MeshPlan(
        interface=name,
        port=interface.port,
        mtu=interface.mtu,
        deadline=interface.deadline,
        unreachable=interface.unreachable,
        rotation=interface.rotation,
        max_key_age=interface.max_key_age,
        members=tuple(_plan_member(host, hosts[host], interface, subnets[host]) for host in sorted(interface.hosts)),
        forgotten=tuple(sorted(set(interface.forgotten))),
    )


def plan_meshes(configuration: Configuration) -> dict[str, MeshPlan]:
    """Return the plan of every mesh by interface name, sorted."""
    return {
        name: _plan_mesh(name, configuration.interfaces[name], configuration.hosts)
        for name in sorted(configuration.interfaces)
    }
