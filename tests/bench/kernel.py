"""What the same changes lose where WireGuard is the kernel's and where it runs in userspace, side by side."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.lab.kernel import CHANGES, kernel_hosts, losses, userspace_hosts
from tests.lab.lab import Lab, require_machines
from tests.lab.loss import Loss
from tests.lab.rehearsed import RehearsedStack

__all__ = ["Both", "compare_kernels"]


@dataclass(frozen=True)
class Both:
    """What one change lost, with two of three hosts in the kernel and with all in userspace."""

    change: str
    kernel: Loss
    userspace: Loss


def compare_kernels() -> Iterator[Both]:
    """Yield each change, in their order.

    Raises:
        LabUnavailableError: If this machine cannot run virtual ones.
    """
    require_machines("trixie-kernel")
    prefix = os.environ.get("MESH_LAB_PREFIX", "bench")
    found = []
    for specs in (userspace_hosts(), kernel_hosts()):
        with Lab(specs, prefix=prefix) as lab, TemporaryDirectory() as scratch:
            found.append(_measure(lab, Path(scratch)))
    userspace, kernel = found
    for change in CHANGES:
        yield Both(change, kernel[change], userspace[change])


def _measure(lab: Lab, folder: Path) -> dict[str, Loss]:
    stack = RehearsedStack(lab, folder / "stack")
    mesh = {"hosts": list(lab.hosts), "port": 51825, "deadline": 90}
    stack.write({"testwg": mesh})
    stack.up()
    found = {}
    for name, change in CHANGES.items():
        mesh |= change
        stack.write({"testwg": mesh})
        found[name] = losses(stack, stack.up)
        sys.stderr.write(f"bench: {name}: {found[name]}\n")
    stack.destroy()
    return found
