"""The state of Fleet, as its module for WireGuard leaves it: who shares a mesh, public keys, and when they were made.

Versions of Fleet have the keys as a secret that hosts share, with its owners, or below each host.

Private keys are in it encrypted for the hosts alone, so they are taken from the hosts: `python -m mesh adopt`.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from mesh.cli.importers.found import FoundMember, FoundMesh
from mesh.cli.importers.source import MOST_HOSTS
from mesh.cli.stack_file import HOSTS, INTERFACES
from mesh.config.fields import is_host_name
from mesh.config.interface_name import is_interface_name
from mesh.errors import ConfigurationError, PlacedFault
from mesh.wireguard.keys import is_key
from mesh.wireguard.text import read_text

__all__ = ["read_fleet"]

_TOKEN = re.compile(
    r"""
      \s+ | \#[^\n]*
    | (?P<text>"(?:[^"\\]|\\.)*")
    | (?P<lines>''(?:[^']|'(?!')|''['$]|''\\.)*''(?!['$\\]))
    | (?P<name>[A-Za-z0-9_][\w'-]*)
    | (?P<sign>[{}\[\]=;.])
    """,
    re.VERBOSE | re.DOTALL,
)
# What is written with a backslash in a text; before any other character it stands for nothing.
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}
_IN_LINES = re.compile(r"''(?:(['$])|\\(.))", re.DOTALL)
_PLAIN = "<PLAINTEXT>"
_DEEPEST = 20

_NO_STATE = "not readable as a fleet state; give the file fleet.nix that holds `hosts` and `secrets`"

_NO_HOST = "no host name (letters, digits and - joined by dots); rename this host"


class _NotNixError(Exception):
    """The text is no set of values; `place` is where that shows, in characters from its beginning."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place = place


def read_fleet(content: bytes | str, port: int | None, where: str = "fleet.nix") -> list[FoundMesh]:
    """Return every mesh in a fleet state; the state does not know its `port`, nor the hosts' external addresses.

    Raises:
        ConfigurationError: With every fault, after the name of the file, which is `where`.
    """
    text = read_text(content, where)
    try:
        state = _Reader(text).read()
    except _NotNixError as error:
        place = f"{where}:{_line(text, error.place)}"
        raise ConfigurationError([PlacedFault(place, _NO_STATE)], "import") from None
    hosts = _mapping(state.get("hosts"))
    found: list[FoundMesh] = []
    faults: list[PlacedFault] = []
    for name, entries in sorted(_secrets(state).items()):
        interface = name.removesuffix("-key")
        made = {owner: entry for entry in entries for owner in _owners(entry) if is_key(_public_key(entry))}
        if not made or interface == name:
            continue
        if not is_interface_name(interface):
            place = f"{where}:{_line_of(text, name)}"
            faults.append(PlacedFault(place, "no interface can have the name of this secret; rename it"))
        wrong = [_line_of(text, f'"{owner}"', owner) for owner in made if not is_host_name(owner)]
        faults.extend(PlacedFault(f"{where}:{line}", _NO_HOST) for line in wrong)
        if len(made) > MOST_HOSTS:
            place = f"{where}:{_line_of(text, name)}"
            faults.append(PlacedFault(place, f"more than {MOST_HOSTS:,} hosts, the most that is read"))
        if not faults:
            found.append(_mesh(interface, made, hosts, port, where))
    if not found and not faults:
        words = "no secret NAME-key with public keys of WireGuard; give the state of a deployed mesh"
        faults.append(PlacedFault(where, words))
    if faults:
        raise ConfigurationError(dict.fromkeys(faults), "import")
    return found


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


def _line_of(text: str, *words: str) -> int:
    return _line(text, next((place for place in map(text.find, words) if place >= 0), 0))


def _mesh(interface: str, made: Mapping[str, Any], hosts: Mapping[str, Any], port: int | None, where: str) -> FoundMesh:
    notes = [
        f"{host}: public key {_public_key(entry)}, made {_moment(entry)}; adopt has to show the same"
        for host, entry in sorted(made.items())
    ]
    if port is None:
        notes.append("a fleet state knows no port, so it is 51824 as in Fleet; give another with --port")
    notes.append("a fleet state knows no external addresses: scan fills in those that the hosts have themselves")
    members = tuple(
        FoundMember(host, ssh_address=host, host_key=_mapping(hosts.get(host)).get("encryptionKey"))
        for host in sorted(made)
    )
    places: dict[tuple[str, ...], str] = {(HOSTS, host): where for host in made}
    places[INTERFACES, interface] = where
    return FoundMesh(interface, members, port, notes=tuple(notes), places=places)


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _secrets(state: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the distributions of each secret by its name: several, or one for all its owners."""
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for section in ("secrets", "sharedSecrets"):
        for name, value in _mapping(state.get(section)).items():
            found[name] += [_mapping(entry) for entry in (value if isinstance(value, list) else [value])]
    for host, own in _mapping(state.get("hostSecrets")).items():
        for name, value in _mapping(own).items():
            found[name].append({**_mapping(value), "owners": [host]})
    return found


def _owners(entry: Mapping[str, Any]) -> list[str]:
    owners = entry.get("owners")
    return [owner for owner in owners if isinstance(owner, str)] if isinstance(owners, list) else []


def _public_key(entry: Mapping[str, Any]) -> str:
    raw = _mapping(entry.get("public")).get("raw")
    return raw.removeprefix(_PLAIN).strip() if isinstance(raw, str) else ""


def _moment(entry: Mapping[str, Any]) -> str:
    made = str(entry.get("createdAt"))
    return made[:19] + "Z" if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.0-9]*Z", made) else "at an unknown time"


class _Reader:
    """The part of Nix that a state is written in: sets, lists and texts."""

    def __init__(self, text: str) -> None:
        self._tokens = [*_tokens(text), ("", len(text))]
        self._next = 0

    def read(self) -> dict[str, Any]:
        value = self._value(0)
        if self._peek() or not isinstance(value, dict):
            raise self._error()
        return value

    def _error(self) -> _NotNixError:
        return _NotNixError(self._tokens[self._next][1])

    def _peek(self) -> str:
        return self._tokens[self._next][0]

    def _take(self, wanted: str = "") -> str:
        token = self._peek()
        if not token or (wanted and token != wanted):
            raise self._error()
        self._next += 1
        return token

    def _value(self, depth: int) -> Any:
        if depth > _DEEPEST:
            raise self._error()
        word = self._take()
        if word == "[":
            items = []
            while self._peek() != "]":
                items.append(self._value(depth + 1))
            self._take("]")
            return items
        if word == "{":
            return self._set(depth)
        if word in "}]=;.":
            self._next -= 1
            raise self._error()
        while not word.startswith(('"', "''")) and self._peek() == ".":
            # A number.
            word += self._take() + self._take()
        return _unquoted(word)

    def _set(self, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        while self._peek() != "}":
            path = [_unquoted(self._take())]
            while self._peek() == ".":
                self._take(".")
                path.append(_unquoted(self._take()))
            self._take("=")
            holder = made
            for part in path[:-1]:
                holder = holder.setdefault(part, {})
                if not isinstance(holder, dict):
                    raise self._error()
            holder[path[-1]] = self._value(depth + 1)
            self._take(";")
        self._take("}")
        return made


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise _NotNixError(place)
        if found.lastgroup:
            yield found.group(), place
        place = found.end()


def _unquoted(token: str) -> str:
    if token.startswith("''"):
        return _lines(token[2:-2])
    if not token.startswith('"'):
        return token
    return re.sub(r"\\(.)", lambda found: _ESCAPED.get(found[1], found[1]), token[1:-1], flags=re.DOTALL)


def _lines(text: str) -> str:
    """Return a text of several lines without the indentation that they share, as Nix reads it."""
    first, newline, rest = text.partition("\n")
    lines = (rest if newline and not first.strip(" ") else text).split("\n")
    indents = [len(line) - len(line.lstrip(" ")) for line in lines if line.strip(" ")]
    lines = [line[min(indents, default=0) :] if line.strip(" ") else "" for line in lines]
    return _IN_LINES.sub(
        lambda found: ("''" if found[1] == "'" else found[1]) if found[1] else _ESCAPED.get(found[2], found[2]),
        "\n".join(lines),
    )
