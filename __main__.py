"""Turn the stack's configuration into running, proven WireGuard meshes."""

import signal

import pulumi

from mesh.concurrency import run
from mesh.config import read_adopted, read_configuration
from mesh.credentials import agent_for_commands
from mesh.errors import HostsFailedError, MeshError
from mesh.look import look
from mesh.mesh import build_meshes
from mesh.settings import Configuration
from mesh.unreachable import may_skip


def find_absent(configuration: Configuration) -> set[str]:
    """Stop before anything changes if a host does not answer, since a silent one would hang a remote command for good.

    Hosts that every one of their interfaces may skip are named and returned instead.
    """
    agent_for_commands()
    interfaces = configuration.interfaces.values()
    used = {host: configuration.hosts[host].ssh for interface in interfaces for host in interface.hosts}
    silent = run(lambda: look({host: ssh.model_dump(by_alias=True) for host, ssh in used.items()}))
    needed = {host for interface in interfaces if not may_skip(interface.unreachable) for host in interface.hosts}
    if stopping := {host: reason for host, reason in silent.items() if host in needed}:
        raise HostsFailedError(stopping, "nothing was changed, since not every host answers")
    for host, reason in sorted(silent.items()):
        pulumi.log.warn(
            f"host {host!r}: {reason}. It is left out, and gets its change in the first up after its return"
        )
    return set(silent)


def main() -> None:
    """Read, check, register and export."""
    config = pulumi.Config("mesh")
    try:
        configuration = read_configuration(config.get_object("hosts"), config.get_object("interfaces"))
        adopted = read_adopted(config.get_object("adopted"), configuration)
        absent = set() if pulumi.runtime.is_dry_run() else find_absent(configuration)
    except MeshError as error:
        raise pulumi.RunError(str(error)) from None
    for name, mesh in build_meshes(configuration, adopted, absent).items():
        pulumi.export(name, mesh.public)


# The engine interrupts this program when a resource fails, and says why itself: a traceback of ours would bury that.
signal.signal(signal.SIGINT, signal.SIG_DFL)
main()
