"""What a diagnosis is about: a mesh, or what concerns some of its hosts."""

from collections.abc import Collection
from dataclasses import dataclass

from mesh.doctor.answers import MeshAnswers
from mesh.doctor.causes import Finding
from mesh.doctor.diagnosis import diagnose

__all__ = ["Diagnosis", "diagnosis_of"]


@dataclass(frozen=True)
class Diagnosis:
    """What was found of a mesh, or of what concerns the hosts `only`, where there are any."""

    answers: MeshAnswers
    findings: tuple[Finding, ...]
    only: frozenset[str] = frozenset()

    @property
    def interface(self) -> str:
        """The mesh."""
        return self.answers.roster["interface"]

    @property
    def hosts(self) -> list[str]:
        """The hosts that it is about."""
        return [host for host in sorted(self.answers.roster["members"]) if not self.only or host in self.only]

    @property
    def absent(self) -> dict[str, str]:
        """Why any of these hosts could not be asked."""
        return {host: self.answers.absent[host] for host in self.hosts if host in self.answers.absent}

    @property
    def directions(self) -> list[tuple[str, str]]:
        """The directions that it is about, in which packets should go."""
        return [pair for pair in self.answers.directions() if not self.only or set(pair) & self.only]


def diagnosis_of(answers: MeshAnswers, only: Collection[str] = ()) -> Diagnosis:
    """Return what was found; of another host than those in `only`, what it is silent for is about them too."""
    whole = Diagnosis(answers, tuple(diagnose(answers)), frozenset(only))
    if not only:
        return whole
    silent_for = {end for pair in whole.directions if not answers.answers(*pair) for end in pair}

    def concerns(finding: Finding) -> bool:
        ends = {finding.host, finding.peer}
        return bool(ends & whole.only) or (not finding.peer and finding.host in silent_for)

    return Diagnosis(answers, tuple(filter(concerns, whole.findings)), whole.only)
