"""Read what hosts reply into values of fixed types; a reply that cannot be read is a failure of that host.

Each order has lines of known words, and each word a form. A line of another form or with an unknown word is a failure,
and so is a word that comes twice or is missing, since the program that replies is ours, by its digest. Only an order
that changes a host may have lines of other words, which the tools of its system print. `commands` bounds the size of
replies. Nothing here reaches a host.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeVar

from mesh.errors import HostError, HostsFailedError

__all__ = [
    "KEY",
    "NAME",
    "NOTHING_THERE",
    "Matches",
    "forms",
    "lines_of",
    "number_in",
    "read_all",
    "read_clock",
    "read_each",
    "read_lines",
    "read_pings",
    "read_proof",
    "read_running",
    "read_source",
    "read_survey",
    "read_system",
    "read_wiped",
    "require",
    "unreadable",
]

T = TypeVar("T")
Matches = dict[str, list[re.Match[str]]]
Forms = Mapping[str, re.Pattern[str]]

KEY = r"[A-Za-z0-9+/]{43}="
NAME = r"[A-Za-z0-9.-]{1,253}"
# What a host replies instead of taking orders, where it is only to be asked.
NOTHING_THERE = "has nothing of this mesh; run pulumi up --refresh"


def forms(**rests: str) -> Forms:
    """Return the form of a line by its first word, from what may follow that word."""
    return {word: re.compile(f"{word}{rest}", re.ASCII) for word, rest in rests.items()}


_PING = forms(ping=rf" ({NAME}) (none|\d{{1,7}}(?:\.\d{{1,6}})?)")
_CLOCK = re.compile(r"\d{1,12}(?:\.\d{1,3})?", re.ASCII)
_SOURCE = forms(source=r" ([0-9a-f:.]{2,45})")
_PROOF = forms(
    well=rf" ({NAME})",
    silent=rf" ({NAME})(?: (unresolved|unsent|unheard|unclear))?(?: [a-z]+)?",
    narrow=rf" ({NAME}) (\d{{1,5}})",
)  # fmt: skip
_SYSTEM = forms(
    system=r" ([a-z0-9_]{1,40}-linux)",
    init=r" ([a-z]{1,20})",
    firewall=r" ?([a-z ]{0,80})",
    wireguard=r" ([a-z]{1,20})",
)
_STAGED = forms(running=rf" (?:absent|({KEY}) (\d{{1,5}}))", confirmed=r" ([0-9a-z]{1,64})")
_WIPED = forms(wiped="", kept="")
_SURVEY = forms(key="", seen="")


def lines_of(text: str) -> list[str]:
    """Return the lines of what a command printed, which nothing but a line feed parts."""
    return text.removesuffix("\n").split("\n") if text else []


def unreadable(host: str, what: str, line: str) -> HostError:
    """Return the failure of a host whose answer to `what` has this `line`."""
    shown = f"{line[:60]}…" if len(line) > 60 else line
    return HostError(host, f"answers {what} with what cannot be read ({shown!r}); check what runs there")


def _incomplete(host: str, what: str, words: Iterable[str]) -> HostError:
    return HostError(host, f"answers {what} without {', '.join(sorted(words))}; check what runs there")


def read_lines(
    host: str, what: str, lines: Iterable[str], known: Forms, many: Collection[str] = (), *, works: bool = False
) -> Matches:
    """Return the lines by their word, each of which stands once unless it is one of `many`.

    Where the order `works`, lines with other words are its tools'.

    Raises:
        HostError: If a line has no `known` form; `what` names the answer.
    """
    found: Matches = {}
    for line in lines:
        word = line.partition(" ")[0]
        form = known.get(word)
        if works and form is None:
            continue
        match = form.fullmatch(line) if form else None
        if match is None:
            raise unreadable(host, what, line)
        if word in found and word not in many:
            raise unreadable(host, what, line)
        found.setdefault(word, []).append(match)
    return found


def require(host: str, what: str, found: Matches, words: Collection[str]) -> None:
    """Raise HostError if any of `words` was left out."""
    if missing := set(words) - found.keys():
        raise _incomplete(host, what, missing)


def number_in(host: str, what: str, match: re.Match[str], group: int, most: int) -> int:
    """Return a group of digits as a number; HostError if it is more than `most`."""
    number = int(match[group])
    if number > most:
        raise unreadable(host, what, match[0])
    return number


def read_each(
    replies: Mapping[str, list[str]], read: Callable[[str, list[str]], T]
) -> tuple[dict[str, T], dict[str, HostError]]:
    """Return what `read` makes of each host's lines, and the failure of each host whose lines it cannot read."""
    done: dict[str, T] = {}
    failures: dict[str, HostError] = {}
    for host, lines in replies.items():
        try:
            done[host] = read(host, lines)
        except HostError as error:
            failures[host] = error
    return done, failures


