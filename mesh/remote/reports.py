"""Read what hosts report of themselves, by the rules of `replies`: what their kernels run, and what `scan` asks for."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_interface
from typing import NamedTuple

from mesh.remote.replies import KEY, Matches, forms, number_in, read_lines, require, unreadable

__all__ = ["Device", "Difference", "Facts", "Found", "PeerFacts", "read_facts", "read_found"]

# A link-local address has a zone, which is the name of an interface.
_ENDPOINT = r"(?:[0-9.]{7,15}|\[[0-9a-f:.]{2,45}(?:%[\w.@-]{1,15})?\]):\d{1,5}"
_PREFIX = r"[0-9a-f:.]{2,45}/\d{1,3}"
_FACTS = forms(
    confirmed=r" ?([0-9a-z]{0,64})",
    mtu=r" (\d{1,10})",
    address=r" (\S{1,49})",
    preshared=r" ([0-9a-z]{1,64})",
    interface=rf" ({KEY}) (\d{{1,5}})",
    stale=rf" ({KEY})",
    differs=r" ([a-z-]{1,20})(?: ([!-~]{1,300}))?",
    peer=rf" ({KEY}) (\(none\)|{_ENDPOINT}) (\(none\)|{_PREFIX}(?:,{_PREFIX})*)"
    r" (\d{1,12}) (\d{1,20}) (\d{1,20}) (off|\d{1,5})",
)
# What only `status` tells more.
_STATUS = {
    **_FACTS,
    **forms(
        program=r" ([0-9a-f]{16})",
        wireguard=r" (kernel|userspace)",
        packets=r" (\d{1,20}) (\d{1,20})",
        age=r" (\d{1,12})",
    ),
}
_PROCESSOR = re.compile(r"[a-z0-9_]{1,40}", re.ASCII)
# As `ip -o address show` prints it: a number, a link, the kind of address, the address.
_LINK = re.compile(r"\d{1,9}: +\S{1,40} +(\S+)(?: +(\S+))?.*", re.ASCII)
_ADDRESS = re.compile(r"[0-9a-f:./]{2,49}", re.ASCII)
_LINK_MTU = re.compile(r"link-mtu ?(\d{1,10})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class PeerFacts:
    """One peer as a host's kernel has it; `handshake` is in seconds since the epoch, 0 for never."""

    endpoint: str
    allowed_ips: str
    handshake: int
    received: int
    sent: int
    keepalive: str


class Difference(NamedTuple):
    """A thing that a host finds changed: its kind, such as `edited`, and which one, such as the path of a file."""

    kind: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """What an interface is: `wireguard` is kernel or userspace, and packets in the tunnel were `received` and `sent`.

    `program` names the version of the host program that boots there, empty without one. The interface is `age` seconds
    old, None where the host does not know.
    """

    wireguard: str
    received: int
    sent: int
    program: str = ""
    age: int | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What one host runs; `confirmed` names the plan that was confirmed last.

    With the peers whose keys are in `stale` it has had no handshake since its last switch began.
    `differences` are what the host itself found changed: what it forwards, its default route, and, if it was asked to
    audit, all that was confirmed. `preshared` is the salted digest of its preshared keys. `device` only `status` tells.
    """

    public_key: str = ""
    port: int = 0
    mtu: int = 0
    addresses: tuple[str, ...] = ()
    has_preshared_key: bool = True
    confirmed: str = ""
    peers: Mapping[str, PeerFacts] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    preshared: str = ""
    stale: frozenset[str] = frozenset()
    device: Device | None = None

    @property
    def is_gone(self) -> bool:
        """Whether its interface is missing or set down, so that it runs nothing."""
        return bool({"absent", "down"} & {difference.kind for difference in self.differences})


@dataclass(frozen=True, slots=True)
class Found:
    """What a host knows of itself that is not in the stack file yet.

    `external_addresses` are its own that are routed on the internet, IPv4 first, and `link_mtu` is the least of the
    links by which it reaches others, in bytes; None if it cannot be told.
    """

    system: str
    external_addresses: tuple[str, ...] = ()
    link_mtu: int | None = None


def read_facts(host: str, lines: Iterable[str], expected: str | None, order: str = "facts") -> Facts:
    """Return the reply to the order `facts`, `audit` or `status`.

    `expected` is the salted digest of the preshared keys that the host should have; None for any.
    """
    is_status = order == "status"
    found = read_lines(host, order, lines, _STATUS if is_status else _FACTS, {"address", "differs", "peer", "stale"})
    differences = tuple(Difference(match[1], match[2] or "") for match in found.get("differs", ()))
    if (gone := Facts(differences=differences)).is_gone and order != "facts":
        return gone
    more = {"wireguard", "packets"} if is_status else set()
    require(host, order, found, {"confirmed", "mtu", "interface", *more})
    peers: dict[str, PeerFacts] = {}
    for match in found.get("peer", ()):
        _, endpoint, allowed, handshake, received, sent, keepalive = match.groups()
        if match[1] in peers:
            raise unreadable(host, order, match[0])
        peers[match[1]] = PeerFacts(endpoint, allowed, int(handshake), int(received), int(sent), keepalive)
    if peers:
        require(host, order, found, {"preshared"})
    addresses = tuple(match[1] for match in found.get("address", ()) if _interface(host, order, match[1], match[0]))
    preshared = found["preshared"][0][1] if "preshared" in found else ""
    (interface,) = found["interface"]
    return Facts(
        public_key=interface[1],
        port=number_in(host, order, interface, 2, 65535),
        mtu=number_in(host, order, found["mtu"][0], 1, 2**31 - 1),
        addresses=addresses,
        # Without a peer there is no preshared key in the kernel to be wrong.
        has_preshared_key=expected in (None, preshared) or not peers,
        confirmed=found["confirmed"][0][1],
        peers=peers,
        differences=differences,
        preshared=preshared,
        stale=frozenset(match[1] for match in found.get("stale", ())),
        device=_device(found) if is_status else None,
    )


def _device(found: Matches) -> Device:
    (packets,) = found["packets"]
    return Device(
        wireguard=found["wireguard"][0][1],
        received=int(packets[1]),
        sent=int(packets[2]),
        program=found["program"][0][1] if "program" in found else "",
        age=int(found["age"][0][1]) if "age" in found else None,
    )


def _interface(host: str, what: str, text: str, line: str) -> IPv4Interface | IPv6Interface:
    try:
        # `ipaddress` takes any text at all for the zone of an IPv6 address.
        if _ADDRESS.fullmatch(text):
            return ip_interface(text)
    except ValueError:
        pass
    raise unreadable(host, what, line)


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
            if link[1] in {"inet", "inet6"} and not {"temporary", "deprecated"} & set(line.split()):
                addresses.append(_interface(host, what, link[2] or "", line).ip)
        else:
            raise unreadable(host, what, line)
    external = sorted((own for own in addresses if own.is_global and not own.is_multicast), key=lambda own: own.version)
    return Found(f"{processor}-linux", tuple(dict.fromkeys(map(str, external))), min(sizes, default=None))
