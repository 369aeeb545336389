"""How much is sent at the moment: the counters of two looks at the same hosts, and the time between them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.filesize import decimal

from mesh.cli.status_rows import MeshStatus, PairStatus

__all__ = ["Rates", "rates_between"]

# What is counted, by interface, host and peer; of a host itself the peer is empty.
_Counted = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Rates:
    """Packets of hosts and bytes of pairs in a second, received and sent; what two looks do not tell is not there."""

    a_second: dict[_Counted, tuple[float, float]]

    def packets(self, interface: str, host: str) -> str:
        """Return the packets inside the mesh that come and go in a second."""
        rate = self.a_second.get((interface, host, ""))
        return f"{rate[0]:.0f}/s, {rate[1]:.0f}/s" if rate else ""

    def bytes(self, interface: str, pair: PairStatus) -> tuple[str, str]:
        """Return the bytes that the first host of a pair receives and sends in a second."""
        rate = self.a_second.get((interface, pair.host, pair.peer))
        return (f"{decimal(round(rate[0]))}/s", f"{decimal(round(rate[1]))}/s") if rate else ("", "")


def rates_between(before: Sequence[MeshStatus], after: Sequence[MeshStatus]) -> Rates:
    """Return what was counted between two looks; nothing for an interface whose counters have started again."""
    earlier = {mesh.interface: mesh for mesh in before}
    found = {}
    for mesh in after:
        if (last := earlier.get(mesh.interface)) and mesh.moment > last.moment:
            counted, seconds = dict(_counted(last)), mesh.moment - last.moment
            for what, (received, sent) in _counted(mesh):
                was = counted.get(what)
                if was and was[0] <= received and was[1] <= sent:
                    found[mesh.interface, *what] = (received - was[0]) / seconds, (sent - was[1]) / seconds
    return Rates(found)


def _counted(mesh: MeshStatus) -> Iterator[tuple[tuple[str, str], tuple[int, int]]]:
    yield from (((host.host, ""), (host.device.received, host.device.sent)) for host in mesh.hosts if host.device)
    # Without allowed IPs, nothing was told of the pair.
    yield from (((pair.host, pair.peer), (pair.received, pair.sent)) for pair in mesh.pairs if pair.allowed_ips)
