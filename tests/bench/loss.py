"""What a running mesh loses while it is changed: every change under traffic in all directions, in one booted lab.

pyinfra and Ansible make the changes that they can make, in the same lab and after this program.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.changes import FILTERED, ROAMING, SUBJECT, Change, Scenario
from tests.bench.configurations import INTERFACE, Configurations
from tests.bench.rivals import install_ansible, install_pyinfra, run_ansible, run_pyinfra
from tests.lab.gaps import Gaps, total
from tests.lab.hosts import HostSpec
from tests.lab.lab import Lab, default_hosts
from tests.lab.stack import Stack
from tests.lab.traffic import Traffic

__all__ = ["Row", "measure"]

_NEWCOMER = "newcomer"
# One connection without the subject, one with it, and one with a host behind NAT.
_STREAMS = [(FILTERED, "bernard"), (SUBJECT, "bernard"), (ROAMING, SUBJECT)]
_RATE = 20.0
# What two cores carry without losing any of it, in datagrams a second over all directions.
_BEARABLE = 4500

Push = Callable[[Lab, Path, Sequence[str]], None]


@dataclass(frozen=True)
class Row:
    """One change: what the others lost among themselves, what they lost with its subject, and the seconds it took."""

    tool: str
    change: str
    others: Gaps
    subject: Gaps | None
    kept: str
    seconds: float


def _watch(tool: str, traffic: Traffic, members: Sequence[str], change: Change) -> Row:
    with traffic.watch() as watch:
        seconds = change.make()
    rest = [name for name in members if name != change.subject]
    # What a newcomer loses before it is there, or a leaver afterwards, says nothing.
    subject = change.subject if change.subject in members else None
    touched = total(watch.touching(subject, rest)) if subject else None
    kept = f"{len(_STREAMS) - len(watch.cut)} of {len(_STREAMS)}"
    row = Row(tool, change.name, total(watch.among(rest)), touched, kept, seconds)
    sys.stderr.write(f"bench: {row}\n")
    return row


def _ours(lab: Lab, folder: Path, rate: float) -> Iterator[Row]:
    stack = Stack(lab, folder / "stack")
    scenario = Scenario(lab, stack, _NEWCOMER)
    scenario.up()
    with Traffic(list(lab.hosts.values()), INTERFACE, rate, _STREAMS) as traffic:
        # The first packets open the ways through NAT and firewalls.
        time.sleep(1)
        for change in scenario.changes():
            yield _watch("mesh", traffic, scenario.stay, change)
            scenario.mend()
    stack.destroy()
    scenario.restore()


def _theirs(tool: str, push: Push, lab: Lab, folder: Path, rate: float) -> Iterator[Row]:
    stay = [name for name in lab.hosts if name != _NEWCOMER]
    everybody = [*stay, _NEWCOMER]
    files = folder / tool
    files.mkdir()
    configurations = Configurations(lab, files)

    def make(members: Sequence[str], *rotated: str, preshared: bool = False) -> float:
        configurations.rotate(*rotated, preshared=preshared)
        configurations.write(members)
        began = time.monotonic()
        push(lab, files, members)
        return time.monotonic() - began

    # Without rules of its own for a firewall, it has to be open.
    lab.hosts[FILTERED].run("nft flush ruleset")
    make(stay)
    with Traffic(list(lab.hosts.values()), INTERFACE, rate, _STREAMS) as traffic:
        time.sleep(1)
        for change in (
            Change("add a host", _NEWCOMER, lambda: make(everybody)),
            Change("key of one host", SUBJECT, lambda: make(everybody, SUBJECT)),
            Change("all keys and the preshared key", None, lambda: make(everybody, *everybody, preshared=True)),
        ):
            yield _watch(tool, traffic, stay, change)
    for host in lab.hosts.values():
        host.run(f"systemctl disable -q --now wg-quick@{INTERFACE}; rm -f /etc/wireguard/{INTERFACE}.conf", check=False)


def measure(count: int) -> Iterator[Row]:
    """Yield a row for each change of a mesh of `count` hosts, the first for no change at all."""
    # Ansible wants Python on every host.
    specs = [
        replace(spec, root="trixie-python", firewall="nftables" if spec.name == FILTERED else "")
        for spec in default_hosts(count, nat=1 if count < 20 else 2)
    ]
    newcomer = HostSpec(_NEWCOMER, count + 1, root="trixie-python")
    rate = min(_RATE, _BEARABLE / (count * (count - 1)))
    prefix = os.environ.get("MESH_LAB_PREFIX", "bench")
    with Lab([*specs, newcomer], prefix=prefix) as lab, TemporaryDirectory() as scratch:
        install_pyinfra(lab)
        install_ansible(lab)
        yield from _ours(lab, Path(scratch), rate)
        yield from _theirs("pyinfra", run_pyinfra, lab, Path(scratch), rate)
        yield from _theirs("Ansible", run_ansible, lab, Path(scratch), rate)
