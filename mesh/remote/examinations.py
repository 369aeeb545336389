"""Read what hosts reply to the orders of a diagnosis: facts, pings, and how far packets come."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)

from mesh.remote.replies import KEY, NAME, forms, read_lines, require, unreadable

__all__ = [
    "Drop",
    "Examination",
    "Measurement",
    "Probe",
    "SessionTraffic",
    "read_examination",
    "read_measurements",
    "read_probe",
]

_DEVICE = r"[!-~]{1,15}"
_ADDRESS = r"[0-9a-f:.]{2,45}"
_PREFIX = rf"({_ADDRESS}(?:/\d{{1,3}})?)"
_TIME = r"\d{1,7}(?:\.\d{1,6})?"
_EXAMINED = forms(
    clock=r" (\d{1,12})",
    own=rf" ({_DEVICE}) {_PREFIX}",
    other=rf" ({_DEVICE}) {_PREFIX}",
    preshared=rf" ({KEY}) ([0-9a-f]{{64}}|none)",
    **{"ipv6-off": r" ([!-~]{1,15})"},
    listens=r" ([\w.+-]{1,40}) (\d{1,10})",
    name=r" ([!-~]{1,260}) (\[[0-9a-f:.]{2,45}\]|[0-9.]{7,15}):(\d{1,5})",
)
_MEASURED = forms(measured=rf" ({NAME}) (\d{{1,4}}) (\d{{1,4}}) (?:- - -|({_TIME}) ({_TIME}) ({_TIME})) (\d{{1,5}})")
_WORD = r"out|sent|in|got|moved|(?:ask|reply)(?:-sent|-in|-got)?"
_PROBED = forms(
    count=rf" ({_WORD}) ({NAME}) (\d{{1,20}})",
    drops=rf" (udp|echo-request|echo-reply|other) (-|{_ADDRESS}) (-|{_ADDRESS})"
    r" ([a-z0-9]{1,10}|ip6?-legacy) ([!-~]{1,100}) ([!-~]{1,100}) ([ -~]{1,200})",
    route=rf" ({NAME}) ({_DEVICE}) (-|{_ADDRESS})",
    inner=rf" ({NAME}) ({_DEVICE})",
    session=rf" ({NAME}) (never|-?\d{{1,12}}) (\d{{1,20}}) (\d{{1,20}})",
    uncounted="",
    **{"reverse-path": r" (-?\d{1,20})"},
)
_MANY = ("own", "other", "preshared", "ipv6-off", "listens", "name")

Prefixes = tuple[tuple[str, IPv4Network | IPv6Network], ...]


@dataclass(frozen=True, slots=True)
class Examination:
    """What one host says of itself; `clock` is in seconds since the epoch.

    `own` are addresses of other interfaces and `others` the prefixes that go there, each with the interface.
    `preshared` is a salted digest for each peer, by public key, `none` without one. `names` has the address to which
    each name leads, by the name with its port. `listens` are programs that have the mesh's port, with their process, 0
    if that is not known.
    """

    clock: int
    own: tuple[tuple[str, IPv4Interface | IPv6Interface], ...] = ()
    others: Prefixes = ()
    preshared: Mapping[str, str] = field(default_factory=dict)
    ipv6_off: tuple[str, ...] = ()
    listens: tuple[tuple[str, int], ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measurement:
    """The pings from a host to one peer; times are in milliseconds.

    `largest` is the size in bytes of the largest packet inside the tunnel that is answered, 0 if none is.
    """

    sent: int
    came: int
    least: float | None
    mean: float | None
    most: float | None
    largest: int


@dataclass(frozen=True, slots=True)
class Drop:
    """A rule that dropped a packet, as netfilter names it; `source` and `target` are empty where it is not known."""

    kind: str
    source: str
    target: str
    place: str
    rule: str


@dataclass(frozen=True, slots=True)
class SessionTraffic:
    """What WireGuard had with a peer during a probe: bytes, and the seconds since a handshake, None for never."""

    age: int | None
    received: int
    sent: int


@dataclass(frozen=True, slots=True)
class Probe:
    """How far packets came on one host while silent pairs were pinged.

    `counts` is by word and peer, and empty if nothing could be `counted`. `routes` is by peer the interface and the
    source of messages to it, the interface being `none` without a route; `inner` is that of what goes to its address.
    """

    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    drops: tuple[Drop, ...] = ()
    routes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    inner: Mapping[str, str] = field(default_factory=dict)
    sessions: Mapping[str, SessionTraffic] = field(default_factory=dict)
    counted: bool = False
    reverse_path: int = 0


def read_examination(host: str, lines: Iterable[str]) -> Examination:
    """Return the reply to `examine`.

    Raises:
        HostError: If it cannot be read.
    """
    found = read_lines(host, "examine", lines, _EXAMINED, _MANY)
    require(host, "examine", found, {"clock"})
    try:
        own = tuple((match[1], ip_interface(match[2])) for match in found.get("own", ()))
        others = tuple((match[1], ip_network(match[2], strict=False)) for match in found.get("other", ()))
    except ValueError:
        raise unreadable(host, "examine", "an address that is none") from None
    return Examination(
        clock=int(found["clock"][0][1]),
        own=own,
        others=others,
        preshared={match[1]: match[2] for match in found.get("preshared", ())},
        ipv6_off=tuple(match[1] for match in found.get("ipv6-off", ())),
        listens=tuple((match[1], int(match[2])) for match in found.get("listens", ())),
        names={match[1]: str(_address(host, match)) for match in found.get("name", ())},
    )


def _address(host: str, match: re.Match[str]) -> IPv4Address | IPv6Address:
    try:
        return ip_address(match[2].strip("[]"))
    except ValueError:
        raise unreadable(host, "examine", match[0]) from None


def read_measurements(host: str, lines: Iterable[str]) -> dict[str, Measurement]:
    """Return the reply to `measure`, by peer.

    Raises:
        HostError: If it cannot be read, or names a peer twice.
    """
    measured: dict[str, Measurement] = {}
    for match in read_lines(host, "measure", lines, _MEASURED, {"measured"}).get("measured", ()):
        sent, came, largest = int(match[2]), int(match[3]), int(match[7])
        if match[1] in measured or came > sent or (came == 0) != (match[4] is None):
            raise unreadable(host, "measure", match[0])
        least, mean, most = (None if text is None else float(text) for text in match.group(4, 5, 6))
        measured[match[1]] = Measurement(sent, came, least, mean, most, largest)
    return measured


def read_probe(host: str, lines: Iterable[str]) -> Probe:
    """Return the reply to `probe`.

    Raises:
        HostError: If it cannot be read, or counts a thing twice.
    """
    found = read_lines(host, "probe", lines, _PROBED, {"count", "drops", "route", "inner", "session"})
    once: set[tuple[str, ...]] = set()
    for word, keys in (("count", (1, 2)), ("route", (1,)), ("inner", (1,)), ("session", (1,))):
        for match in found.get(word, ()):
            key = (word, *(match[group] for group in keys))
            if key in once:
                raise unreadable(host, "probe", match[0])
            once.add(key)
    return Probe(
        counts={(match[1], match[2]): int(match[3]) for match in found.get("count", ())},
        drops=tuple(
            Drop(match[1], match[2].strip("-"), match[3].strip("-"), f"{match[4]} {match[5]} {match[6]}", match[7])
            for match in found.get("drops", ())
        ),
        routes={match[1]: (match[2], match[3].strip("-")) for match in found.get("route", ())},
        inner={match[1]: match[2] for match in found.get("inner", ())},
        sessions={
            match[1]: SessionTraffic(None if match[2] == "never" else int(match[2]), int(match[3]), int(match[4]))
            for match in found.get("session", ())
        },
        counted="count" in found and "uncounted" not in found,
        reverse_path=max(0, int(found["reverse-path"][0][1])) if "reverse-path" in found else 0,
    )
