"""The shape of the stack file: which fields there are, their types and their defaults.

Names are snake_case here and camelCase in the file. Reading the file and reporting its faults belongs in `config`,
rules across several entries in `consistency`. A field's `description` says what may be given, and ends its fault.
"""

from ipaddress import IPv4Address, IPv6Interface
from typing import Literal, NotRequired, TypedDict

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from mesh.config.external_fields import ExternalAddress, ExternalName, PeerEndpoint
from mesh.config.fields import (
    FormerName,
    HostKey,
    Ipv4Address,
    Ipv4Prefix,
    Ipv6Prefix,
    Keepalive,
    KeyAge,
    MeshAddress,
    Port,
    PublicKey,
    Rotation,
    Site,
    SshAddress,
    SshUser,
    Tag,
)
from mesh.config.route_fields import OFF, ExitNode, Network, Route, in_order

__all__ = [
    "AUTO",
    "Bastion",
    "Configuration",
    "Connection",
    "Host",
    "Interface",
    "MemberOverrides",
    "Peering",
    "SshSettings",
    "UnmanagedPeer",
]

# In place of a name: the program chooses.
AUTO = "auto"


class Connection(TypedDict):
    """How SSH reaches a machine, as the state has it: `hostKey` is type and base64, `sudo` whether commands need it."""

    address: str
    port: int
    user: str
    sudo: bool
    hostKey: str
    bastion: NotRequired["Connection"]


class _Settings(BaseModel):
    # Pydantic repeats a rejected value in its message unless told otherwise, and the value may be a secret.
    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, alias_generator=to_camel, populate_by_name=False
    )


class Bastion(_Settings):
    """How SSH reaches one machine, directly."""

    address: SshAddress = Field(description="the host name or IP address that SSH connects to")
    port: Port = 22
    user: SshUser = "root"
    sudo: bool | None = Field(default=None, strict=True, description="true or false")
    host_key: HostKey = Field(description="the host's public key")

    @property
    def uses_sudo(self) -> bool:
        """Whether commands run by sudo: as the file says, else for every user but root."""
        return self.user != "root" if self.sudo is None else self.sudo

    def connection(self) -> Connection:
        """Return what the state and the way to the hosts know of this machine."""
        return {
            "address": self.address,
            "port": self.port,
            "user": self.user,
            "sudo": self.uses_sudo,
            "hostKey": self.host_key,
        }


class SshSettings(Bastion):
    """How SSH reaches a host, directly or through one bastion."""

    bastion: Bastion | None = Field(default=None, description="a mapping with at least address and hostKey")

    def connection(self) -> Connection:
        """Return the same of a host, with its bastion, on which nothing is run."""
        own = super().connection()
        return {**own, "bastion": {**self.bastion.connection(), "sudo": False}} if self.bastion else own


class Host(_Settings):
    """A Linux machine; without external addresses or an external name it is roaming, that is, behind NAT."""

    system: str | None = Field(
        default=None,
        strict=True,
        pattern=r"^[a-z0-9_]+-linux\z",
        description="a processor and linux, such as x86_64-linux or aarch64-linux",
    )
    external_ips: tuple[ExternalAddress, ...] = Field(default=(), description="a list of IP addresses, endpoint first")
    external_name: ExternalName | None = Field(default=None, description="a DNS name such as bernard.example.org")
    site: Site | None = None
    local_ips: tuple[ExternalAddress, ...] = Field(
        default=(), description="a list of IP addresses, for hosts of the same site"
    )
    # 80 bytes more than the least that IPv6 inside the tunnel allows.
    link_mtu: int | None = Field(default=None, strict=True, ge=1360, le=65535, description="bytes from 1360 to 65535")
    tags: tuple[Tag, ...] = Field(default=(), description="a list of texts")
    formerly: FormerName | None = Field(default=None, description="the name of this host before it was renamed")
    ssh: SshSettings = Field(description="a mapping with at least address and hostKey")

    @property
    def is_roaming(self) -> bool:
        """Whether peers elsewhere have no endpoint for it."""
        return not self.external_ips and self.external_name is None


class MemberOverrides(_Settings):
    """What one host does differently on one interface; None leaves it as the interface says."""

    rotation: Rotation | None = Field(default=None, description="a whole number from 1 up")
    persistent_keepalive: Keepalive | None = None
    address: MeshAddress | None = Field(default=None, description="an IPv6 address with its prefix length")
    external_port: Port | None = Field(default=None, description="a whole number from 1 to 65535")
    ipv4: Ipv4Address | None = None
    routes: tuple[Route, ...] = Field(default=(), description="a list of prefixes of networks behind this host")
    masquerade: bool | None = Field(default=None, strict=True, description="true or false")
    exit_node: ExitNode | None = None


