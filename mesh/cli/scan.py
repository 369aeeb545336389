"""Fill in what a stack file lacks and the hosts know: host keys, systems, external addresses and small links.

A key is written only after its fingerprint was shown and accepted, and no host is logged in to before its key is
pinned.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mesh.cli.known_keys import KnownKeys, keys_known_of
from mesh.cli.machines import Machine, read_machines, show_keys
from mesh.cli.ssh_config import fill_in_way
from mesh.cli.yaml_values import flow_list
from mesh.errors import HostError
from mesh.plan.topology import COMMON_LINK_MTU
from mesh.remote.commands import run_command
from mesh.remote.concurrency import LOGINS_AT_ONCE, run
from mesh.remote.reachability import check_reachability
from mesh.remote.replies import lines_of
from mesh.remote.reports import Found, read_found
from mesh.remote.ssh import ShownHostKey, fetch_host_key, fingerprint

__all__ = ["Scan"]

# The processor, all addresses, and the MTU of each link that a default route takes.
_SCRIPT = (
    "uname -m; ip -o address show scope global; "
    "for device in $({ ip -4 route show default; ip -6 route show default; } "
    "| sed -n 's/.* dev \\([^ ]*\\).*/\\1/p' | sort -u); do echo link-mtu $(cat /sys/class/net/$device/mtu); done"
)
# The least that leaves a tunnel the 1280 bytes of IPv6.
_LEAST_LINK_MTU = 1360

T = TypeVar("T")


async def _ask_system(machine: Machine) -> Found:
    said = await run_command(machine.name, machine.connection, _SCRIPT, what="its system and addresses")
    return read_found(machine.name, lines_of(said))


@dataclass
class Scan:
    """One run over a stack file; `show` prints, `confirm` asks, and `problems` says per machine what went wrong.

    `typed` has what `ssh` is to be given for hosts that are called otherwise in the file.
    """

    entries: Mapping[str, Any]
    show: Callable[[object], None]
    confirm: Callable[[str], None]
    accept_changed: bool = False
    problems: dict[str, str] = field(default_factory=dict)
    typed: Mapping[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Fill in the entries; what could not be had is in `problems`, and the rest is filled in all the same.

        Raises:
            MeshError: If the entries cannot be used, or the fingerprints are not accepted.
        """
        bastions, hosts = read_machines(self._find_ways())
        direct = [machine for machine in hosts if not machine.connection["bastion"]]
        pinned = self._pin(bastions + direct)
        behind = [machine for machine in hosts if machine.connection["bastion"]]
        reachable = [machine for machine in behind if machine.connection["bastion"]["hostKey"]]
        for machine in behind:
            if machine not in reachable:
                self.problems[machine.name] = "is behind a bastion whose host key is not known; see there"
        self._ask([machine for machine in pinned + self._pin(reachable) if machine in hosts])

    def _find_ways(self) -> dict[str, Any]:
        """Take from the operator's SSH configuration what the file does not say; return the entries that have a way."""
        usable = {}
        for name, entry in self.entries.items():
            try:
                if isinstance(entry, dict) and (way := fill_in_way(self.typed.get(name, name), entry)):
                    self.show(f"{name}: reached as your SSH configuration says: {way}")
                usable[name] = entry
            except HostError as error:
                self.problems[name] = error.message
        return usable

    def _each(self, machines: Iterable[Machine], ask: Callable[[Machine], Awaitable[T]]) -> dict[Machine, T]:
        async def work() -> dict[Machine, T]:
            limit, done = asyncio.Semaphore(LOGINS_AT_ONCE), dict[Machine, T]()

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
        # Of which type the key is, the machine may have changed, and the file with it.
        ways: dict[str, Any] = {machine.name: {**machine.connection, "hostKey": ""} for machine in machines}
        unfit = run(lambda: check_reachability(ways))
        self.problems |= unfit
        machines = [machine for machine in machines if machine.name not in unfit]
        recalled = self._each(machines, self._recall)
        for machine, known in recalled.items():
            machine.known = known
        for machine, key in self._each(recalled, self._fetch).items():
            machine.shown = key
        answering = [machine for machine in machines if machine.shown.line]
        if answering:
            self.show(show_keys(answering))
        usable = []
        for machine in answering:
            if problem := self._distrust(machine):
                self.problems[machine.name] = problem
                continue
            usable.append(machine)
            if machine.status == "known":
                place = next(place for place, key in machine.known.trusted.items() if key == machine.shown.line)
                self.show(f"{machine.name}: its key is trusted already, by {place}")
            elif machine.known.unread and machine.status != "same":
                options = " and ".join(machine.known.unread)
                self.show(f"{machine.name}: {options} of your SSH configuration is not read; compare the fingerprint")
        for machine in machines:
            if machine not in usable:
                # No connection goes to it, nor through it.
                machine.connection["hostKey"] = ""
        if any(machine.status not in ("same", "known") for machine in usable):
            self.confirm("Are these the fingerprints of your hosts?")
        for machine in usable:
            machine.pin()
        return usable

    def _distrust(self, machine: Machine) -> str:
        """Return why the key that a machine shows must not be used; empty if it may be."""
        if place := machine.revocation:
            return f"shows a host key that {place} revokes; make a new one on it, and restart its sshd"
        if place := machine.contradiction:
            return (
                f"shows a host key that is not the one of {place}; if it was reinstalled, compare the fingerprint "
                "and remove that line, otherwise somebody may be in between"
            )
        if machine.status == "CHANGED" and not self.accept_changed:
            was = fingerprint(machine.pinned) or "no readable key"
            return (
                f"its host key has changed, the file has {was}; compare with what ssh-keygen -lf "
                "/etc/ssh/ssh_host_ed25519_key.pub prints on its console, then add --accept-changed"
            )
        return ""

    async def _recall(self, machine: Machine) -> KnownKeys:
        name = self.typed.get(machine.known_as, machine.known_as)
        try:
            return await asyncio.to_thread(keys_known_of, name, machine.connection)
        except HostError as error:
            raise HostError(machine.name, f"may be trusted or not by known_hosts: {error.message}") from None

    async def _fetch(self, machine: Machine) -> ShownHostKey:
        known = [key.split()[0] for key in machine.known.trusted.values()]
        return await fetch_host_key(machine.name, machine.connection, known)

    def _ask(self, machines: list[Machine]) -> None:
        for machine, knows in self._each(machines, _ask_system).items():
            entry = self.entries[machine.name]
            if "system" not in entry:
                entry.insert(0, "system", knows.system)
            elif entry["system"] != knows.system:
                self.problems[machine.name] = f"is {knows.system}, the file says {entry['system']}; correct its system"
            found = knows.external_addresses
            if found and "externalIps" not in entry and "externalName" not in entry:
                entry.insert(1 if "system" in entry else 0, "externalIps", flow_list(found))
                self.show(f"{machine.name}: external address found: {', '.join(found)}")
            if knows.link_mtu:
                self._fill_in_link_mtu(machine.name, entry, knows.link_mtu)

    def _fill_in_link_mtu(self, name: str, entry: Any, size: int) -> None:
        if size < _LEAST_LINK_MTU:
            self.problems[name] = (
                f"its link carries packets of {size} bytes at most, and a tunnel takes {_LEAST_LINK_MTU}; raise its MTU"
            )
        elif "linkMtu" not in entry and size < COMMON_LINK_MTU:
            entry.insert(list(entry).index("ssh"), "linkMtu", size)
            self.show(f"{name}: its link carries packets of {size} bytes at most")
        elif entry.get("linkMtu", size) > size:
            self.problems[name] = (
                f"its link carries packets of {size} bytes at most, the file says {entry['linkMtu']}; "
                "correct its linkMtu"
            )
