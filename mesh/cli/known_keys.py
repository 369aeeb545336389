"""The host keys that the operator's own ssh trusts, in known_hosts; `ssh-keygen -F` finds names that are hashed."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mesh.cli.openssh import DEFAULT_SSH_PORT, OpenSshError, ask_ssh, run_openssh
from mesh.config.connection import Connection
from mesh.errors import HostError

__all__ = ["KnownKeys", "find_known_keys", "keys_known_of"]

_LINE = re.compile(r"found: line (\d+)")
# The status of `ssh-keygen -F` that finds nothing.
_NOT_FOUND = 1


@dataclass(frozen=True)
class KnownKeys:
    """Host keys by where they are written, such as `/root/.ssh/known_hosts:3`; those that are revoked apart.

    `unread` has the options of the SSH configuration that would say more.
    """

    trusted: dict[str, str]
    revoked: dict[str, str]
    unread: tuple[str, ...] = ()


def _files(said: str) -> Iterator[str]:
    """Yield the files of an option that may be there; `ssh -G` prints them in one line, without quotes.

    The longest name that a file has is taken: one file too many says more of a key, and one too few hides what it says.
    """
    words = said.split(" ")
    while words:
        # OpenSSH before 8.4 prints what it takes for the home directory as ~.
        names = [os.path.expanduser(" ".join(words[:number])) for number in range(len(words), 0, -1)]
        number = next((len(names) - place for place, name in enumerate(names[:-1]) if _is_file(name)), 1)
        name = names[-number]
        if name != "/dev/null" and (number > 1 or _is_file(name, otherwise=True)):
            yield name
        words = words[number:]


def _is_file(name: str, *, otherwise: bool = False) -> bool:
    """Tell whether there is such a file, or what to take it for where that cannot be seen."""
    try:
        return Path(name).is_file()
    except OSError:
        return otherwise


def find_known_keys(known_as: str, files: Sequence[str]) -> KnownKeys:
    """Return the host keys that known_hosts files hold for a name; keys of certificate authorities are none.

    Raises:
        HostError: If one cannot be read.
    """
    trusted: dict[str, str] = {}
    revoked: dict[str, str] = {}
    for file in files:
        place = file
        try:
            said = run_openssh("ssh-keygen", "-F", known_as, "-f", file, fine=(0, _NOT_FOUND))
        except OpenSshError as error:
            raise HostError(known_as, f"{file} cannot be read ({error}); correct that file") from None
        for line in said.splitlines():
            if line.startswith("#"):
                place = f"{file}:{''.join(_LINE.findall(line))}"
                continue
            words = line.split()
            marker = words.pop(0) if words and words[0].startswith("@") else ""
            if len(words) < 3 or marker not in ("", "@revoked"):
                continue
            (revoked if marker else trusted)[place] = f"{words[1]} {words[2]}"
    return KnownKeys(trusted, revoked)


def keys_known_of(name: str, connection: Connection) -> KnownKeys:
    """Return what known_hosts holds for where a connection leads, under its address or as `ssh NAME` looks it up.

    Raises:
        HostError: If OpenSSH, which is there, cannot say it.
    """
    if shutil.which("ssh") is None:
        return KnownKeys({}, {})
    address, port = str(connection["address"]), int(connection["port"])
    names = [address if port == DEFAULT_SSH_PORT else f"[{address}]:{port}"]
    by_address, by_name = ask_ssh(address), ask_ssh(name)
    if (by_name.address, by_name.port) == (address, port) and by_name.known_as not in names:
        names.append(by_name.known_as)
    files = list(
        dict.fromkeys(file for line in (*by_address.known_hosts, *by_name.known_hosts) for file in _files(line))
    )
    found = [find_known_keys(known_as, files) for known_as in names]
    return KnownKeys(
        {place: key for keys in found for place, key in keys.trusted.items()},
        {place: key for keys in found for place, key in keys.revoked.items()},
        tuple(dict.fromkeys((*by_address.unread, *by_name.unread))),
    )
