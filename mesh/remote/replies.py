"""What hosts reply, read into values of fixed types; a reply that is no such thing is that host's fault, and says so.

Each order has lines of known words, and each word a form. A line of another form or with an unknown word, a word that
comes twice or that is left out: none of them is passed over, since the program that replies is ours, by its digest.
How replies travel, and how large they may be, belongs to `commands`. Nothing here reaches a host.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_interface
from typing import TypeVar

from mesh.errors import HostError, HostsFailedError

__all__ = [
    "Facts",
    "Found",
    "Peer",
    "lines_of",
    "read_all",
    "read_clock",
    "read_each",
    "read_facts",
    "read_found",
    "read_pings",
    "read_proof",
    "read_running",
    "read_survey",
    "read_system",
    "read_wiped",
    "unreadable",
]

T = TypeVar("T")
Matches = dict[str, list[re.Match[str]]]
Forms = Mapping[str, re.Pattern[str]]

_KEY = r"[A-Za-z0-9+/]{43}="
# A link-local address has a zone, which is the name of an interface.
_ENDPOINT = r"(?:[0-9.]{7,15}|\[[0-9a-f:.]{2,45}(?:%[\w.@-]{1,15})?\]):\d{1,5}"
_PREFIX = r"[0-9a-f:.]{2,45}/\d{1,3}"
_NAME = r"[A-Za-z0-9.-]{1,253}"


def _forms(**forms: str) -> Forms:
    return {word: re.compile(f"{word}{form}", re.ASCII) for word, form in forms.items()}


_FACTS = _forms(
    confirmed=r" ?([0-9a-z]{0,64})",
    since=r" (\d{1,12})",
    mtu=r" (\d{1,10})",
    address=r" ([0-9a-f:./]{3,49})",
    preshared=r" ([0-9a-z]{1,64})",
    interface=rf" ({_KEY}) (\d{{1,5}})",
    differs=r" ([a-z-]{1,20}(?: [!-~]{1,300})?)",
    peer=rf" ({_KEY}) (\(none\)|{_ENDPOINT}) (\(none\)|{_PREFIX}(?:,{_PREFIX})*) (\d{{1,12}}) (\d{{1,20}}) (\d{{1,20}}) "
    r"(off|\d{1,5})",
)
_PING = _forms(ping=rf" ({_NAME}) (none|\d{{1,7}}(?:\.\d{{1,6}})?)")
_CLOCK = {"": re.compile(r"\d{1,12}(?:\.\d{1,3})?", re.ASCII)}
_PROOF = _forms(
    well=rf" ({_NAME})", silent=rf" ({_NAME})( unresolved)?", narrow=rf" ({_NAME}) (\d{{1,5}})"
)  # fmt: skip
_SYSTEM = _forms(
    system=r" ([a-z0-9_]{1,40}-linux)",
    init=r" ([a-z]{1,20})",
    firewall=r" ?([a-z ]{0,80})",
    wireguard=r" ([a-z]{1,20})",
)
_STAGED = _forms(running=rf" ({_KEY}|absent)", confirmed=r" ([0-9a-z]{1,64})")
_WIPED = _forms(wiped="", kept="")
_SURVEY = _forms(key="", seen="")
_PROCESSOR = re.compile(r"[a-z0-9_]{1,40}", re.ASCII)
# As `ip -o address show` prints it.
_LINK = re.compile(r"\d{1,9}: +\S{1,40} +(?:(inet6?) ([0-9a-f:./]{2,49})(?: .*)?|.*)", re.ASCII)
_LINK_MTU = re.compile(r"link-mtu ?(\d{1,10})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer as a host's kernel has it; `handshake` is in seconds since the epoch, 0 for never."""

    endpoint: str
    allowed_ips: str
    handshake: int
    received: int
    sent: int
    keepalive: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What one host runs; `since` is its last switch, `confirmed` names the plan that was confirmed last.

    `differences` are what the host itself found to be otherwise than it is wanted: what it forwards, its way to
    everywhere, and, if it was asked to audit, all that was confirmed. `preshared` is the salted digest of its
    preshared keys.
    """

    public_key: str = ""
    port: int = 0
    mtu: int = 0
    since: int = 0
    addresses: tuple[str, ...] = ()
    has_preshared_key: bool = True
    confirmed: str = ""
    peers: Mapping[str, Peer] = field(default_factory=dict)
    differences: tuple[str, ...] = ()
    preshared: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What a host knows of itself that is not in the stack file yet.

    `external_addresses` are its own that are routed on the internet, IPv4 first, and `link_mtu` is the least of the
    links by which it reaches others, in bytes; None if it cannot be told.
    """

    system: str
    external_addresses: tuple[str, ...] = ()
    link_mtu: int | None = None


