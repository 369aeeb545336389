"""The same mesh from nothing on booted hosts, side by side: this program, pyinfra, and parallel ssh.

The other two get their keys and files made beforehand and prove nothing. All three run in the same lab, taking turns,
since machines are noisy.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.configurations import INTERFACE, PORT, Configurations
from tests.bench.rivals import install_pyinfra, run_pyinfra
from tests.lab.lab import Lab, default_hosts
from tests.lab.stack import Stack

__all__ = ["compare"]


def _parallel_ssh(lab: Lab, folder: Path) -> None:
    script = (
        f"umask 077; mkdir -p /etc/wireguard; cat >/etc/wireguard/{INTERFACE}.conf; "
        f"systemctl enable --now wg-quick@{INTERFACE}"
    )
    options = ["-i", str(lab.ssh_key), "-o", f"UserKnownHostsFile={folder}/known_hosts", "-o", "BatchMode=yes"]
    running = []
    for name, host in lab.hosts.items():
        with (folder / f"{name}.conf").open() as text:
            command = lab.command("ssh", *options, f"root@{host.ssh_address}", script)
            running.append(subprocess.Popen(command, stdin=text, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    ended = [process.wait() for process in running]
    if any(ended):
        raise RuntimeError("bench: parallel ssh failed")


def _prepare_peers(lab: Lab, folder: Path) -> None:
    Configurations(lab, folder).write(list(lab.hosts))
    (folder / "known_hosts").write_text("".join(f"{host.ssh_address} {host.host_key}\n" for host in lab.hosts.values()))
    install_pyinfra(lab)


def _clear(lab: Lab) -> None:
    for host in lab.hosts.values():
        stop = f"systemctl disable -q --now wg-quick@{INTERFACE}; rm -f /etc/wireguard/{INTERFACE}.conf"
        host.run(stop, check=False)


def _time(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def compare(hosts: int, rounds: int) -> dict[str, list[float]]:
    """Return the seconds that each way takes from nothing to a running mesh of `hosts`, for each of `rounds`."""
    seconds: dict[str, list[float]] = {"parallel ssh, prepared files": [], "pyinfra": [], "pulumi up, proven": []}
    with Lab(default_hosts(hosts), prefix="bench") as lab, TemporaryDirectory() as scratch:
        folder = Path(scratch) / "peers"
        folder.mkdir()
        _prepare_peers(lab, folder)
        stack = Stack(lab, Path(scratch) / "stack")
        stack.write({INTERFACE: {"hosts": list(lab.hosts), "port": PORT}})
        for number in range(rounds + 1):
            taken = {
                "parallel ssh, prepared files": _time(lambda: _parallel_ssh(lab, folder)),
            }
            _clear(lab)
            taken["pyinfra"] = _time(lambda: run_pyinfra(lab, folder, list(lab.hosts)))
            _clear(lab)
            taken["pulumi up, proven"] = _time(stack.up)
            stack.destroy()
            # The first round fills caches and is not counted.
            if number:
                for way, value in taken.items():
                    seconds[way].append(value)
            shown = ", ".join(f"{way} {value:.1f} s" for way, value in taken.items())
            sys.stderr.write(f"bench: round {number} of {rounds}: {shown}\n")
    return seconds
