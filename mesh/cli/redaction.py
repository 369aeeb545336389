"""Stand-ins for what tells whose a mesh is: names, addresses and keys; the same value has the same one everywhere.

Known values are given first, with `learn` and `learn_place`. What only looks like an address, a DNS name, a key or a
user's folder is replaced too. What somebody wrote in their own words cannot be known, so a person has to look through
the result.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from mesh.cli.stand_in_addresses import StandInAddresses
from mesh.config.external_fields import is_address

__all__ = ["Redaction"]

# Names with dots that every key exchange of SSH has, and that messages of ours and of wg-quick name.
_EVERYBODYS = frozenset(
    {
        *("openssh.com", "libssh.org", "git.zx2c4.com", "www.wireguard.com"),
        *("ssh.address", "ssh.port", "ssh.user", "ssh.bastion", "hosts.deny", "multi-user.target", "timers.target"),
        *("net.ipv6.conf.all.forwarding", "net.ipv4.conf.all.forwarding", "ipv6.disable"),
    }
)
# What ends the name of a file or a unit, and no DNS name. All else that is a name with a dot may be somebody's.
_NO_DOMAIN = frozenset({"conf", "service", "timer", "socket", "slice", "scope", "json", "yaml", "txt", "log", "tmp"})
_WORD = re.compile(r"[A-Za-z0-9]+|.", re.DOTALL)
# What ends names of networks at home, and tells nothing.
_LOCAL_ENDS = frozenset({"lan", "local", "localdomain", "internal", "home"})
_END = r"(?![A-Za-z0-9_-])(?!\.[A-Za-z0-9_-])"
# A version may have letters at its end too, but it begins with digits.
_DOMAIN = (
    rf"(?:(?:[A-Za-z0-9_][A-Za-z0-9_-]*\.)+(?:[A-Za-z]{{2,24}}|xn--[A-Za-z0-9-]+){_END}"
    rf"|(?:[A-Za-z_][A-Za-z0-9_-]*\.)+[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]{_END})"
)
_SOMETHING = re.compile(
    rf"""
      (?P<private>-----BEGIN\ [A-Z ]*PRIVATE\ KEY-----.*?(?:-----END\ [A-Z ]*-----|\Z))
    | (?P<ssh>(?<![A-Za-z0-9-])(?:ssh|ecdsa|sk)-[a-z0-9@.-]+\ +)[A-Za-z0-9+/]{{20,}}={{0,3}}(?:\ +[^\s"',;]+)?
    | (?P<pairs>(?<![0-9A-Za-z:])(?:[0-9A-Fa-f]{{2}}:){{5,}}[0-9A-Fa-f]{{2}}(?![0-9A-Za-z:]))
    | (?P<key>[A-Za-z0-9+/]{{40,}}={{0,2}} | (?<![A-Za-z0-9])[0-9a-fA-F]{{32,}}(?![A-Za-z0-9]))
    | (?P<six>(?<![0-9A-Za-z])(?:[0-9A-Fa-f]{{0,4}}:){{2,7}}
        (?:(?:\d{{1,3}}\.){{3}}\d{{1,3}}|[0-9A-Fa-f]{{1,4}})?(?:/\d{{1,3}})?(?![0-9A-Za-z]))
    | (?P<four>(?<![0-9])(?<![0-9]\.)(?:\d{{1,3}}\.){{3}}\d{{1,3}}
        (?:/\d{{1,2}}(?![0-9A-Za-z]))?(?![0-9])(?!\.[0-9A-Za-z]))
    | (?P<user>[A-Za-z0-9._%+-]+@)(?=(?P<at>[A-Za-z0-9_.-]+\.[A-Za-z0-9-]+|\[?[0-9A-Fa-f]*:))
    | (?P<domain>(?<![A-Za-z0-9_-]){_DOMAIN})
    | (?P<folder>/(?:home|Users)/)(?P<of>[^/\s:'"]+)
    | (?P<word>[A-Za-z0-9]+|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)|[A-Za-z0-9+/]{42,}=*", re.DOTALL
)


class Redaction:
    """What was replaced so far; with `keep`, only what may be a secret is, and known public keys stay.

    A name that is one of `words`, which are in small letters, tells nothing, and stays.
    """

    def __init__(self, words: Collection[str], *, keep: bool = False) -> None:
        """Know nothing."""
        self._words_that_stay = words
        self._keep = keep
        self._names: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        # Longest first, by the word with which they begin.
        self._by_word: dict[str, list[str]] = {}
        self._addresses = StandInAddresses()
        self._public: set[str] = set()

    def learn(self, kind: str, names: Iterable[str]) -> None:
        """Have each of `names` replaced from now on, by its `kind` and a number."""
        for name in names:
            self.name(kind, name)

    def learn_place(self, place: str) -> None:
        """Have the name of a machine replaced, with dots or without; an address is found by what it looks like."""
        name = place.strip("[]").rstrip(".")
        if "." not in name or is_address(name):
            self.learn("machine", [] if is_address(name) else [name])
        elif not self._keep and name not in self._names:
            self._add(name, self._stand_in_of_domain(name))

    def learn_keys(self, keys: Iterable[str]) -> None:
        """Take these keys for public ones, which stay where names stay."""
        self._public.update(keys)

    def name(self, kind: str, name: str) -> str:
        """Return what stands for a name."""
        if self._keep or not name or name.casefold() in self._words_that_stay:
            return name
        if name not in self._names:
            self._add(name, self._next(kind))
        return self._names[name]

    def _add(self, name: str, stand_in: str) -> None:
        self._names[name] = stand_in
        alike = self._by_word.setdefault(_word_at(name, 0).casefold(), [])
        alike.append(name)
        alike.sort(key=len, reverse=True)

    def address(self, text: str) -> str:
        """Return what stands for an address, a prefix or a network.

        Raises:
            ValueError: If it is none.
        """
        return text if self._keep else self._addresses.replace(text)

    def key(self, text: str) -> str:
        """Return what stands for a key or a fingerprint."""
        return text if self._keep and text in self._public else self._other("key", text)

    def text(self, text: str) -> str:
        """Return a text of any kind, with all that is known or looks like something replaced."""
        if self._keep:
            return _SECRET.sub(lambda found: found[0] if found[0] in self._public else "[key]", text)
        if text in self._names:
            return self._names[text]
        parts, place = [], 0
        while found := _SOMETHING.match(text, place):
            word, end = self._word(text, place)
            # The longer one: a name may hold an address, and a key may begin with a name.
            shown = self._shown(found) if end <= found.end() else None
            parts.append(word if shown is None else shown)
            place = end if shown is None else found.end()
        return "".join(parts)

    def document(self, value: Any) -> Any:
        """Return a document as JSON has it, with each of its texts replaced, names of fields included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(name)): self.document(entry) for name, entry in value.items()}
        if isinstance(value, list | tuple):
            return [self.document(entry) for entry in value]
        return value

    def _shown(self, found: re.Match[str]) -> str | None:
        """Return what stands for what was found; None where it is no more than a word."""
        said = found[0]
        match found.lastgroup:
            case "private":
                return "[key]"
            case "ssh":
                return found["ssh"] + self.key(said[len(found["ssh"]) :].split(" ")[0])
            case "pairs":
                return self._other("mac" if said.count(":") == 5 else "fingerprint", said.lower())
            case "key":
                return self.key(said)
            case "six":
                return self._six(said)
            case "four":
                return self._four(said)
            case "at":
                is_ours = found["at"] in _EVERYBODYS or found["at"].rpartition(".")[2] in _NO_DOMAIN
                return None if is_ours else self.name("user", said[:-1]) + "@"
            case "domain":
                return self._domain(said, found.string[: found.start()].endswith("mesh:"))
            case "of":
                return found["folder"] + self.name("user", found["of"])
        return None

    def _six(self, said: str) -> str | None:
        for end in ("", ":"):
            try:
                return self._addresses.replace(said.removesuffix(end)) + end if said.endswith(end) else None
            except ValueError:
                continue
        return None

    def _four(self, said: str) -> str:
        try:
            return self._addresses.replace(said)
        except ValueError:
            return self._other("address", said)

    def _domain(self, said: str, is_path: bool) -> str:
        """Return what stands for words with dots between; `is_path` where they are a place in the stack file."""
        if said in self._names:
            return self._names[said]
        if said in _EVERYBODYS:
            return said
        # The name of a file or a unit, or a place, has names of ours beside those that are known.
        if is_path or said.rpartition(".")[2] in _NO_DOMAIN or said.endswith(".conf.new"):
            return self._words(said)
        return self._stand_in_of_domain(said)

    def _stand_in_of_domain(self, said: str) -> str:
        # `bernard.testwg` and the like are made of names that are known.
        labels = said.split(".")
        for count in range(len(labels) - 1, 0, -1):
            head, rest = ".".join(labels[:count]), ".".join(labels[count:])
            if head in self._names:
                is_told = rest in self._names or rest in _LOCAL_ENDS
                return f"{self._names[head]}.{self._words(rest) if is_told else self._stand_in_of_domain(rest)}"
        return f"{self._other('name', said.lower())}.example"

    def _words(self, text: str) -> str:
        """Return a text with what is known in it replaced, and no more."""
        parts, place = [], 0
        while place < len(text):
            part, place = self._word(text, place)
            parts.append(part)
        return "".join(parts)

    def _word(self, text: str, place: int) -> tuple[str, int]:
        """Return what stands for the known name that begins at a place, or the word there; and where it ends."""
        word = _word_at(text, place)
        candidates = self._by_word.get(word.casefold(), ())
        for as_written in (True, False):
            for name in candidates:
                end = place + len(name)
                said = text[place:end]
                same = said == name if as_written else said.casefold() == name.casefold()
                if same and not (_is_in_word(name[-1]) and _is_in_word(text[end : end + 1])):
                    return self._names[name], end
        return word, place + len(word)

    def _other(self, kind: str, text: str) -> str:
        """Return what stands for something that is found by what it looks like, and never as a word."""
        whole = f"{kind} {text}"
        if whole not in self._names:
            self._names[whole] = self._next(kind)
        return self._names[whole]

    def _next(self, kind: str) -> str:
        while True:
            self._counts[kind] += 1
            stand_in = f"{kind}-{self._counts[kind]}"
            if stand_in not in self._names:
                return stand_in


def _word_at(text: str, place: int) -> str:
    word = _WORD.match(text, place)
    return word[0] if word else ""


def _is_in_word(character: str) -> bool:
    return character.isascii() and character.isalnum()
