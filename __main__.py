"""Turn the stack's configuration into running, proven WireGuard meshes."""

import signal
from pathlib import Path

import pulumi

from mesh.component.mesh import build_meshes
from mesh.component.preflight import absent_hosts, faults_end_the_run
from mesh.component.sdk_costs import spare_sdk_costs
from mesh.component.values import read_values
from mesh.config.interface_name import PEER_FILES


def main() -> None:
    """Read, check, register and export."""
    with faults_end_the_run():
        stack = read_values(Path.cwd())
        absent = absent_hosts(stack.configuration)
    for name, mesh in build_meshes(stack.configuration, stack.adopted, absent).items():
        pulumi.export(name, mesh.public)
        if mesh.peer_files is not None:
            pulumi.export(f"{name}{PEER_FILES}", mesh.peer_files)


# The engine interrupts this program when a resource fails, and says why itself: a traceback of ours would bury that.
signal.signal(signal.SIGINT, signal.SIG_DFL)
spare_sdk_costs()
main()
