"""The failures that are expected, in words that a user can act on.

    MeshError                    everything that this package raises on purpose
    ├── ConfigurationError       the stack file, or what is imported; carries every fault at once
    ├── InvalidKeyError          a text that should have been a WireGuard key
    ├── HostError                one host, named
    │   └── UnreachableHostError a host that does not answer SSH
    └── HostsFailedError         several hosts, a line for each

Every message reads `<where>: <what is wrong>; <what to do>` and holds no secret value.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

__all__ = [
    "MOST_SHOWN",
    "ConfigurationError",
    "HostError",
    "HostsFailedError",
    "InvalidKeyError",
    "MeshError",
    "PlacedFault",
    "UnreachableHostError",
    "is_showable",
    "join_failures",
    "show_first",
    "show_name",
    "visible",
]

# How many names a message holds, such as those of hosts that share a fault.
MOST_SHOWN = 20

_LONGEST_MESSAGE = 2000

_SHOWABLE_NAME = re.compile(r"[ -~]{0,40}")


def visible(text: str) -> str:
    """Return `text` as one line that a terminal only shows: control characters are written as Python writes them.

    A host may say anything, so what it says passes here before anybody sees it.
    """
    # The engine takes this for the beginning of one of its colours, and dies of one that it does not know.
    text = text.replace("<{%", "<{\\x25")
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


class MeshError(Exception):
    """A failure that is explained to the user without a stack trace, in lines that a terminal only shows."""

    def __init__(self, message: str) -> None:
        """Keep the message, which may hold what a host says."""
        super().__init__("\n".join(map(visible, message.split("\n"))))


@dataclass(frozen=True, slots=True)
class PlacedFault:
    """What is wrong at a place in a file, and what to do.

    In the stack file, `place` is spelled as `pulumi config set --path` takes it. In what is imported it is a file, with
    its line and the setting there if these are known, such as `bernard/wg0.conf:4: Address`, or an option.
    """

    place: str
    words: str

    def __str__(self) -> str:
        """Return the fault as a line."""
        return f"{self.place}: {self.words}"


class ConfigurationError(MeshError):
    """The stack file, or what is imported into it, cannot be used; `faults` holds one line for each reason."""

    def __init__(self, faults: Iterable[PlacedFault], what: str = "stack configuration") -> None:
        """Keep the faults of `what`, each worded `<what is wrong>; <what to do>`; `placed` as they came."""
        self.placed = tuple(faults)
        self.faults: tuple[str, ...] = tuple(map(str, self.placed))
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__("\n".join([f"{what}: {count} to correct", *(f"  {line}" for line in self.faults)]))


class InvalidKeyError(MeshError):
    """A text is no WireGuard key; the message never repeats the text."""


class HostError(MeshError):
    """Something failed on one host; `host` is its name in the stack file and `message` is the rest, one line."""

    def __init__(self, host: str, message: str) -> None:
        """Keep the host's name apart from the message, so that failures can be listed by host.

        The message may hold what the host says.
        """
        self.host = host
        self.message = visible(message[:_LONGEST_MESSAGE])
        super().__init__(f"host {host!r}: {self.message}")

    def __reduce__(self) -> tuple[type["HostError"], tuple[str, str]]:
        """Return what rebuilds the error, since the default would pass the joined text as the host."""
        return type(self), (self.host, self.message)


class UnreachableHostError(HostError):
    """A host does not answer SSH in time, or not as the host that the stack file names."""


class HostsFailedError(MeshError):
    """Something failed on one or more hosts; `failures` holds the reason by host name."""

    def __init__(self, failures: Mapping[str, str], outcome: str = "") -> None:
        """Keep the failures; `outcome` says what became of the run."""
        self.failures = {host: visible(message) for host, message in failures.items()}
        self.outcome = outcome
        lines = [f"host {host!r}: {message}" for host, message in sorted(self.failures.items())]
        super().__init__("\n  ".join([outcome, *lines]) if outcome else "\n".join(lines))

    def __reduce__(self) -> tuple[type["HostsFailedError"], tuple[dict[str, str], str]]:
        """Return what rebuilds the error, since the default would pass the joined text as the failures."""
        return type(self), (self.failures, self.outcome)


def join_failures(errors: Iterable[HostsFailedError]) -> HostsFailedError:
    """Return one error for all hosts that failed at one time; of one that failed twice, the first tells most."""
    failures: dict[str, str] = {}
    outcomes = []
    for error in errors:
        failures = {**error.failures, **failures}
        outcomes.append(error.outcome)
    return HostsFailedError(failures, "\n".join(filter(None, outcomes)))


def is_showable(name: str) -> bool:
    """Tell whether a text from a file can stand in a message; a key pasted in the place of a name is longer."""
    return _SHOWABLE_NAME.fullmatch(name) is not None


def show_name(name: object) -> str:
    """Return `name` quoted for a message, or only its kind when it is too long or odd to be a name."""
    if isinstance(name, str) and is_showable(name):
        return repr(name)
    return f"<{len(name)} characters, not shown>" if isinstance(name, str) else f"<{type(name).__name__}>"


def show_first(names: Sequence[str], most: int = MOST_SHOWN) -> str:
    """Return names as a text, of many the first `most` and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
