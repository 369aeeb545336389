"""Fill in what a stack file lacks and the hosts know: host keys, systems, external addresses and small links.

What a field may hold belongs in `settings`, and how a host is reached in `ssh`. A key is written only after its
fingerprint was shown and accepted, and no host is logged in to before its key is pinned.
"""

import asyncio
import copy
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_interface
from typing import Any, TypeVar

from rich.table import Table
from ruamel.yaml.comments import CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from mesh.cli.stack_file import HOSTS
from mesh.config.models import Host
from mesh.config.validation import read_entry
from mesh.errors import ConfigurationError, HostError
from mesh.remote.concurrency import run
from mesh.remote.reachability import look
from mesh.remote.ssh import HostKey, fetch_host_key, fingerprint, run_command

__all__ = ["Machine", "Scan", "external_addresses", "link_mtu", "read_machines"]

# Stands in where the file has no key yet; only what is around it is read.
_NO_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
_PROCESSOR = re.compile(r"[a-z0-9_]+")
# An sshd lets ten connections authenticate at a time by default, and a bastion carries all that is behind it.
_AT_ONCE = 8

# The processor, all addresses, and the MTU of each link that a default route takes.
_LOOK = (
    "uname -m; ip -o address show scope global; "
    "for device in $({ ip -4 route show default; ip -6 route show default; } "
    "| sed -n 's/.* dev \\([^ ]*\\).*/\\1/p' | sort -u); do echo link-mtu $(cat /sys/class/net/$device/mtu); done"
)
# What a link carries unless somebody says otherwise, and the least that leaves a tunnel the 1280 bytes of IPv6.
_COMMON_LINK_MTU, _LEAST_LINK_MTU = 1500, 1360

_NOT_SHOWN = HostKey("", "")

T = TypeVar("T")


@dataclass(eq=False)
class Machine:
    """Something with an SSH host key: a host, or a bastion; `entries` are its places in the file."""

    name: str
    connection: dict[str, Any]
    entries: list[dict[str, Any]]
    shown: HostKey = _NOT_SHOWN

    @property
    def pinned(self) -> str:
        """The key in the file, without its comment; empty for none."""
        return next(filter(None, map(_key_of, self.entries)), "")

    @property
    def status(self) -> str:
        """How the key that it shows compares with the file: new, same or CHANGED."""
        keys = set(map(_key_of, self.entries)) - {""}
        if not keys:
            return "new"
        return "same" if keys == {self.shown.line} else "CHANGED"

    def pin(self) -> None:
        """Put the key that it shows into the file."""
        self.connection["hostKey"] = self.shown.line
        for entry in self.entries:
            # Where the key is the same, a comment behind it stays.
            if _key_of(entry) != self.shown.line:
                entry["hostKey"] = self.shown.line


def _key_of(entry: Mapping[str, Any]) -> str:
    return " ".join(str(entry.get("hostKey") or "").split()[:2])


def _read_connection(name: str, entry: object) -> tuple[dict[str, Any], list[str]]:
    raw = copy.deepcopy(entry)
    ssh = raw.get("ssh") if isinstance(raw, dict) else None
    for settings in (ssh, ssh.get("bastion") if isinstance(ssh, dict) else None):
        if isinstance(settings, dict):
            settings["hostKey"] = _NO_KEY
    host, faults = read_entry(Host, raw, HOSTS, name)
    return (host.ssh.model_dump(by_alias=True) if host and not faults else {}), faults


def read_machines(entries: Mapping[str, Any]) -> tuple[list[Machine], list[Machine]]:
    """Return the bastions, each once, and the hosts.

    Raises:
        ConfigurationError: With every fault of the entries but those of their host keys.
    """
    bastions: dict[tuple[str, int], Machine] = {}
    hosts: list[Machine] = []
    faults: list[str] = []
    for name, entry in entries.items():
        connection, found = _read_connection(name, entry)
        faults.extend(found)
        if found:
            continue
        if bastion := connection["bastion"]:
            place = (bastion["address"], bastion["port"])
            machine = bastions.setdefault(place, Machine(f"bastion {bastion['address']}", bastion, []))
            machine.entries.append(entry["ssh"]["bastion"])
            # Shared, so that a key that is pinned for the bastion holds for every host behind it.
            machine.connection["hostKey"] = machine.pinned
            connection["bastion"] = machine.connection
        hosts.append(Machine(name, connection, [entry["ssh"]]))
        connection["hostKey"] = hosts[-1].pinned
    if faults:
        raise ConfigurationError(faults)
    return list(bastions.values()), hosts


def external_addresses(output: str) -> list[str]:
    """Return the addresses in what `ip -o address show` prints that are routed on the internet, IPv4 first."""
    found = []
    for line in output.splitlines():
        words = line.split()
        # A temporary address is gone tomorrow, and a deprecated one sooner.
        if len(words) > 3 and words[2] in {"inet", "inet6"} and not {"temporary", "deprecated"} & set(words):
            address = ip_interface(words[3]).ip
            if address.is_global and not address.is_multicast:
                found.append(address)
    return list(dict.fromkeys(str(address) for address in sorted(found, key=lambda address: address.version)))


def link_mtu(output: str) -> int | None:
    """Return the least MTU of the links by which a host reaches others, in bytes; None if it cannot be told."""
    return min(map(int, re.findall(r"^link-mtu (\d+)$", output, re.MULTILINE)), default=None)


