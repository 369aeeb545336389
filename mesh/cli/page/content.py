"""What is on the page, as plain data: all that is known of each host and each pair, at one moment.

Texts may come from hosts, and are only data here: `every_text` passes each of them through what makes it showable or
takes names out. What is marked as a word of ours stays.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar, cast

__all__ = ["NO_PAIR", "PAIR_STATES", "Direction", "Page", "PageFinding", "PageHost", "PageMesh", "every_text"]

# By the letter that a matrix has for it.
PAIR_STATES = {
    "u": "up", "r": "relayed", "s": "silent", "k": "unknown", "c": "cannot-meet", "m": "not-managed",
}  # fmt: skip
NO_PAIR = "."

T = TypeVar("T")


def _ours(default: Any = "") -> Any:
    return field(default=default, metadata={"ours": True})


@dataclass(frozen=True, slots=True)
class PageFinding:
    """What doctor found, in its words; `code` is empty for what only the comparison with the state tells."""

    host: str
    peer: str
    words: str
    evidence: tuple[str, ...] = ()
    repair: str = ""
    code: str = _ours()
    title: str = _ours()


@dataclass(frozen=True, slots=True)
class PageHost:
    """A host, or an unmanaged peer, whose `state` is not-managed; `notes` are all that is known of it, with labels.

    `key_days` is how old its key is, and `key_left` for how long it is good, in days; None if that is not known.
    """

    name: str
    address: str
    endpoint: str
    site: str
    tags: tuple[str, ...]
    notes: tuple[tuple[str, str], ...]
    state: str = _ours()
    key_days: int | None = None
    key_left: int | None = None


@dataclass(frozen=True, slots=True)
class Direction:
    """A pair as its first host sees it; `age` is that of the latest handshake in seconds, None for never.

    Of `pings` that were sent, `came` were answered, within milliseconds, and `largest` is the largest packet that is.
    """

    endpoint: str = ""
    age: int | None = None
    received: int = 0
    sent: int = 0
    pings: int = 0
    came: int = 0
    least: float | None = None
    mean: float | None = None
    most: float | None = None
    largest: int = 0


@dataclass(frozen=True, slots=True)
class PageMesh:
    """A mesh: its participants, those of one site together, and what each host sees of each of them.

    `states` has a letter for each participant, in a text for each host; `directions` has the rest.
    """

    interface: str
    mtu: int
    findings: tuple[PageFinding, ...]
    not_wiped: tuple[str, ...]
    hosts: tuple[PageHost, ...]
    states: tuple[str, ...] = _ours(())
    directions: tuple[tuple[Direction | None, ...], ...] = ()
    changed: str = _ours()
    preshared_left: int | None = None

    @property
    def members(self) -> tuple[PageHost, ...]:
        """The hosts that are managed; they come first."""
        return tuple(host for host in self.hosts if host.state != "not-managed")

    @property
    def is_well(self) -> bool:
        """Whether nothing was found, and every host is as it should be."""
        return not self.findings and all(host.state in ("up", "pending") for host in self.members)

    def count(self, letters: str) -> int:
        """Return how many directions have one of these states."""
        return sum(row.count(letter) for row in self.states for letter in letters)


@dataclass(frozen=True, slots=True)
class Page:
    """All meshes of a stack; `made` is in RFC 3339."""

    stack: str
    meshes: tuple[PageMesh, ...]
    made: str = _ours()

    @property
    def is_well(self) -> bool:
        """Whether every mesh is."""
        return all(mesh.is_well for mesh in self.meshes)


def every_text(value: T, change: Callable[[str], str]) -> T:
    """Return a value with every text in it changed, except the words that are ours."""
    if isinstance(value, str):
        return cast("T", change(value))
    if isinstance(value, tuple):
        return cast("T", tuple(every_text(item, change) for item in value))
    if is_dataclass(value) and not isinstance(value, type):
        own = [each.name for each in fields(value) if not each.metadata.get("ours")]
        return replace(value, **{name: every_text(getattr(value, name), change) for name in own})
    return value
