"""A mesh that an import has found, as far as it is known; `join` makes one from the files of hosts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Interface

from mesh.wireguard.addressing import Network

__all__ = ["FoundMember", "FoundMesh", "FoundPeer"]


@dataclass(frozen=True, slots=True)
class FoundMember:
    """One host; None stands for what is not known.

    `externals` are the address or the name at which its peers reach it, or an address of each IP version, in the order
    of the stack file, and empty where its peers have no endpoint of it, so that it is roaming. `external_port` is
    theirs, where the host listens on another. `routes` are the networks behind it.
    """

    host: str
    address: IPv6Interface | None = None
    externals: tuple[str, ...] | None = None
    keepalive: int | None = None
    private_key: str | None = field(default=None, repr=False)
    ssh_address: str | None = None
    host_key: str | None = None
    ipv4: IPv4Address | None = None
    routes: tuple[Network, ...] = ()
    external_port: int | None = None


@dataclass(frozen=True, slots=True)
class FoundPeer:
    """A peer of hosts that is no host itself, such as a phone; `endpoint` has its port."""

    name: str
    public_key: str
    address: IPv6Interface | None = None
    ipv4: IPv4Address | None = None
    endpoint: str | None = None
    routes: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundMesh:
    """One interface on all its hosts; `notes` say what its first `up` changes, and what could not be known.

    `ipv4` is the prefix of the IPv4 addresses, where there are any. `places` are the file and the line that each place
    of the stack file comes from, so that a fault can name what its reader has.
    """

    interface: str
    members: tuple[FoundMember, ...]
    port: int | None = None
    mtu: int | None = None
    preshared_key: str | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    ipv4: IPv4Network | None = None
    peers: tuple[FoundPeer, ...] = ()
    places: Mapping[tuple[str, ...], str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def keys(self) -> dict[str, str]:
        """The keys by their name in `mesh:adopted`."""
        private = {f"{self.interface}/{each.host}": each.private_key for each in self.members if each.private_key}
        return {**private, **({self.interface: self.preshared_key} if self.preshared_key else {})}