@dataclass
class Scan:
    """One run over a stack file; `show` prints, `confirm` asks, and `problems` says per machine what went wrong."""

    entries: Mapping[str, Any]
    show: Callable[[object], None]
    confirm: Callable[[str], None]
    accept_changed: bool = False
    problems: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Fill in the entries; what could not be had is in `problems`, and the rest is filled in all the same.

        Raises:
            MeshError: If the entries cannot be used, or the fingerprints are not accepted.
        """
        bastions, hosts = read_machines(self.entries)
        direct = [machine for machine in hosts if not machine.connection["bastion"]]
        pinned = self._pin(bastions + direct)
        behind = [machine for machine in hosts if machine.connection["bastion"]]
        reachable = [machine for machine in behind if machine.connection["bastion"]["hostKey"]]
        for machine in behind:
            if machine not in reachable:
                self.problems[machine.name] = "is behind a bastion whose host key is not known; see there"
        self._ask([machine for machine in pinned + self._pin(reachable) if machine in hosts])

    def _each(self, machines: Iterable[Machine], ask: Callable[[Machine], Awaitable[T]]) -> dict[Machine, T]:
        async def work() -> dict[Machine, T]:
            limit, done = asyncio.Semaphore(_AT_ONCE), dict[Machine, T]()

            async def one(machine: Machine) -> None:
                async with limit:
                    try:
                        done[machine] = await ask(machine)
                    except HostError as error:
                        self.problems[machine.name] = error.message

            await asyncio.gather(*map(one, machines))
            return done

        return run(work)

    def _pin(self, machines: list[Machine]) -> list[Machine]:
        unfit = run(lambda: look({machine.name: machine.connection for machine in machines}))
        self.problems |= unfit
        machines = [machine for machine in machines if machine.name not in unfit]
        shown = self._each(machines, lambda machine: fetch_host_key(machine.name, machine.connection))
        for machine, key in shown.items():
            machine.shown = key
        answering = [machine for machine in machines if machine.shown.line]
        if answering:
            self.show(_table(answering))
        usable = [machine for machine in answering if machine.status != "CHANGED" or self.accept_changed]
        for machine in answering:
            if machine not in usable:
                was = fingerprint(machine.pinned) or "no readable key"
                self.problems[machine.name] = (
                    f"its host key has changed, the file has {was}; compare with what ssh-keygen -lf "
                    "/etc/ssh/ssh_host_ed25519_key.pub prints on its console, then add --accept-changed"
                )
                # Nothing is sent through it either.
                machine.connection["hostKey"] = ""
        if any(machine.status != "same" for machine in usable):
            self.confirm("Are these the fingerprints of your hosts?")
        for machine in usable:
            machine.pin()
        return usable

    def _ask(self, machines: list[Machine]) -> None:
        answers = self._each(
            machines,
            lambda machine: run_command(machine.name, machine.connection, _LOOK),
        )
        for machine, answer in answers.items():
            entry = self.entries[machine.name]
            processor, _, addresses = answer.partition("\n")
            system = f"{processor.strip()}-linux"
            if "system" not in entry and _PROCESSOR.fullmatch(processor.strip()):
                entry.insert(0, "system", system)
            elif entry.get("system", system) != system:
                self.problems[machine.name] = f"is {system}, the file says {entry['system']}; correct its system"
            found = external_addresses(addresses)
            if found and "externalIps" not in entry and "externalName" not in entry:
                # A bare colon may make a mapping of an IPv6 address, depending on who reads it.
                sequence = CommentedSeq(DoubleQuotedScalarString(text) if ":" in text else text for text in found)
                sequence.fa.set_flow_style()
                entry.insert(1 if "system" in entry else 0, "externalIps", sequence)
                self.show(f"{machine.name}: external address found: {', '.join(found)}")
            if size := link_mtu(addresses):
                self._fill_in_link_mtu(machine.name, entry, size)

    def _fill_in_link_mtu(self, name: str, entry: Any, size: int) -> None:
        if size < _LEAST_LINK_MTU:
            self.problems[name] = (
                f"its link carries packets of {size} bytes at most, and a tunnel takes {_LEAST_LINK_MTU}; raise its MTU"
            )
        elif "linkMtu" not in entry and size < _COMMON_LINK_MTU:
            entry.insert(list(entry).index("ssh"), "linkMtu", size)
            self.show(f"{name}: its link carries packets of {size} bytes at most")
        elif entry.get("linkMtu", size) > size:
            self.problems[name] = (
                f"its link carries packets of {size} bytes at most, the file says {entry['linkMtu']}; "
                "correct its linkMtu"
            )


def _table(machines: Iterable[Machine]) -> Table:
    table = Table("host", "address", "key type", "fingerprint", "")
    # A fingerprint with dots for its end could not be compared.
    for column in table.columns:
        column.overflow = "fold"
    for machine in machines:
        colour = {"new": "yellow", "same": "green", "CHANGED": "bold red"}[machine.status]
        place = f"{machine.connection['address']} port {machine.connection['port']}"
        status = f"[{colour}]{machine.status}[/]"
        table.add_row(machine.name, place, machine.shown.type, machine.shown.fingerprint, status)
    return table
