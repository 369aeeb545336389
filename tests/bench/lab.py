"""A mesh from nothing, and its everyday changes, on booted hosts: this program, pyinfra, and parallel ssh.

The other two get their keys and files made beforehand and prove nothing. All three run in the same lab, taking turns,
since machines are noisy. A run with nothing to do is beside one of the bare engine: a program with one resource of each
plugin that this one needs.
"""

import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.configurations import INTERFACE, PORT, Configurations
from tests.bench.rivals import ROUTES, install_pyinfra, run_pyinfra, write_known_hosts
from tests.lab.lab import Lab, default_hosts
from tests.lab.stack import Stack

__all__ = ["BARE", "OURS", "PARALLEL_SSH", "PYINFRA", "Seconds", "compare"]

PARALLEL_SSH, PYINFRA, OURS, BARE = "parallel ssh", "pyinfra", "pulumi up", "bare engine"
_SUBJECT = "carol"

# By what is done, and by what: the seconds of each round.
Seconds = Mapping[tuple[str, str], list[float]]

# As the wg-quick page tells to take over a changed file.
_PUSH = f"""
umask 077; mkdir -p /etc/wireguard; cat >/etc/wireguard/{INTERFACE}.conf
if systemctl is-active -q wg-quick@{INTERFACE}; then
    wg-quick strip {INTERFACE} >/run/{INTERFACE}.stripped && wg syncconf {INTERFACE} /run/{INTERFACE}.stripped
    {ROUTES}
else
    systemctl enable -q --now wg-quick@{INTERFACE}
fi
"""

_BARE_PROGRAM = """
from pulumi.dynamic import CreateResult, Resource, ResourceProvider
from pulumi_command.local import Command
from pulumi_random import RandomId


class Nothing(ResourceProvider):
    def create(self, props):
        return CreateResult("nothing", {})


class Empty(Resource):
    pass


Empty(Nothing(), "nothing", {})
RandomId("id", byte_length=8)
Command("command", create="true")
"""


def _run_parallel_ssh(lab: Lab, folder: Path, hosts: list[str]) -> None:
    write_known_hosts(lab, folder / "known_hosts")
    options = ["-i", str(lab.ssh_key), "-o", f"UserKnownHostsFile={folder}/known_hosts", "-o", "BatchMode=yes"]
    running = []
    for name in hosts:
        with (folder / f"{name}.conf").open() as text:
            command = lab.command("ssh", *options, f"root@{lab.hosts[name].ssh_address}", _PUSH)
            running.append(subprocess.Popen(command, stdin=text, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    if any(process.wait() for process in running):
        raise RuntimeError("bench: parallel ssh failed")


def _time(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


class _Rival:
    """Files and keys made beforehand, brought to the hosts by `push`."""

    def __init__(self, lab: Lab, folder: Path, push: Callable[[Lab, Path, list[str]], None]) -> None:
        folder.mkdir()
        self._lab, self._folder, self._push = lab, folder, push

    def steps(self, stay: list[str], everybody: list[str]) -> Iterator[tuple[str, float]]:
        """Yield each change and the seconds that it took; the hosts are as before at the end."""
        files = Configurations(self._lab, self._folder)
        files.write(stay)
        yield "from nothing", self._bring(stay)
        yield "nothing to do", self._bring(stay)
        files.rotate(_SUBJECT)
        files.write(stay)
        yield "one key", self._bring(stay)
        files.write(everybody)
        yield "add a host", self._bring(everybody)
        for host in self._lab.hosts.values():
            stop = f"systemctl disable -q --now wg-quick@{INTERFACE}; rm -f /etc/wireguard/{INTERFACE}.conf"
            host.run(stop, check=False)

    def _bring(self, members: list[str]) -> float:
        return _time(lambda: self._push(self._lab, self._folder, members))


def _our_steps(stack: Stack, stay: list[str], everybody: list[str]) -> Iterator[tuple[str, float]]:
    def up(hosts: list[str], **more: object) -> float:
        stack.write({INTERFACE: {"hosts": hosts, "port": PORT, **more}})
        return stack.up().seconds

    rotated = {"members": {_SUBJECT: {"rotation": 2}}}
    yield "from nothing", up(stay)
    yield "nothing to do", up(stay)
    yield "one key", up(stay, **rotated)
    yield "add a host", up(everybody, **rotated)
    stack.destroy()


def _bare_steps(stack: Stack) -> Iterator[tuple[str, float]]:
    stack.up()
    yield "nothing to do", stack.up().seconds
    stack.destroy()


def compare(hosts: int, rounds: int) -> Seconds:
    """Return the seconds of each change by each way in a lab of `hosts` and one that joins, for each of `rounds`."""
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    with Lab(default_hosts(hosts + 1), prefix="bench") as lab, TemporaryDirectory() as scratch:
        folder = Path(scratch)
        everybody = list(lab.hosts)
        stay = everybody[:-1]
        install_pyinfra(lab)
        ssh, pyinfra = _Rival(lab, folder / "ssh", _run_parallel_ssh), _Rival(lab, folder / "pyinfra", run_pyinfra)
        ours, bare = Stack(lab, folder / "ours"), Stack(lab, folder / "bare")
        bare.own_program(_BARE_PROGRAM)
        # The project asks for it, whatever the program does.
        bare.write({INTERFACE: {"hosts": stay}})
        for number in range(rounds + 1):
            for way, steps in (
                (PARALLEL_SSH, ssh.steps(stay, everybody)),
                (PYINFRA, pyinfra.steps(stay, everybody)),
                (OURS, _our_steps(ours, stay, everybody)),
                (BARE, _bare_steps(bare)),
            ):
                for change, value in steps:
                    sys.stderr.write(f"bench: round {number} of {rounds}: {way}, {change}: {value:.1f} s\n")
                    # The first round fills caches and is not counted.
                    if number:
                        seconds[change, way].append(value)
    return seconds
