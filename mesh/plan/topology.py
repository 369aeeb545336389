"""Turn the configuration into the plan of each mesh: its participants, their addresses, and their endpoints.

Keys are not known here, because the plan is complete before the first key is made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Interface, IPv6Network, ip_address
from typing import Literal

from mesh.config.models import Configuration, Host, Interface, MemberOverrides, UnmanagedPeer
from mesh.config.peering import choose_relay, resolve, tags_of
from mesh.wireguard.addressing import Network, host_address, owned_subnets
from mesh.wireguard.endpoint import join_endpoint

__all__ = ["COMMON_LINK_MTU", "ROAMING_KEEPALIVE", "MeshPlan", "PlannedParticipant", "plan_meshes"]

# Shorter than the 30 seconds after which common NAT routers forget a UDP flow.
ROAMING_KEEPALIVE = 25
# What most links carry, and what IPv6, UDP and WireGuard take of it.
COMMON_LINK_MTU, _OVERHEAD = 1500, 80


@dataclass(frozen=True, slots=True)
class PlannedParticipant:
    """One host on one interface, or an unmanaged peer; peers send it what goes to its `subnet`.

    `endpoint` is where peers first contact it, such as `78.11.11.11:51825`, `[2001:db8::1]:51825` or
    `bernard.example.org:51825`, or None if it is roaming; hosts of the same `site` use its `local_endpoint`, if
    it has one. `persistent_keepalive` is in seconds, 0 for off, and is what the host itself sends. A new `rotation`,
    the interface's and the host's own joined by a dot, asks for a new key. `formerly` is the name of a renamed host
    before. `peers` are by name, None for all. `other_endpoint` is of the other IP version than `endpoint`, for peers
    that have that one only. A `public_key` is known where the private one is not ours. `routes`
    are the networks behind it; `masquerade`, where the file says so, whether what it forwards has its own address as
    source. `exit_node` is the host that is its default route.
    """

    name: str
    address: IPv6Interface
    endpoint: str | None
    persistent_keepalive: int
    rotation: str
    subnet: IPv6Network
    formerly: str | None = None
    site: str | None = None
    local_endpoint: str | None = None
    peers: tuple[str, ...] | None = None
    public_key: str | None = None
    ipv4: IPv4Address | None = None
    other_endpoint: str | None = None
    routes: tuple[Network, ...] = ()
    masquerade: bool | None = None
    exit_node: str | None = None

    @property
    def is_roaming(self) -> bool:
        """Whether peers elsewhere cannot start talking to this host, because it has no external address or name."""
        return self.endpoint is None


@dataclass(frozen=True, slots=True)
class MeshPlan:
    """One mesh; `members` are sorted by name, `mtu` is in bytes and `deadline` in seconds.

    `peers` are unmanaged. Pairs that cannot meet talk over the `relay`. With `names`, hosts know each other by
    name. `preshared_keys` are one for all, or one for each pair; with `require_post_quantum` they go by a
    post-quantum key exchange only. `forgotten` names hosts that have left and are no
    longer to be wiped.
    """

    interface: str
    port: int
    mtu: int
    deadline: int
    unreachable: Literal["stop", "skip"]
    rotation: str
    max_key_age: timedelta | None
    members: tuple[PlannedParticipant, ...]
    peers: tuple[PlannedParticipant, ...] = ()
    relay: str | None = None
    names: bool = False
    preshared_keys: Literal["shared", "pairwise"] = "shared"
    require_post_quantum: bool = False
    forgotten: tuple[str, ...] = ()

    @property
    def participants(self) -> tuple[PlannedParticipant, ...]:
        """All members and peers."""
        return (*self.members, *self.peers)

    @property
    def max_key_days(self) -> int:
        """How many days a key serves, 0 for without end."""
        return self.max_key_age.days if self.max_key_age else 0

    def member(self, host: str) -> PlannedParticipant:
        """Return the member that is `host`.

        Raises:
            KeyError: If the host is not in this mesh.
        """
        for member in self.members:
            if member.name == host:
                return member
        raise KeyError(host)


def _endpoint(addresses: Sequence[str], port: int) -> str | None:
    return join_endpoint(addresses[0], port) if addresses else None


def _of_other_version(addresses: Sequence[str]) -> list[str]:
    return [address for address in addresses if ip_address(address).version != ip_address(addresses[0]).version]


def _keepalive(own: int | str | None, interface: Interface, endpoint: str | None) -> int:
    chosen = own or interface.persistent_keepalive
    if chosen is None:
        chosen = ROAMING_KEEPALIVE if endpoint is None else "off"
    return 0 if chosen == "off" else int(chosen)


def _choose_mtu(interface: Interface, hosts: Mapping[str, Host]) -> int:
    if interface.mtu is not None:
        return interface.mtu
    # Links that carry more are seldom joined by paths that do.
    return min([COMMON_LINK_MTU, *(hosts[host].link_mtu or COMMON_LINK_MTU for host in interface.hosts)]) - _OVERHEAD


def _plan_mesh(name: str, interface: Interface, hosts: Mapping[str, Host], rotation: int) -> MeshPlan:
    subnets = owned_subnets(name, interface.participants, interface.fixed_addresses, interface.prefix)
    joined = resolve(interface.peering, tags_of(interface, hosts)) if interface.peering else {}
    routes, exit_nodes = interface.routes, interface.exit_nodes
    # Left out where the file does not set it, so that a newer version of mesh makes no new keys.
    of_all = f"@{rotation}" if rotation > 1 else ""

    def plan(participant: str, endpoint: str | None, own: MemberOverrides | UnmanagedPeer) -> PlannedParticipant:
        return PlannedParticipant(
            name=participant,
            address=own.address or host_address(subnets[participant]),
            endpoint=endpoint,
            persistent_keepalive=_keepalive(own.persistent_keepalive, interface, endpoint),
            rotation=f"{interface.rotation}.{own.rotation or 1}{of_all}",
            subnet=subnets[participant],
            peers=joined.get(participant),
            ipv4=own.ipv4,
            routes=routes.get(participant, ()),
            exit_node=exit_nodes.get(participant),
        )

    def plan_member(host: str) -> PlannedParticipant:
        name = hosts[host].external_name
        endpoint = _endpoint((name,) if name else hosts[host].external_ips, interface.external_port(host))
        own = interface.members.get(host, MemberOverrides())
        return replace(
            plan(host, endpoint, own),
            masquerade=own.masquerade,
            formerly=hosts[host].formerly,
            site=hosts[host].site,
            local_endpoint=_endpoint(hosts[host].local_ips, interface.port),
            other_endpoint=_endpoint(_of_other_version(hosts[host].external_ips), interface.external_port(host)),
        )

    return MeshPlan(
        interface=name,
        port=interface.port,
        mtu=_choose_mtu(interface, hosts),
        deadline=interface.deadline,
        unreachable=interface.unreachable,
        rotation=f"{interface.rotation}{of_all}",
        max_key_age=interface.max_key_age,
        members=tuple(plan_member(host) for host in sorted(interface.hosts)),
        peers=tuple(
            replace(plan(peer, own.endpoint, own), public_key=own.public_key)
            for peer, own in sorted(interface.peers.items())
        ),
        relay=choose_relay(interface, hosts),
        names=interface.names,
        preshared_keys=interface.preshared_keys,
        require_post_quantum=interface.require_post_quantum,
        forgotten=tuple(sorted(set(interface.forgotten))),
    )


def plan_meshes(configuration: Configuration) -> dict[str, MeshPlan]:
    """Return the plan of every mesh by interface name, sorted."""
    return {
        name: _plan_mesh(name, configuration.interfaces[name], configuration.hosts, configuration.rotation)
        for name in sorted(configuration.interfaces)
    }
