"""Take over the keys of interfaces that hosts run already, after the state was lost or for a mesh made by hand.

Keys travel from the hosts over SSH into the stack's encrypted configuration, and are never shown. Whether a host then
hands its interface over is for the host program to say.
"""

import base64
import hashlib
import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from mesh.config.models import Configuration
from mesh.errors import ConfigurationError, HostError, HostsFailedError, MeshError, show_name
from mesh.remote.concurrency import run, settle
from mesh.remote.ssh import run_command
from mesh.wireguard.wg_quick import WgQuick, read_wg_quick

__all__ = ["Adoption", "key_fingerprint"]

# An sshd, also a bastion's, lets ten connections authenticate at a time by default.
_AT_ONCE = 8
# A host that has no such interface prints nothing, and gets a new key.
_SHOW = (
    'PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"; umask 077; '
    "wg showconf {interface} 2>/dev/null || "
    "if [ -e /etc/wireguard/{interface}.conf ]; then cat /etc/wireguard/{interface}.conf; fi"
)


def key_fingerprint(key: str) -> str:
    """Return what tells two preshared keys apart without giving either away."""
    digest = base64.b64encode(hashlib.sha256(base64.b64decode(key)).digest()).decode()
    return f"SHA256:{digest[:20]}…"


@dataclass
class Adoption:
    """The keys that hosts of a configuration run; `show` prints, `confirm` asks and raises for a no."""

    configuration: Configuration
    show: Callable[[object], None]
    confirm: Callable[[str], None]
    interfaces: Collection[str] = ()
    hosts: Collection[str] = ()
    keys: dict[str, str] = field(default_factory=dict, repr=False)

    def run(self) -> dict[str, str]:
        """Return the keys by their name in `mesh:adopted`, after they were shown by fingerprint and accepted.

        Raises:
            MeshError: If a host does not answer, the keys do not fit together, or they are not accepted.
        """
        self._check_names()
        for interface in self.interfaces or self.configuration.interfaces:
            self._read_interface(interface)
        if not self.keys:
            raise MeshError("adopt: no host has any of these interfaces; there is nothing to adopt, so run pulumi up")
        self.confirm("Adopt these keys?")
        return self.keys

    def _check_names(self) -> None:
        known = (("interface", self.interfaces, self.configuration.interfaces),
                 ("host", self.hosts, self.configuration.hosts))  # fmt: skip
        for what, wanted, entries in known:
            for name in wanted:
                if name not in entries:
                    raise MeshError(f"adopt: {show_name(name)} is no {what} of the stack file; correct the name")

    def _read_interface(self, interface: str) -> None:
        members = self.configuration.interfaces[interface].hosts
        found = self._ask(interface, [host for host in members if not self.hosts or host in self.hosts])
        table = Table("interface", "host", "public key", "preshared key")
        for column in table.columns:
            column.overflow = "fold"
        for host, running in sorted(found.items()):
            shared = sorted(key_fingerprint(key) if key else "none" for key in running.preshared_keys)
            table.add_row(interface, host, running.public_key or "none yet; it gets a new one", ", ".join(shared))
            if running.private_key:
                self.keys[f"{interface}/{host}"] = running.private_key
        self.show(table)
        _check_distinct(interface, found)
        shared_keys = set[str | None]().union(*(running.preshared_keys for running in found.values()))
        (only,) = shared_keys if len(shared_keys) == 1 else (None,)
        if self.configuration.interfaces[interface].preshared_keys == "pairwise":
            self.show(
                f"{interface}: the preshared keys of its pairs are made anew by up; running tunnels go on meanwhile"
            )
        elif only:
            self.keys[interface] = only
        elif shared_keys:
            what = "none is set" if shared_keys == {None} else "its pairs differ"
            self.show(
                f"{interface}: no preshared key to adopt, since {what}: up makes one for the mesh; "
                "running tunnels take it with their next handshake"
            )

    def _ask(self, interface: str, hosts: Collection[str]) -> dict[str, WgQuick]:
        async def work() -> tuple[dict[str, str], dict[str, HostError]]:
            return await settle({host: run_command(host, *self._command(host, interface)) for host in hosts}, _AT_ONCE)

        printed, failures = run(work)
        problems = {host: error.message for host, error in failures.items()}
        found: dict[str, WgQuick] = {}
        for host, text in printed.items():
            try:
                found[host] = read_wg_quick(text, interface)
            except ConfigurationError as error:
                problems[host] = f"has a configuration that cannot be read: {error.faults[0]}"
        if problems:
            raise HostsFailedError(problems, f"{interface}: nothing was adopted, since not every host could be asked")
        return found

    def _command(self, host: str, interface: str) -> tuple[dict[str, Any], str]:
        ssh = self.configuration.hosts[host].ssh
        script = shlex.quote(_SHOW.format(interface=interface))
        return ssh.model_dump(by_alias=True), f"{'sudo -n ' if ssh.uses_sudo else ''}sh -c {script}"


def _check_distinct(interface: str, found: Mapping[str, WgQuick]) -> None:
    owners: dict[str, str] = {}
    for host, running in sorted(found.items()):
        key = running.public_key
        if key and (other := owners.setdefault(key, host)) != host:
            raise MeshError(
                f"{interface}: hosts {other!r} and {host!r} run one key; each needs its own, so leave one of them out "
                "with --host"
            )
