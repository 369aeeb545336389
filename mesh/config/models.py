"""The shape of `mesh:interfaces` in the stack file, and of the whole file.

Names are snake_case here and camelCase in the file. `reader` reads the file and reports its faults; rules across
entries are in `rules`. A field's `description` says what the field means, in the reference and in the JSON schema. The
`Accepts` of a type says which values it takes.
"""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Interface
from typing import Annotated, Literal

from pydantic import Field

from mesh.config.external_fields import PeerEndpoint
from mesh.config.fields import (
    Ipv4Address,
    Ipv4Prefix,
    Ipv6Prefix,
    Keepalive,
    KeyAge,
    MeshAddress,
    Port,
    PublicKey,
    Rotation,
)
from mesh.config.host_models import Bastion, Flag, Host, Settings, SshSettings, Tags
from mesh.config.patterns import Accepts
from mesh.config.route_fields import OFF, ExitNode, Route, in_order
from mesh.wireguard.addressing import Network

__all__ = [
    "AUTO",
    "Bastion",
    "Configuration",
    "Host",
    "Hosts",
    "Interface",
    "Interfaces",
    "MemberOverrides",
    "Peering",
    "SshSettings",
    "UnmanagedPeer",
]

# Instead of a name: the program chooses.
AUTO = "auto"

HostName = Annotated[str, Accepts("the name of a host")]
Meant = Annotated[
    tuple[Annotated[str, Accepts("a host, tag:NAME or all")], ...], Accepts("a list of hosts, tag:NAME or all")
]


class MemberOverrides(Settings):
    """What one host does differently on one interface; what is left out is as the interface says."""

    rotation: Rotation | None = Field(
        default=None,
        description="Raise it to rotate this host's key. Without it: 1. Lower it again for the earlier key.",
    )
    persistent_keepalive: Keepalive | None = Field(
        default=None, description="For this host. Without it: as the interface says."
    )
    address: MeshAddress | None = Field(
        default=None,
        description="A fixed address instead of the one that follows from the names. The host owns its subnet; hosts "
        "with addresses in one subnet own their addresses only.",
    )
    external_port: Port | None = Field(
        default=None,
        description="The UDP port to which peers send, where a router in front of the host forwards another one than "
        "the listen port.",
    )
    ipv4: Ipv4Address | None = Field(
        default=None,
        description="The host's IPv4 address, where the interface has ipv4. `python -m mesh allocate` fills it in.",
    )
    routes: Annotated[tuple[Route, ...], Accepts("a list of prefixes of networks behind this host")] = Field(
        default=(), description="Networks behind this host, which all others reach over it."
    )
    masquerade: Flag | None = Field(
        default=None,
        description="true: machines behind this host see its own address, and need no route back. false: never. "
        "Without it: as an exit node only.",
    )
    exit_node: ExitNode | None = Field(default=None, description="For this host. Without it: as the interface says.")


class UnmanagedPeer(Settings):
    """A participant that no run reaches, such as a phone or a router; without a public key it gets one made here."""

    public_key: PublicKey | None = Field(
        default=None, description="The peer's own key, if it made one. Without it: a key pair is made here."
    )
    endpoint: PeerEndpoint | None = Field(
        default=None, description="Where hosts find the peer. Without it: the peer is roaming."
    )
    address: MeshAddress | None = Field(
        default=None, description="A fixed address instead of the one that follows from the names."
    )
    persistent_keepalive: Keepalive | None = Field(
        default=None, description="What the peer's file says. Without it: as the interface says."
    )
    rotation: Rotation | None = Field(
        default=None, description="Raise it for a new key, where the key is made here. Without it: 1."
    )
    ipv4: Ipv4Address | None = Field(
        default=None,
        description="The peer's IPv4 address, where the interface has ipv4. `python -m mesh allocate` fills it in.",
    )
    routes: Annotated[tuple[Route, ...], Accepts("a list of prefixes of networks behind this peer")] = Field(
        default=(), description="Networks behind this peer. What it forwards is its owner's matter."
    )
    exit_node: ExitNode | None = Field(default=None, description="For this peer. Without it: as the interface says.")
    tags: Tags = Field(default=(), description="For peering rules.")


class Peering(Settings):
    """One rule that makes hosts peers: a group, or a hub and its spokes."""

    group: Meant = Field(default=(), description="These are peers of each other.")
    hub: Meant = Field(default=(), description="These are peers of the spokes.")
    spokes: Meant = Field(default=(), description="These are peers of the hub.")


