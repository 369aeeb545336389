"""The tools from which meshes are imported: how a user changes something there, at the end of a fault."""

from collections.abc import Iterable
from dataclasses import dataclass

from mesh.config.route_fields import in_order
from mesh.errors import show_first
from mesh.wireguard.addressing import Network
from mesh.wireguard.wg_quick import WgQuick

__all__ = ["MOST_HOSTS", "Source", "listed", "some"]

# Of one mesh: a full mesh of 1,000 hosts has a million peers.
MOST_HOSTS = 1_000
# A line with all names of a large mesh would not be read.
_MOST_NAMES = 8


def listed(prefixes: Iterable[Network]) -> str:
    """Return prefixes as a text, `nothing` where there are none."""
    return some(map(str, in_order(prefixes)), in_their_order=True) or "nothing"


def some(names: Iterable[str], *, in_their_order: bool = False) -> str:
    """Return names as a text, the first of them where they are many."""
    return show_first(list(names) if in_their_order else sorted(names), _MOST_NAMES)


@dataclass(frozen=True, slots=True)
class Source:
    """Files that hosts run as they are; `where` is the folder or the file that the user named."""

    where: str

    def send(self, host: str, own: WgQuick, wanted: Iterable[Network]) -> str:
        """Return how the others are made to send `wanted` to a host, whose own configuration is `own`."""
        del host, own
        return f"make its AllowedIPs {listed(wanted)} here and on the host first"

    def leave_out(self, name: str, own: WgQuick | None, prefix: Network) -> str:
        """Return how the hosts are made not to send one prefix to another; `own` is None for one that is no host."""
        del name, own, prefix
        return "take that out of its AllowedIPs here and on the host first"