class UnmanagedPeer(_Settings):
    """A participant that no run reaches, such as a phone or a router; without a public key it gets one made here."""

    public_key: PublicKey | None = None
    endpoint: PeerEndpoint | None = None
    address: MeshAddress | None = Field(default=None, description="an IPv6 address with its prefix length")
    persistent_keepalive: Keepalive | None = None
    rotation: Rotation | None = Field(default=None, description="a whole number from 1 up")
    ipv4: Ipv4Address | None = None
    routes: tuple[Route, ...] = Field(default=(), description="a list of prefixes of networks behind this peer")
    exit_node: ExitNode | None = None
    tags: tuple[Tag, ...] = Field(default=(), description="a list of texts")


class Peering(_Settings):
    """One rule of who is a peer of whom: a group, or a hub and its spokes."""

    group: tuple[str, ...] = Field(default=(), description="a list of hosts, tag:NAME or all")
    hub: tuple[str, ...] = Field(default=(), description="a list of hosts, tag:NAME or all")
    spokes: tuple[str, ...] = Field(default=(), description="a list of hosts, tag:NAME or all")


class Interface(_Settings):
    """One mesh: the hosts that share an interface name, a port and a preshared key."""

    hosts: tuple[str, ...] = Field(description="a list of host names from mesh:hosts")
    port: Port = 51824
    # 1280 is the least that IPv6 inside the tunnel allows.
    mtu: int | None = Field(default=None, strict=True, ge=1280, le=9000, description="bytes from 1280 to 9000")
    persistent_keepalive: Keepalive | None = None
    rotation: Rotation = 1
    max_key_age: KeyAge | None = None
    unreachable: Literal["stop", "skip"] = Field(default="stop", description="stop or skip")
    deadline: int = Field(default=60, strict=True, ge=10, le=600, description="seconds from 10 to 600")
    forgotten: tuple[str, ...] = Field(default=(), description="a list of names of hosts that have left")
    members: dict[str, MemberOverrides] = Field(
        default_factory=dict, description="a mapping from a host of this interface to what differs there"
    )

    peers: dict[str, UnmanagedPeer] = Field(
        default_factory=dict, description="a mapping from the name of a peer that is not managed here to what it is"
    )
    peering: tuple[Peering, ...] = Field(
        default=(), description="a list of rules, each a group, or a hub and its spokes"
    )

    prefix: Ipv6Prefix | None = None
    ipv4: Ipv4Prefix | None = None
    relay: str | None = Field(default=None, strict=True, description="a host of this interface, or auto")
    preshared_keys: Literal["shared", "pairwise"] = Field(default="shared", description="shared or pairwise")
    names: bool = Field(default=False, strict=True, description="true or false")
    exit_node: ExitNode | None = None

    @property
    def participants(self) -> tuple[str, ...]:
        """The names of all hosts, and of the peers that are not managed here."""
        return (*self.hosts, *self.peers)

    @property
    def ipv4_addresses(self) -> dict[str, IPv4Address]:
        """The IPv4 addresses of the participants that have one, by name."""
        entries: dict[str, MemberOverrides | UnmanagedPeer] = {**self.members, **self.peers}
        return {name: entry.ipv4 for name, entry in entries.items() if entry.ipv4 is not None}

    @property
    def routes(self) -> dict[str, tuple[Network, ...]]:
        """The networks behind the participants that have any, sorted, by name."""
        entries: dict[str, MemberOverrides | UnmanagedPeer] = {**self.members, **self.peers}
        return {name: in_order(entry.routes) for name, entry in entries.items() if entry.routes}

    @property
    def exit_nodes(self) -> dict[str, str]:
        """The exit node of each participant that uses one, by name."""
        entries: dict[str, MemberOverrides | UnmanagedPeer] = {**self.members, **self.peers}
        chosen = {name: entry.exit_node for name, entry in entries.items() if entry.exit_node is not None}
        # Who is the exit node for all others needs no line that says so of itself.
        default = {name: self.exit_node for name in self.participants if self.exit_node not in (None, name)}
        return {name: node for name, node in {**default, **chosen}.items() if node not in (None, OFF)}

    def external_port(self, host: str) -> int:
        """Return the UDP port to which peers send what is for `host`, which a router may forward."""
        member = self.members.get(host)
        return (member.external_port if member else None) or self.port

    @property
    def fixed_addresses(self) -> dict[str, IPv6Interface]:
        """The addresses that do not follow from the participant's name, by name."""
        entries: dict[str, MemberOverrides | UnmanagedPeer] = {**self.members, **self.peers}
        return {name: entry.address for name, entry in entries.items() if entry.address is not None}


class Configuration(_Settings):
    """The whole stack file, free of faults."""

    hosts: dict[str, Host]
    interfaces: dict[str, Interface]
    rotation: int = 1
