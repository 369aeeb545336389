"""What one rollout is asked to do, and for whom."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property

from mesh.config.connection import Connection
from mesh.plan.pairs import Pairs
from mesh.plan.roster import Roster

__all__ = ["Rollout"]

Report = Callable[[str], None]


@dataclass(frozen=True)
class Rollout:
    """What one rollout brings to the hosts in `changing`; the other members run it already and only help to verify it.

    `alive` tells whether the engine that asked for it still runs. With `skip_unreachable`, hosts that do not answer are
    left out instead of stopping it. The hosts in `adopted` bring their key, and let an interface that runs that key
    be taken over, whoever made it.
    """

    roster: Roster
    roster_id: str
    mesh: str
    digest: str
    preshared_key: str = field(repr=False)
    skip_unreachable: bool
    report: Report
    alive: Callable[[], bool]
    changing: Collection[str]
    adopted: frozenset[str] = frozenset()

    @cached_property
    def pairs(self) -> Pairs:
        """How each member reaches its peers."""
        return Pairs(self.roster)

    @property
    def interface(self) -> str:
        """The name of the interface."""
        return str(self.roster["interface"])

    @property
    def connections(self) -> dict[str, Connection]:
        """How SSH reaches each member."""
        return {host: member["ssh"] for host, member in self.roster["members"].items()}