def read_all(replies: Mapping[str, list[str]], read: Callable[[str, list[str]], T]) -> dict[str, T]:
    """Do as `read_each` does, and return what was read.

    Raises:
        HostsFailedError: Naming each host whose lines cannot be read.
    """
    done, failures = read_each(replies, read)
    if failures:
        raise HostsFailedError({host: error.message for host, error in failures.items()})
    return done


def read_pings(host: str, lines: Iterable[str]) -> dict[str, float | None]:
    """Return after how many milliseconds each peer answered, None for one that did not."""
    pings: dict[str, float | None] = {}
    for match in read_lines(host, "ping", lines, _PING, {"ping"}).get("ping", ()):
        if match[1] in pings:
            raise unreadable(host, "ping", match[0])
        pings[match[1]] = None if match[2] == "none" else float(match[2])
    return pings


def read_clock(host: str, lines: Iterable[str]) -> float:
    """Return the seconds since the host's boot."""
    said = list(lines)
    if len(said) != 1 or not _CLOCK.fullmatch(said[0]):
        raise unreadable(host, "clock", said[0] if said else "")
    return float(said[0])


def read_proof(host: str, lines: Iterable[str], asked: Collection[str]) -> dict[str, str | int]:
    """Return by peer what became of its ping: `well`, `silent`, or how many bytes pass at most.

    Instead of `silent` stands what the host knows of it: `unresolved`, `unsent`, `unheard` or `unclear`. Each of
    the peers that were `asked` has to be there, and no other.
    """
    said: dict[str, str | int] = {}
    found = read_lines(host, "prove", lines, _PROOF, _PROOF.keys())
    for word, matches in found.items():
        for match in matches:
            if match[1] in said or match[1] not in asked:
                raise unreadable(host, "prove", match[0])
            if word == "narrow":
                said[match[1]] = number_in(host, "prove", match, 2, 65535)
            else:
                # Of two words, the first counts.
                said[match[1]] = word if word == "well" else match[2] or word
    if missing := set(asked) - said.keys():
        raise _incomplete(host, "prove", missing)
    return said


def read_source(host: str, lines: Iterable[str]) -> str:
    """Return the address from which the host answers a peer; empty where it does not tell."""
    found = read_lines(host, "source", lines, _SOURCE)
    return found["source"][0][1] if found else ""


def read_system(host: str, lines: Iterable[str]) -> dict[str, str]:
    """Return what `prepare` says of the host: system and, if it knows them, init, firewall and wireguard."""
    found = read_lines(host, "prepare", lines, _SYSTEM, works=True)
    require(host, "prepare", found, {"system"})
    return {word: matches[0][1] for word, matches in found.items()}


def read_running(host: str, lines: Iterable[str]) -> tuple[str, int]:
    """Return the public key and port that the host runs while the roster is staged; an empty key where it runs none."""
    found = read_lines(host, "stage", lines, _STAGED, works=True)
    require(host, "stage", found, _STAGED)
    match = found["running"][0]
    return (match[1], number_in(host, "stage", match, 2, 65535)) if match[1] else ("", 0)


def read_wiped(host: str, lines: Iterable[str]) -> bool:
    """Tell whether the host was wiped; False where its interface belongs to another mesh by now."""
    found = read_lines(host, "wipe", lines, _WIPED, works=True)
    if len(found) != 1:
        raise _incomplete(host, "wipe", ["wiped or kept"])
    return "wiped" in found


def read_survey(host: str, lines: Iterable[str]) -> bool:
    """Tell whether the host has a private key of the interface."""
    found = read_lines(host, "whether it has a key", lines, _SURVEY, {"key"})
    require(host, "whether it has a key", found, {"seen"})
    return "key" in found
