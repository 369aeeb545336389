"""Read a configuration as `wg-quick` takes it and `wg showconf` prints it, or say everything that is wrong with it.

Nothing here touches a file or a host, and no fault repeats a value, since any may be a key.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_interface, ip_network
from typing import Any

from mesh.errors import ConfigurationError, show_name
from mesh.wireguard.keys import is_key, public_key_of

__all__ = ["NO_PRESHARED_KEY", "Endpoint", "Peer", "Setting", "WgQuick", "read_settings", "read_wg_quick"]

NO_PRESHARED_KEY = "A" * 43 + "="

Address = IPv4Interface | IPv6Interface
Network = IPv4Network | IPv6Network
Endpoint = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Peer:
    """One [Peer]; `preshared_key` and `endpoint` are None where there is none, `keepalive` is in seconds, 0 for off.

    `name` is what a comment beside it calls it, as many hands and tools do; empty where none does.
    """

    public_key: str
    preshared_key: str | None = field(default=None, repr=False)
    allowed_ips: tuple[Network, ...] = ()
    endpoint: Endpoint | None = None
    keepalive: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class WgQuick:
    """One configuration; `others` are its settings that have no place in a mesh, such as PostUp or DNS."""

    private_key: str | None = field(repr=False)
    addresses: tuple[Address, ...]
    port: int | None
    mtu: int | None
    peers: tuple[Peer, ...]
    others: tuple[str, ...]

    @property
    def public_key(self) -> str | None:
        """What its peers know it by; None without a private key."""
        return public_key_of(self.private_key) if self.private_key else None

    @property
    def preshared_keys(self) -> set[str | None]:
        """Every preshared key of its peers, with None for the peers that have none."""
        return {peer.preshared_key for peer in self.peers}


def _key(text: str) -> str:
    if not is_key(text):
        raise ValueError("not a WireGuard key; give 44 characters of base64, as wg prints them")
    return text


def _preshared_key(text: str) -> str | None:
    return None if text == NO_PRESHARED_KEY else _key(text)


def _number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
            raise ValueError(f"not usable; give a whole number from {least} to {most}")
        return int(text)

    return read


_port = _number(0, 65535)


def _keepalive(text: str) -> int:
    return 0 if text.lower() == "off" else _number(0, 65535)(text)


def _each(read: Callable[[str], Any], what: str) -> Callable[[str], tuple[Any, ...]]:
    def read_all(text: str) -> tuple[Any, ...]:
        try:
            return tuple(read(word.strip()) for word in text.split(",") if word.strip())
        except ValueError:
            raise ValueError(f"not usable; give {what}, separated by commas") from None

    return read_all


def _endpoint(text: str) -> Endpoint:
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError("not usable; give an address and a port, such as 78.11.11.11:51820 or [2001:db8::1]:51820")
    return host.removeprefix("[").removesuffix("]"), _number(1, 65535)(port)


_INTERFACE: dict[str, Callable[[str], Any]] = {
    "privatekey": _key,
    "address": _each(ip_interface, "addresses with their prefix length"),
    "listenport": _port,
    "mtu": _number(0, 2**16),
}
_PEER: dict[str, Callable[[str], Any]] = {
    "publickey": _key,
    "presharedkey": _preshared_key,
    "allowedips": _each(lambda word: ip_network(word, strict=False), "addresses with their prefix length"),
    "endpoint": _endpoint,
    "persistentkeepalive": _keepalive,
}
# These say what is so without them.
_DEFAULTS = {("table", "auto"), ("saveconfig", "false"), ("fwmark", "off"), ("fwmark", "0"), ("fwmark", "0x0")}
_OTHERS = {
    name.lower(): name
    for name in ("DNS", "Table", "PreUp", "PostUp", "PreDown", "PostDown", "SaveConfig", "FwMark")
}  # fmt: skip

# In these a setting that is repeated adds to the one before.
_LISTS = {"address", "allowedips"}

# A comment with the name of a peer: `phone`, `Name = phone`, `Client: phone (8f0c)`, `begin phone`. An address is none.
_NAME = re.compile(
    r"(?:(?:friendly_)?name\s*[:=]|client\b\s*:?|begin\b)?\s*([a-z0-9.-]*[a-z][a-z0-9.-]*)(?:\s*\(.*\))?", re.IGNORECASE
)

Section = dict[str, Any]
# Where it stands, its name and its value.
Setting = tuple[str, str, str]


def read_wg_quick(text: str, where: str) -> WgQuick:
    """Return the configuration in `text`; `where` names it in faults.

    Raises:
        ConfigurationError: With every fault and its line.
    """
    return read_settings(_settings(text, where), where)


def _settings(text: str, where: str) -> Iterator[Setting]:
    # A comment belongs to what it stands right above, or beside.
    above = ""
    for number, line in enumerate(text.splitlines(), 1):
        setting, _, comment = line.partition("#")
        # No name is longer, and what is longer costs the square of its length.
        called = _NAME.fullmatch(comment.strip("# \t")) if len(comment) <= 300 else None
        # What is no name, such as a peer that was taken out by #, hides the one above it, which was its own.
        above = (called[1] if called else "") or (above if setting.strip() else "")
        name, equals, value = setting.partition("=")
        if not name.strip():
            continue
        place = f"{where}:{number}"
        settings = [(place, name.strip(), value.strip() if equals else ""), (place, "#", above)]
        yield from settings if name.strip().startswith("[") else reversed(settings)
        above = ""


def read_settings(settings: Iterable[Setting], where: str) -> WgQuick:
    """Return the configuration that `settings` make, with `[Interface]`, `[Peer]` and `#` among their names.

    Raises:
        ConfigurationError: With every fault and its place.
    """
    interface: Section = {}
    peers: list[Section] = []
    section: tuple[Mapping[str, Callable[[str], Any]], Section] | None = None
    others: list[str] = []
    faults: list[str] = []
    for place, name, value in settings:
        known = name.lower()
        if known == "[interface]":
            section = _INTERFACE, interface
        elif known == "[peer]":
            peers.append({})
            section = _PEER, peers[-1]
        elif known == "#":
            if section and value:
                section[1].setdefault(known, value)
        elif section is None:
            faults.append(f"{place}: stands before [Interface]; begin the file with [Interface]")
        elif known in section[0]:
            try:
                read = section[0][known](value)
            except ValueError as error:
                faults.append(f"{place}: {name}: {error}")
            else:
                section[1][known] = (
                    (*section[1].get(known, ()), *read) if isinstance(read, tuple) and known in _LISTS else read
                )
        elif known in _OTHERS:
            if (known, value.lower()) not in _DEFAULTS:
                others.append(_OTHERS[known])
        else:
            shown = show_name(name) if len(name) < 30 else "this"
            faults.append(f"{place}: {shown} is no setting of wg-quick; correct it or take it out")
    if not faults and any("publickey" not in peer for peer in peers):
        faults.append(f"{where}: a [Peer] without a PublicKey; give it, or take the peer out")
    if faults:
        raise ConfigurationError(faults, "WireGuard configuration")
    return WgQuick(
        interface.get("privatekey"),
        interface.get("address", ()),
        interface.get("listenport") or None,
        interface.get("mtu") or None,
        tuple(
            Peer(
                peer["publickey"],
                peer.get("presharedkey"),
                peer.get("allowedips", ()),
                peer.get("endpoint"),
                peer.get("persistentkeepalive", 0),
                peer.get("#", ""),
            )
            for peer in peers
        ),
        tuple(dict.fromkeys(others)),
    )
