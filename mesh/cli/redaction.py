"""Take out of a text what tells whose mesh it is, so that it can be shared.

One value always becomes the same other one, so that who reads the result can still follow a host through it. Addresses
become those that are kept for documentation (RFC 5737, RFC 3849, RFC 7042), and the rest a kind with a number.
"""

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address

__all__ = ["Redaction"]

# A key, a fingerprint, a MAC, and what may be an address; the last is tried.
_ALWAYS = (
    r"(?<![A-Za-z0-9+/])(?P<key>[A-Za-z0-9+/]{43,}={0,2})",
    r"(?<![\w:])(?P<mac>[0-9a-f]{2}(?::[0-9a-f]{2}){5})(?![\w:])",
    r"(?<![\w:])(?P<v6>[0-9a-f]{0,4}:[0-9a-f:.]+)",
    r"(?<![\w.])(?P<v4>\d{1,3}(?:\.\d{1,3}){3})(?!\w)",
)
_DOCUMENTATION = tuple(int(IPv4Address(net)) for net in ("192.0.2.0", "198.51.100.0", "203.0.113.0"))
_BENCHMARKS = int(IPv4Address("198.18.0.0"))
_DOCUMENTATION_6 = int(IPv6Address("2001:db8::"))
_LOW = 2**64 - 1


class Redaction:
    """Names by their kind, such as host or site, and what became of everything so far."""

    def __init__(self, names: Mapping[str, Iterable[str]]) -> None:
        """Number the names of each kind; a name that two kinds have is one of the first.

        The kind `domain` is that of names in DNS.
        """
        self._seen: dict[str, dict[str, int]] = {}
        self._names: dict[str, str] = {}
        for kind, found in names.items():
            for number, name in enumerate(dict.fromkeys(filter(None, map(str.casefold, found))), 1):
                became = f"name-{number}.example.org" if kind == "domain" else f"{kind}-{number}"
                self._names.setdefault(name, became)
        longest = sorted(self._names, key=len, reverse=True)
        # Also in what is joined from names, such as bernard.testwg or wg-quick@testwg.
        known = [rf"(?<![^\W_])(?P<name>{'|'.join(map(re.escape, longest))})(?![^\W_])"] if longest else []
        self._pattern = re.compile("|".join((*_ALWAYS, *known)), re.IGNORECASE)

    def text(self, text: str) -> str:
        """Return `text` without names that are known, addresses, and keys."""
        return self._pattern.sub(self._replace, text)

    def _number(self, kind: str, value: str) -> int:
        known = self._seen.setdefault(kind, {})
        return known.setdefault(value, len(known) + 1)

    def _replace(self, found: re.Match[str]) -> str:
        text = found[0]
        match found.lastgroup:
            case "key":
                return f"key-{self._number('key', text)}"
            case "mac":
                number = self._number("mac", text.lower())
                return f"00:00:5e:00:{0x53 + number // 256:02x}:{number % 256:02x}"
            case "v4" | "v6":
                return self._address(text)
            case _:
                return self._names[text.casefold()]

    def _address(self, text: str) -> str:
        """Return another address for the one with which the text begins; a colon or a dot may follow it."""
        for end in range(len(text), 1, -1):
            try:
                own = ip_address(text[:end])
            except ValueError:
                continue
            kept = own.is_unspecified or own.is_loopback
            changed = own if kept else self._v4(own) if isinstance(own, IPv4Address) else self._v6(own)
            return f"{changed}{self.text(text[end:])}"
        return text

    def _v4(self, own: IPv4Address) -> IPv4Address:
        place, last = divmod(self._number("v4", str(own)) - 1, 254)
        return IPv4Address(
            _DOCUMENTATION[place] + last + 1 if place < len(_DOCUMENTATION) else _BENCHMARKS + place * 256 + last + 1
        )

    def _v6(self, own: IPv6Address) -> IPv6Address:
        """Keep which addresses share a network of 64 bits, and which is the network's own."""
        high, low = int(own) >> 64, int(own) & _LOW
        end = low if low < 2 else 1 + self._number("v6 in its network", str(low))
        return IPv6Address(_DOCUMENTATION_6 + (self._number("v6", str(high)) << 64) + end)