class Interface(Settings):
    """One mesh: the hosts that share an interface name, a port and a preshared key."""

    hosts: Annotated[tuple[HostName, ...], Accepts("a list of host names from mesh:hosts")] = Field(
        description="The hosts of this mesh."
    )
    port: Port = Field(default=51824, description="The UDP port on every host.")
    # 1280 is the least that IPv6 inside the tunnel allows.
    mtu: Annotated[int, Field(strict=True, ge=1280, le=9000), Accepts("bytes from 1280 to 9000")] | None = Field(
        default=None,
        description="Of the tunnel. Without it: the least linkMtu of the hosts, less 80, and 1420 at most. `up` "
        "verifies that packets of that size pass.",
    )
    persistent_keepalive: Keepalive | None = Field(
        default=None, description="Without it: 25 on roaming hosts, off elsewhere."
    )
    rotation: Rotation = Field(
        default=1,
        description="Raise it to rotate all keys and the preshared key. mesh:rotation does so for all interfaces.",
    )
    max_key_age: KeyAge | None = Field(
        default=None,
        description="A preview warns in the last 14 days of a key, and `pulumi up` regenerates it when it is due. "
        "Without it: keys do not expire.",
    )
    unreachable: Annotated[Literal["stop", "skip"], Accepts("stop or skip")] = Field(
        default="stop",
        description="stop: a host that does not answer stops the run. skip: the host is left out, and gets its change "
        "in the first up after its return.",
    )
    deadline: Annotated[int, Field(strict=True, ge=10, le=600), Accepts("seconds from 10 to 600")] = Field(
        default=60, description="After this time without a word from the operator, hosts roll back by themselves."
    )
    forgotten: Annotated[tuple[HostName, ...], Accepts("a list of names of hosts that have left")] = Field(
        default=(), description="Hosts that runs no longer try to wipe. `python -m mesh forget` fills it in."
    )
    members: Annotated[
        dict[str, MemberOverrides], Accepts("a mapping from a host of this interface to what differs there")
    ] = Field(default_factory=dict, description="By host name, what differs on one host.")
    peers: Annotated[
        dict[str, UnmanagedPeer], Accepts("a mapping from the name of a peer that is not managed here to what it is")
    ] = Field(default_factory=dict, description="By name, phones, laptops and routers that no run reaches.")
    peering: Annotated[tuple[Peering, ...], Accepts("a list of rules, each a group, or a hub and its spokes")] = Field(
        default=(), description="Who is a peer of whom. Without it: everyone of everyone."
    )
    prefix: Ipv6Prefix | None = Field(
        default=None,
        description="Each host owns the /64 in it that follows from its name. Without it: fd00::/16.",
    )
    ipv4: Ipv4Prefix | None = Field(
        default=None, description="For IPv4 inside the mesh, beside IPv6. Each host then needs members.HOST.ipv4."
    )
    relay: Annotated[str, Field(strict=True), Accepts("a host of this interface, or auto")] | None = Field(
        default=None,
        description="The host over which pairs of roaming hosts talk. auto: the first of hosts that has an external "
        "address or name.",
    )
    preshared_keys: Annotated[Literal["shared", "pairwise"], Accepts("shared or pairwise")] = Field(
        default="shared", description="pairwise: each pair has a preshared key of its own."
    )
    require_post_quantum: Flag = Field(
        default=False,
        description="true: preshared keys go only to hosts whose SSH has a post-quantum key exchange (OpenSSH 9.9 and "
        "later). A host without one is refused before anything changes.",
    )
    names: Flag = Field(default=False, description="true: /etc/hosts of every host has HOST.IF for each peer.")
    exit_node: ExitNode | None = Field(
        default=None, description="The host over which all others reach everything outside the mesh."
    )

    @property
    def participants(self) -> tuple[str, ...]:
        """The names of all hosts and unmanaged peers."""
        return (*self.hosts, *self.peers)

    @property
    def entries(self) -> dict[str, MemberOverrides | UnmanagedPeer]:
        """What is said of single participants, by name: in `members` of hosts, in `peers` of the others."""
        return {**self.members, **self.peers}

    @property
    def ipv4_addresses(self) -> dict[str, IPv4Address]:
        """The IPv4 addresses of the participants that have one, by name."""
        return {name: entry.ipv4 for name, entry in self.entries.items() if entry.ipv4 is not None}

    @property
    def routes(self) -> dict[str, tuple[Network, ...]]:
        """The networks behind the participants that have any, sorted, by name."""
        return {name: in_order(entry.routes) for name, entry in self.entries.items() if entry.routes}

    @property
    def exit_nodes(self) -> dict[str, str]:
        """The exit node of each participant that uses one, by name."""
        chosen = {name: entry.exit_node for name, entry in self.entries.items() if entry.exit_node is not None}
        users = [name for name in self.participants if not self.is_unsure_of(name, "exitNode")]
        # The exit node of the whole interface uses none itself.
        default = {name: self.exit_node for name in users if self.exit_node not in (None, name)}
        return {name: node for name, node in {**default, **chosen}.items() if node not in (None, OFF)}

    def with_hosts_no_peers(self) -> "Interface":
        """Return the same without the peers that are hosts too, which no file that is used has."""
        if self.peers.keys().isdisjoint(self.hosts):
            return self
        return self.model_copy(
            update={"peers": {name: peer for name, peer in self.peers.items() if name not in self.hosts}}
        )

    def is_unsure_of(self, participant: str, field: str) -> bool:
        """Tell whether it is not known what the entry of a host or a peer says in a field, since that was faulty."""
        return self.is_unsure("peers" if participant in self.peers else "members", participant, field)

    def external_port(self, host: str) -> int:
        """Return the UDP port to which peers send what is for `host`, which a router may forward."""
        member = self.members.get(host)
        return (member.external_port if member else None) or self.port

    @property
    def fixed_addresses(self) -> dict[str, IPv6Interface]:
        """The addresses that do not follow from the participant's name, by name."""
        return {name: entry.address for name, entry in self.entries.items() if entry.address is not None}


# By name.
Hosts = Mapping[str, Host]
Interfaces = Mapping[str, Interface]


class Configuration(Settings):
    """The whole stack file, free of faults."""

    hosts: dict[str, Host]
    interfaces: dict[str, Interface]
    rotation: int = 1
