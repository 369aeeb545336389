"""Clears a lab whose processes have all ended and whose record is out of reach, as a killed run in another checkout."""

import subprocess
from contextlib import suppress
from pathlib import Path

from tests.lab.network import Network

__all__ = ["clear_abandoned"]

_MOUNTS = Path("/proc/self/mountinfo")
_CGROUPS = Path("/sys/fs/cgroup")


def clear_abandoned(network: Network) -> None:
    """Remove the namespaces, mounts and control groups of a lab's prefix; nothing if a process still lives in one."""
    if any(_processes(name) for name in network.names()):
        return
    network.remove()
    mounts = [line.split()[4] for line in _MOUNTS.read_text().splitlines()]
    for mount in sorted((path for path in mounts if f"/hosts-{network.prefix}/" in path), reverse=True):
        # Lazily, since the folder it was mounted on may be gone.
        subprocess.run(["umount", "--lazy", mount], check=True)
    for group in sorted(_CGROUPS.glob(f"*/{network.prefix}-lab-*"), reverse=True):
        for folder in [*sorted(group.rglob("*/"), reverse=True), group]:
            with suppress(OSError):
                folder.rmdir()


def _processes(namespace: str) -> str:
    return subprocess.run(["ip", "netns", "pids", namespace], check=True, capture_output=True, text=True).stdout
