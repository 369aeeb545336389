"""What one look at the hosts of a mesh found, as plain data: a row for each host, and for each direction of a pair."""

from collections.abc import Collection
from dataclasses import dataclass

from mesh.remote.reports import Device
from mesh.rollout.fault import Fault

__all__ = ["HostStatus", "MeshStatus", "PairStatus", "totals"]


@dataclass(frozen=True, slots=True)
class HostStatus:
    """One host: `state` is up, drifted, pending or unreachable, and `reasons` tell why it is not up.

    `answers` tells whether it said what it runs. Of its key, `key_made` and `key_expires` are in RFC 3339, empty for
    unknown or never. `key_exchange` is that of SSH in this connection, empty where there was none. `device` is
    what it says of the interface.
    """

    host: str
    address: str
    endpoint: str
    state: str
    system: str
    reasons: tuple[str, ...] = ()
    public_key: str = ""
    answers: bool = False
    key_made: str = ""
    key_expires: str = ""
    key_exchange: str = ""
    device: Device | None = None


@dataclass(frozen=True, slots=True)
class PairStatus:
    """One direction of a pair, as its first host sees it.

    `state` is up, relayed, silent, cannot-meet, unknown, or not-managed where only one of the two is a host.
    `handshake` is in seconds since the epoch, 0 for never; `received` and `sent` are in bytes; `ping` is in
    milliseconds, None where there was no answer or no ping. `public_key` and `allowed_ips` are the peer's. `way` is
    direct, lan or relay, empty where there never was a session.
    """

    host: str
    peer: str
    state: str
    endpoint: str = ""
    handshake: int = 0
    received: int = 0
    sent: int = 0
    ping: float | None = None
    public_key: str = ""
    allowed_ips: tuple[str, ...] = ()
    way: str = ""


@dataclass(frozen=True, slots=True)
class MeshStatus:
    """One mesh; `faults` are all that is wrong, and `not_wiped` names hosts that left and could not be wiped so far.

    `changed` is when the rollout last changed, in RFC 3339; empty if not known. `moment` is when the hosts had told
    what they count, in seconds of a clock that is never set.
    """

    interface: str
    hosts: tuple[HostStatus, ...]
    pairs: tuple[PairStatus, ...]
    faults: tuple[Fault, ...]
    not_wiped: tuple[str, ...] = ()
    changed: str = ""
    preshared_key_expires: str = ""
    moment: float = 0.0

    @property
    def is_well(self) -> bool:
        """Whether every host runs what the state says, and every pair that can meet does."""
        return not self.faults and all(host.state in ("up", "pending") for host in self.hosts)


def totals(meshes: Collection[MeshStatus]) -> dict[str, int]:
    """Return how many hosts, directions of pairs that can be asked, and faults there are, and how many are up."""
    hosts = [host.state for mesh in meshes for host in mesh.hosts]
    pairs = [pair.state for mesh in meshes for pair in mesh.pairs if pair.state not in ("cannot-meet", "not-managed")]
    return {
        "hosts": len(hosts),
        "hosts_up": hosts.count("up"),
        "directions": len(pairs),
        "directions_up": pairs.count("up") + pairs.count("relayed"),
        "faults": sum(len(mesh.faults) for mesh in meshes),
    }
