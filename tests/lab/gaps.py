"""What became of the packets of one direction: how many were lost, and how long one had to wait at most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Gaps", "find_gaps", "total"]


@dataclass(frozen=True)
class Gaps:
    """Packets sent and lost, and the longest stall in seconds: from a packet's sending to the next arrival."""

    sent: int
    lost: int
    stall: float


def find_gaps(sent: Sequence[float], arrived: Mapping[int, float], end: float) -> Gaps:
    """Return the gaps of one direction.

    Args:
        sent: When each packet was sent, in seconds; its place is its number.
        arrived: When a packet came, by number.
        end: When the looking ended, which is how long a packet without any arrival after it has waited.
    """
    stall = 0.0
    next_arrival = end
    for number in range(len(sent) - 1, -1, -1):
        next_arrival = min(next_arrival, arrived.get(number, end))
        stall = max(stall, next_arrival - sent[number])
    return Gaps(len(sent), sum(number not in arrived for number in range(len(sent))), stall)


def total(gaps: Sequence[Gaps]) -> Gaps:
    """Return what several directions sent and lost together, and the longest stall of any."""
    longest = max((each.stall for each in gaps), default=0.0)
    return Gaps(sum(each.sent for each in gaps), sum(each.lost for each in gaps), longest)
