"""Turn the stack's configuration into running, proven WireGuard meshes."""

import signal
from pathlib import Path

import pulumi

from mesh.component.mesh import build_meshes
from mesh.component.preflight import absent_hosts, faults_end_the_run
from mesh.config.hosts_file import read_hosts
from mesh.config.reader import read_adopted, read_configuration


def main() -> None:
    """Read, check, register and export."""
    config = pulumi.Config("mesh")
    with faults_end_the_run():
        hosts = read_hosts(config.get_object("hosts"), config.get("hostsFile"), Path.cwd())
        configuration = read_configuration(hosts, config.get_object("interfaces"), config.get("rotation"))
        adopted = read_adopted(config.get_object("adopted"), configuration)
        absent = absent_hosts(configuration)
    for name, mesh in build_meshes(configuration, adopted, absent).items():
        pulumi.export(name, mesh.public)
        if mesh.peer_files is not None:
            pulumi.export(f"{name}-peers", mesh.peer_files)


# The engine interrupts this program when a resource fails, and says why itself: a traceback of ours would bury that.
signal.signal(signal.SIGINT, signal.SIG_DFL)
main()
