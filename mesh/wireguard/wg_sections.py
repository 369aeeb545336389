"""The sections of a configuration, from its lines: what `wg` and `wg-quick` of wireguard-tools take, and no more.

`wg_values` reads the values; `wg_quick` reads what the sections mean together.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from mesh.errors import ConfigurationError, PlacedFault
from mesh.wireguard import wg_values

__all__ = ["MOST_PEERS", "MOST_PREFIXES", "OTHERS", "SPACES", "Section", "Sections", "Setting", "read_sections"]

# Of one text.
MOST_PEERS = 10_000
MOST_PREFIXES = 50_000
# A file of another kind has one in each of its lines.
_MOST_FAULTS = 100

# Those of the C locale; a no-break space, for one, is none.
SPACES = " \t\n\v\f\r"
_NO_SPACES = str.maketrans("", "", SPACES)

Section = dict[str, Any]
Values = Mapping[str, Callable[[str], Any]]

# What `wg` itself reads, and what wg-quick takes out of [Interface] before.
_INTERFACE: Values = {
    "PrivateKey": wg_values.read_optional_key,
    "ListenPort": wg_values.read_port,
    "FwMark": wg_values.read_mark,
}
_PEER: Values = {
    "PublicKey": wg_values.read_key,
    "PresharedKey": wg_values.read_optional_key,
    "Endpoint": wg_values.read_endpoint,
    "AllowedIPs": wg_values.read_allowed_ips,
    "PersistentKeepalive": wg_values.read_keepalive,
}
# Of these, whether there is anything is all that counts, since mesh has no place for them.
_ANYTHING = ("DNS", "PreUp", "PostUp", "PreDown", "PostDown")
_QUICK: Values = {
    "Address": wg_values.read_addresses,
    "MTU": wg_values.read_mtu,
    "SaveConfig": wg_values.read_flag,
    "Table": lambda value: value not in ("", "auto"),
    **dict.fromkeys(_ANYTHING, bool),
}
# What mesh has no place for.
OTHERS = ("DNS", "FwMark", "Table", "PreUp", "PostUp", "PreDown", "PostDown", "SaveConfig")
_LISTS = ("Address", "AllowedIPs")
_QUICK_NAMES = {name.lower(): name for name in _QUICK}
_WG_NAMES = {name.lower(): name for name in (*_INTERFACE, *_PEER)}
_NAMES = _WG_NAMES | _QUICK_NAMES


class Setting(NamedTuple):
    """One line: a section in brackets, or a setting and its value; `called` is a name in a comment beside it.

    `value` is None where the line has no `=`.
    """

    place: str
    name: str
    value: str | None = None
    called: str = ""


class Sections:
    """What was read: [Interface], each [Peer] with its "place" and what it is "called", and places by setting."""

    def __init__(self) -> None:
        self.interface: Section = {}
        self.peers: list[Section] = []
        self.places: dict[str, str] = {}
        self.faults: list[PlacedFault] = []
        self._section: Section | None = None
        self._values: Values = {}
        self._prefixes = 0

    def take(self, setting: Setting) -> None:
        """Read one line, or keep what is wrong with it.

        Raises:
            ConfigurationError: If there is more than is read.
        """
        if setting.name.startswith("["):
            self._begin(setting)
        elif self._section is None:
            self._refuse(setting.place, "stands before [Interface]; begin the file with [Interface]")
        else:
            self._set(setting, self._section)
        if setting.called and self._section is not None:
            self._section.setdefault("called", setting.called)

    def _begin(self, setting: Setting) -> None:
        word = setting.name.translate(_NO_SPACES).lower()
        if word == "[interface]" and setting.value is None:
            self._section = self.interface
            # wg-quick does not see the section if there are spaces in it.
            self._values = {**_INTERFACE, **_QUICK} if setting.name.lower() == word else _INTERFACE
        elif word == "[peer]" and setting.value is None:
            if len(self.peers) == MOST_PEERS:
                raise _too_many(setting.place, MOST_PEERS, "peers")
            self._section, self._values = {"place": setting.place}, _PEER
            self.peers.append(self._section)
        else:
            # What belongs to it is read for its own faults.
            self._section, self._values = {}, {**_INTERFACE, **_PEER, **_QUICK}
            self._refuse(setting.place, "no section of wg-quick; write [Interface] or [Peer], or take it out")

    def _set(self, setting: Setting, section: Section) -> None:
        name, value = setting.name, setting.value
        known = _QUICK_NAMES.get(name.lower())
        if known is None:
            # `wg` leaves out spaces also inside of names and values.
            name, value = name.translate(_NO_SPACES), value and value.translate(_NO_SPACES)
            known = _WG_NAMES.get(name.lower() if name.isascii() else "")
        if known is None:
            close = difflib.get_close_matches(name.lower(), _NAMES, n=1) if len(name) < 30 else []
            advice = f"did you mean {_NAMES[close[0]]}?" if close else "correct it, or take it out"
            self._refuse(setting.place, f"no setting of wg-quick; {advice}")
            return
        place = f"{setting.place}: {known}"
        if known not in self._values:
            self._refuse(place, f"belongs below [{'Peer' if known in _PEER else 'Interface'}]; move it there")
            return
        if value is None or (not value and known not in _QUICK):
            self._refuse(place, "has no value; give it one, or take it out")
            return
        # So that one that is wrong is not missing too.
        before = section.setdefault(known, [])
        try:
            read = self._values[known](value)
        except ValueError as error:
            self._refuse(place, str(error))
            return
        if section is self.interface:
            self.places[known] = setting.place
        # Lists and hooks that come again add to those before; of all else the last holds.
        if known in _LISTS:
            before.extend(read)
            self._count(len(read), setting.place)
        else:
            section[known] = (read or before) if known in _ANYTHING else read

    def _refuse(self, place: str, words: str) -> None:
        self.faults.append(PlacedFault(place, words))

    def _count(self, prefixes: int, place: str) -> None:
        self._prefixes += prefixes
        if self._prefixes > MOST_PREFIXES:
            raise _too_many(place, MOST_PREFIXES, "prefixes")

    def check(self) -> None:
        """Find what is wrong with each section as a whole."""
        if len(addresses := self.interface.get("Address", ())) > len(set(addresses)):
            self._refuse(f"{self.places['Address']}: Address", "the same one twice; take one of them out")
        for peer in self.peers:
            if "PublicKey" not in peer:
                self._refuse(peer["place"], "a [Peer] without a PublicKey; give it, or take the peer out")


def _too_many(place: str, most: int, what: str) -> ConfigurationError:
    words = f"more than {most:,} {what}, the most that is read; check that it is the right file"
    return ConfigurationError([PlacedFault(place, words)])


def read_sections(settings: Iterable[Setting], where: str) -> Sections:
    """Return the sections that `settings` make; `where` names the text in faults.

    Raises:
        ConfigurationError: With every fault and its place.
    """
    found = Sections()
    try:
        for setting in settings:
            found.take(setting)
            if len(found.faults) >= _MOST_FAULTS:
                found.faults.append(PlacedFault(where, "more faults than these; check that it is the right file"))
                break
    except ConfigurationError as too_much:
        found.faults.extend(too_much.placed)
    found.check()
    if found.faults:
        raise ConfigurationError(found.faults, "WireGuard configuration")
    return found