def lines_of(text: str) -> list[str]:
    """Return the lines of what a command printed, which nothing but a line feed parts."""
    return text.removesuffix("\n").split("\n") if text else []


def unreadable(host: str, what: str, line: str) -> HostError:
    """Return the failure of a host in whose answer about `what` stands `line`."""
    shown = f"{line[:60]}…" if len(line) > 60 else line
    return HostError(host, f"answers {what} with what cannot be read ({shown!r}); look what runs there")


def _incomplete(host: str, what: str, words: Iterable[str]) -> HostError:
    return HostError(host, f"answers {what} without {', '.join(sorted(words))}; look what runs there")


def _read(host: str, what: str, lines: Iterable[str], forms: Forms, many: Collection[str] = ()) -> Matches:
    """Return the lines by their word, each of which stands once unless it is one of `many`."""
    found: Matches = {}
    for line in lines:
        form = forms.get(line.partition(" ")[0]) or forms.get("")
        match = form.fullmatch(line) if form else None
        if match is None:
            raise unreadable(host, what, line)
        word = line.partition(" ")[0] if "" not in forms else ""
        if word in found and word not in many:
            raise unreadable(host, what, line)
        found.setdefault(word, []).append(match)
    return found


def _require(host: str, what: str, found: Matches, words: Collection[str]) -> None:
    if missing := set(words) - found.keys():
        raise _incomplete(host, what, missing)


def _number(host: str, what: str, match: re.Match[str], group: int, most: int) -> int:
    number = int(match[group])
    if number > most:
        raise unreadable(host, what, match[0])
    return number


def read_each(
    replies: Mapping[str, list[str]], read: Callable[[str, list[str]], T]
) -> tuple[dict[str, T], dict[str, HostError]]:
    """Return what `read` makes of each host's lines, and the failure of each of whose it makes nothing."""
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


def read_facts(host: str, lines: Iterable[str], expected: str | None, order: str = "facts") -> Facts:
    """Return the reply to the order `facts` or `audit`.

    `expected` is the salted digest of the preshared keys that the host should have; None for any.
    """
    found = _read(host, order, lines, _FACTS, {"address", "differs", "peer"})
    differences = tuple(match[1] for match in found.get("differs", ()))
    if order == "audit" and {"absent", "down"} & set(differences):
        return Facts(differences=differences)
    _require(host, order, found, {"confirmed", "since", "mtu", "interface"})
    peers: dict[str, Peer] = {}
    for match in found.get("peer", ()):
        _, endpoint, allowed, handshake, received, sent, keepalive = match.groups()
        if match[1] in peers:
            raise unreadable(host, order, match[0])
        peers[match[1]] = Peer(endpoint, allowed, int(handshake), int(received), int(sent), keepalive)
    if peers:
        _require(host, order, found, {"preshared"})
    addresses = tuple(match[1] for match in found.get("address", ()) if _interface(host, order, match[1], match[0]))
    preshared = found["preshared"][0][1] if "preshared" in found else ""
    (interface,) = found["interface"]
    return Facts(
        public_key=interface[1],
        port=_number(host, order, interface, 2, 65535),
        mtu=_number(host, order, found["mtu"][0], 1, 2**31 - 1),
        since=int(found["since"][0][1]),
        addresses=addresses,
        # Without a peer there is no preshared key in the kernel to be wrong.
        has_preshared_key=expected in (None, preshared) or not peers,
        confirmed=found["confirmed"][0][1],
        peers=peers,
        differences=differences,
        preshared=preshared,
    )


