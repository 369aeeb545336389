"""What the hosts of one mesh said to a diagnosis, and what is asked next."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from mesh.plan.pairs import Pairs
from mesh.plan.roster import Roster
from mesh.remote.examinations import Examination, Measurement, Probe
from mesh.remote.reports import Facts
from mesh.stored.forms import RecordedRollout

__all__ = ["MeshAnswers"]


@dataclass(frozen=True)
class MeshAnswers:
    """What hosts said, by host, beside the rollout in the state; `absent` is why any host could not be asked.

    `offsets` is by how many seconds a host's clock is ahead of this machine's, and `key_exchanges` are those of SSH.
    `unprobed` is why any could not count how far packets came.
    """

    recorded: RecordedRollout
    absent: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Facts] = field(default_factory=dict)
    examinations: Mapping[str, Examination] = field(default_factory=dict)
    offsets: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, Mapping[str, Measurement]] = field(default_factory=dict)
    probes: Mapping[str, Probe] = field(default_factory=dict)
    unprobed: Mapping[str, str] = field(default_factory=dict)
    key_exchanges: Mapping[str, str] = field(default_factory=dict)

    @property
    def roster(self) -> Roster:
        """What the hosts are to run."""
        return self.recorded["roster"]

    @cached_property
    def pairs(self) -> Pairs:
        """Who is a peer of whom."""
        return Pairs(self.roster)

    @cached_property
    def asked(self) -> tuple[str, ...]:
        """The hosts that are judged, sorted: a change that is pending is no fault of its host."""
        return tuple(sorted(self.facts.keys() - set(self.recorded["pending"])))

    def directions(self) -> Iterator[tuple[str, str]]:
        """Yield every direction (from, to) between hosts in which packets should go, also to dead ones."""
        pending = set(self.recorded["pending"])
        for host in self.asked:
            for peer in self.pairs.peers_of(host):
                if peer not in pending and self.pairs.should_answer(host, peer):
                    yield host, peer

    @cached_property
    def expected(self) -> frozenset[tuple[str, str]]:
        """The directions, to look one up."""
        return frozenset(self.directions())

    def answers(self, host: str, peer: str) -> bool:
        """Tell whether a ping from one to the other was answered."""
        measurement = self.measured.get(host, {}).get(peer)
        return measurement is not None and measurement.came > 0

    def kinds(self, host: str) -> set[str]:
        """Return the kinds of what a host itself found changed."""
        return {difference.kind for difference in self.facts[host].differences} if host in self.facts else set()

    def is_dead(self, host: str) -> bool:
        """Tell whether nothing can come from or to a host, as it says itself."""
        return bool({"absent", "down", "forgotten"} & self.kinds(host))

    @cached_property
    def silent(self) -> tuple[tuple[str, str], ...]:
        """The pairs of which a ping had no answer in one direction at least, though both hosts say that they run."""
        mute = {(min(pair), max(pair)) for pair in self.directions() if not self.answers(*pair)}
        return tuple(
            sorted(pair for pair in mute if set(pair) <= self.facts.keys() and not any(map(self.is_dead, pair)))
        )

    def to_probe(self, most: int) -> dict[str, list[str]]:
        """Return for each host the peers of its silent pairs, `most` at most; each pair for both its hosts."""
        wanted: dict[str, list[str]] = {}
        for one, other in self.silent:
            if max(len(wanted.get(host, ())) for host in (one, other)) < most:
                wanted.setdefault(one, []).append(other)
                wanted.setdefault(other, []).append(one)
        return wanted
