"""Turn the stack's configuration into running, proven WireGuard meshes."""

import signal
from pathlib import Path

import pulumi

from mesh.component.mesh import build_meshes
from mesh.component.preflight import absent_hosts, faults_end_the_run
from mesh.component.sdk_costs import spare_sdk_costs
from mesh.config.adopted import read_adopted, require_encrypted
from mesh.config.hosts_file import read_hosts
from mesh.config.reader import read_configuration


def main() -> None:
    """Read, check, register and export."""
    config = pulumi.Config("mesh")
    with faults_end_the_run():
        hosts = read_hosts(config.get_object("hosts"), config.get("hostsFile"), Path.cwd())
        configuration = read_configuration(hosts, config.get_object("interfaces"), config.get("rotation"))
        given = config.get_object("adopted")
        require_encrypted(
            given,
            is_secret=pulumi.runtime.is_config_secret("mesh:adopted"),
            file=Path("stacks") / f"Pulumi.{pulumi.get_stack()}.yaml",
        )
        adopted = read_adopted(given, configuration)
        absent = absent_hosts(configuration)
    for name, mesh in build_meshes(configuration, adopted, absent).items():
        pulumi.export(name, mesh.public)
        if mesh.peer_files is not None:
            pulumi.export(f"{name}-peers", mesh.peer_files)


# The engine interrupts this program when a resource fails, and says why itself: a traceback of ours would bury that.
signal.signal(signal.SIGINT, signal.SIG_DFL)
spare_sdk_costs()
main()