def _interface(host: str, what: str, text: str, line: str) -> IPv4Interface | IPv6Interface:
    try:
        return ip_interface(text)
    except ValueError:
        raise unreadable(host, what, line) from None


def read_pings(host: str, lines: Iterable[str]) -> dict[str, float | None]:
    """Return after how many milliseconds each peer answered, None for one that did not."""
    pings: dict[str, float | None] = {}
    for match in _read(host, "ping", lines, _PING, {"ping"}).get("ping", ()):
        if match[1] in pings:
            raise unreadable(host, "ping", match[0])
        pings[match[1]] = None if match[2] == "none" else float(match[2])
    return pings


def read_clock(host: str, lines: Iterable[str]) -> float:
    """Return the seconds since the host's boot."""
    found = _read(host, "clock", lines, _CLOCK)
    if not found:
        raise _incomplete(host, "clock", ["its seconds"])
    return float(found[""][0][0])


def read_proof(host: str, lines: Iterable[str], asked: Collection[str]) -> dict[str, str | int]:
    """Return by peer what became of its ping: `well`, `silent`, `unresolved`, or how many bytes pass at most.

    Each of the peers that were `asked` has to be there, and no other.
    """
    said: dict[str, str | int] = {}
    found = _read(host, "prove", lines, _PROOF, _PROOF.keys())
    for word, matches in found.items():
        for match in matches:
            if match[1] in said or match[1] not in asked:
                raise unreadable(host, "prove", match[0])
            if word == "narrow":
                said[match[1]] = _number(host, "prove", match, 2, 65535)
            else:
                said[match[1]] = "unresolved" if match[0].endswith(" unresolved") else word
    if missing := set(asked) - said.keys():
        raise _incomplete(host, "prove", missing)
    return said


def read_system(host: str, lines: Iterable[str]) -> dict[str, str]:
    """Return what `prepare` says of the host: system and, if it knows them, init, firewall and wireguard."""
    found = _read(host, "prepare", lines, _SYSTEM)
    _require(host, "prepare", found, {"system"})
    return {word: matches[0][1] for word, matches in found.items()}


def read_running(host: str, lines: Iterable[str]) -> str:
    """Return the public key that the host runs while the roster is staged, or `absent`."""
    found = _read(host, "stage", lines, _STAGED)
    _require(host, "stage", found, _STAGED)
    return found["running"][0][1]


def read_wiped(host: str, lines: Iterable[str]) -> bool:
    """Tell whether the host was wiped; False where what it has belongs to somebody else by now."""
    found = _read(host, "wipe", lines, _WIPED)
    if len(found) != 1:
        raise _incomplete(host, "wipe", ["wiped or kept"])
    return "wiped" in found


def read_survey(host: str, lines: Iterable[str]) -> bool:
    """Tell whether the host has a private key of the interface."""
    found = _read(host, "whether it has a key", lines, _SURVEY, {"key"})
    _require(host, "whether it has a key", found, {"seen"})
    return "key" in found


def read_found(host: str, lines: Iterable[str]) -> Found:
    """Return what a host that `scan` asks says: its processor, its addresses as `ip` prints them, and link MTUs."""
    what = "its system and addresses"
    processor, *rest = [*lines] or [""]
    if not _PROCESSOR.fullmatch(processor):
        raise unreadable(host, what, processor)
    addresses: list[IPv4Address | IPv6Address] = []
    sizes: list[int] = []
    for line in rest:
        if size := _LINK_MTU.fullmatch(line):
            sizes.extend([int(size[1])] if size[1] else [])
        elif link := _LINK.fullmatch(line):
            # A temporary address is gone tomorrow, and a deprecated one sooner.
            if link[2] and not {"temporary", "deprecated"} & set(line.split()):
                addresses.append(_interface(host, what, link[2], line).ip)
        else:
            raise unreadable(host, what, line)
    external = sorted((own for own in addresses if own.is_global and not own.is_multicast), key=lambda own: own.version)
    return Found(f"{processor}-linux", tuple(dict.fromkeys(map(str, external))), min(sizes, default=None))
