"""What has an SSH host key: the hosts of a stack file and their bastions, with the keys that are known of them."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from mesh.cli.console import Grid
from mesh.cli.known_keys import KnownKeys
from mesh.cli.stack_file import HOSTS
from mesh.config.models import Host
from mesh.config.validation import PLACEHOLDER_HOST_KEY, join_path, read_entry
from mesh.errors import ConfigurationError, PlacedFault
from mesh.remote.ssh import ShownHostKey

__all__ = ["Machine", "read_machines", "show_keys"]

_NOT_SHOWN = ShownHostKey("", "")
_NOTHING_KNOWN = KnownKeys({}, {})


@dataclass(eq=False)
class Machine:
    """Something with an SSH host key: a host, or a bastion; `entries` are its places in the file.

    `known_as` is what the operator may call it in `ssh NAME`.
    """

    name: str
    known_as: str
    connection: Any
    entries: list[dict[str, Any]]
    shown: ShownHostKey = _NOT_SHOWN
    known: KnownKeys = _NOTHING_KNOWN

    @property
    def pinned(self) -> str:
        """The key in the file, without its comment; empty for none."""
        return next(filter(None, map(_key_of, self.entries)), "")

    @property
    def status(self) -> str:
        """How the key that it shows compares with the file, then with known_hosts: new, known, same or CHANGED."""
        keys = set(map(_key_of, self.entries)) - {""}
        if not keys:
            return "known" if self.shown.line in self.known.trusted.values() else "new"
        return "same" if keys == {self.shown.line} else "CHANGED"

    @property
    def revocation(self) -> str:
        """Where known_hosts says that nobody is to trust the key it shows; what the file says changes nothing."""
        return next((place for place, key in self.known.revoked.items() if key == self.shown.line), "")

    @property
    def contradiction(self) -> str:
        """Where known_hosts says that the key it shows, which the file does not have, is not this host's."""
        other = (place for place, key in self.known.trusted.items() if key.split()[0] == self.shown.type)
        return next(other, "") if self.status == "new" else ""

    def pin(self) -> None:
        """Put the key that it shows into the file."""
        self.connection["hostKey"] = self.shown.line
        for entry in self.entries:
            # Where the key is the same, a comment behind it stays.
            if _key_of(entry) != self.shown.line:
                entry["hostKey"] = self.shown.line


def _key_of(entry: Mapping[str, Any]) -> str:
    return " ".join(str(entry.get("hostKey") or "").split()[:2])


def _read_connection(name: str, entry: object) -> tuple[dict[str, Any], list[PlacedFault]]:
    raw = copy.deepcopy(entry)
    ssh = raw.get("ssh") if isinstance(raw, dict) else None
    for settings in (ssh, ssh.get("bastion") if isinstance(ssh, dict) else None):
        if isinstance(settings, dict):
            # Only what is around the key is read.
            settings["hostKey"] = PLACEHOLDER_HOST_KEY
    host, faults = read_entry(Host, raw, HOSTS, name)
    return ({"bastion": None, **host.ssh.connection()} if host and not faults else {}), faults


def read_machines(entries: Mapping[str, Any]) -> tuple[list[Machine], list[Machine]]:
    """Return the bastions, each once, and the hosts.

    Raises:
        ConfigurationError: With every fault of the entries but those of their host keys.
    """
    bastions: dict[tuple[str, int], Machine] = {}
    hosts: list[Machine] = []
    faults: list[PlacedFault] = []
    for name, entry in entries.items():
        connection, found = _read_connection(name, entry)
        faults.extend(found)
        if found:
            continue
        if bastion := connection["bastion"]:
            place = (bastion["address"], bastion["port"])
            machine = bastions.setdefault(
                place, Machine(f"bastion {bastion['address']}", bastion["address"], bastion, [])
            )
            machine.entries.append(entry["ssh"]["bastion"])
            if len(set(map(_key_of, machine.entries)) - {""}) > 1:
                path = join_path(HOSTS, name, "ssh", "bastion", "hostKey")
                words = "not the one that another host has for this bastion; remove the wrong one"
                faults.append(PlacedFault(path, words))
            # Shared, so that a key that is pinned for the bastion holds for every host behind it.
            machine.connection["hostKey"] = machine.pinned
            connection["bastion"] = machine.connection
        hosts.append(Machine(name, name, connection, [entry["ssh"]]))
        connection["hostKey"] = hosts[-1].pinned
    if faults:
        raise ConfigurationError(faults)
    return list(bastions.values()), hosts


def show_keys(machines: Iterable[Machine]) -> Grid:
    """Return a table of the host keys that machines show."""
    table = Grid("host", "address", "key type", "fingerprint", "")
    for machine in machines:
        colour = {"new": "yellow", "known": "green", "same": "green", "CHANGED": "bold red"}[machine.status]
        place = f"{machine.connection['address']} port {machine.connection['port']}"
        status = Text(machine.status, style=colour)
        table.add_row(machine.name, place, machine.shown.type, machine.shown.fingerprint, status)
    return table
