"""Read a configuration as `wg-quick` takes it and `wg showconf` prints it, or say everything that is wrong with it.

What `wg` and `wg-quick` of wireguard-tools make of a text is the measure, also where that surprises: a comment begins
at any `#`, [Interface] may come again, the last of two values holds, and of two peers with one prefix the last has it.
Reading takes time in proportion to the text. Nothing here touches a file or a host, and no fault repeats a value, since
any may be a key.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from mesh.errors import ConfigurationError, PlacedFault
from mesh.wireguard.addressing import Network
from mesh.wireguard.keys import public_key_of
from mesh.wireguard.text import MOST_CHARACTERS, read_text
from mesh.wireguard.wg_sections import OTHERS, SPACES, Section, Setting, read_sections
from mesh.wireguard.wg_values import Address, Endpoint

__all__ = [
    "ConfiguredPeer",
    "Endpoint",
    "Setting",
    "WgQuick",
    "read_settings",
    "read_wg_quick",
    "settle_allowed_ips",
]


@dataclass(frozen=True, slots=True)
class ConfiguredPeer:
    """One [Peer]; `preshared_key` and `endpoint` are None where there is none, `keepalive` is in seconds, 0 for off.

    `name` is what a comment beside it calls it, as many hands and tools do; empty where none does. `lost` are its
    AllowedIPs that a later peer has too, and so gets. `place` is where it stands.
    """

    public_key: str
    preshared_key: str | None = field(default=None, repr=False)
    allowed_ips: tuple[Network, ...] = ()
    endpoint: Endpoint | None = None
    keepalive: int = 0
    name: str = ""
    lost: tuple[Network, ...] = ()
    place: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class WgQuick:
    """One configuration; `others` are its settings that have no place in a mesh, such as PostUp or DNS.

    `where` names it, and `places` are where the settings of [Interface] stand, by name.
    """

    private_key: str | None = field(repr=False)
    addresses: tuple[Address, ...]
    port: int | None
    mtu: int | None
    peers: tuple[ConfiguredPeer, ...]
    others: tuple[str, ...]
    where: str = field(default="", compare=False)
    places: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def public_key(self) -> str | None:
        """What its peers know it by; None without a private key."""
        return public_key_of(self.private_key) if self.private_key else None

    @property
    def preshared_keys(self) -> set[str | None]:
        """Every preshared key of its peers, with None for the peers that have none."""
        return {peer.preshared_key for peer in self.peers}

    def place(self, setting: str) -> str:
        """Return where a setting of [Interface] stands, and the name of it all where it is not there."""
        return self.places.get(setting, self.where)


# A comment with the name of a peer: `phone`, `Name = phone`, `Client: phone (8f0c)`, `begin phone`.
_CALLED = re.compile(
    r"(?:(?:friendly_)?name\s*+[:=]|client\b\s*+:?|begin\b)?\s*+([a-z0-9.-]++)(?:\s*+\(.*\))?",
    re.IGNORECASE | re.ASCII,
)


def read_wg_quick(content: str | bytes, where: str) -> WgQuick:
    """Return the configuration in `content`; `where` names it in faults.

    Raises:
        ConfigurationError: With every fault and its line.
    """
    return read_settings(_lines(read_text(content, where), where), where)


def _lines(text: str, where: str) -> Iterator[Setting]:
    # A comment is about the line right below it, or beside it.
    above = ""
    for number, line in enumerate(text.split("\n"), 1):
        place = f"{where}:{number}"
        if len(line) > MOST_CHARACTERS:
            too_long = f"a line of more than {MOST_CHARACTERS:,} characters; give its parts one after another"
            raise ConfigurationError([PlacedFault(place, too_long)])
        setting, _, comment = line.partition("#")
        called = _name_in(comment)
        if setting := setting.strip(SPACES):
            name, equals, value = setting.partition("=")
            yield Setting(place, name.rstrip(SPACES), value.lstrip(SPACES) if equals else None, called or above)
            above = ""
        else:
            # What is no name, such as a peer that was taken out by #, hides the one above it, which was its own.
            above = called


def _name_in(comment: str) -> str:
    called = _CALLED.fullmatch(comment.strip(f"#{SPACES}"))
    # An address is none.
    return called[1] if called and re.search("[a-zA-Z]", called[1]) else ""


def read_settings(settings: Iterable[Setting], where: str) -> WgQuick:
    """Return the configuration that `settings` make; `where` names it in faults.

    Raises:
        ConfigurationError: With every fault and its place.
    """
    sections = read_sections(settings, where)
    own = sections.interface
    read = WgQuick(
        own.get("PrivateKey"),
        tuple(own.get("Address", ())),
        own.get("ListenPort") or None,
        own.get("MTU"),
        (),
        tuple(name for name in OTHERS if own.get(name)),
        where,
        sections.places,
    )
    return replace(read, peers=settle_allowed_ips(_peers(sections.peers, read.public_key)))


def _peers(sections: Iterable[Section], own_key: str | None) -> Iterator[ConfiguredPeer]:
    told: dict[str, Section] = {}
    for section in sections:
        # A peer that comes again keeps what it has, except its AllowedIPs.
        before = told.pop(section["PublicKey"], {})
        told[section["PublicKey"]] = {**before, "AllowedIPs": (), **section}
    for key, peer in told.items():
        # WireGuard ignores a peer with the key of the interface itself.
        if key != own_key:
            yield ConfiguredPeer(
                key,
                peer.get("PresharedKey"),
                tuple(dict.fromkeys(peer["AllowedIPs"])),
                peer.get("Endpoint"),
                peer.get("PersistentKeepalive", 0),
                peer.get("called", ""),
                place=peer["place"],
            )


def settle_allowed_ips(peers: Iterable[ConfiguredPeer]) -> tuple[ConfiguredPeer, ...]:
    """Return the peers of one interface with what WireGuard lets each have: of two with one prefix, the last has it."""
    listed = list(peers)
    owners = {prefix: peer.public_key for peer in listed for prefix in peer.allowed_ips}

    def settle(peer: ConfiguredPeer) -> ConfiguredPeer:
        lost = tuple(prefix for prefix in peer.allowed_ips if owners[prefix] != peer.public_key)
        if not lost:
            return peer
        kept = tuple(prefix for prefix in peer.allowed_ips if owners[prefix] == peer.public_key)
        return replace(peer, allowed_ips=kept, lost=lost)

    return tuple(map(settle, listed))
