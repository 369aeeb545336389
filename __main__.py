"""Turn the stack's configuration into running, proven WireGuard meshes."""

import signal
from pathlib import Path

import pulumi

from mesh.concurrency import run
from mesh.config import read_adopted, read_configuration
from mesh.credentials import agent_for_commands
from mesh.errors import HostsFailedError, MeshError
from mesh.hostsfile import read_hosts
from mesh.look import look
from mesh.mesh import build_meshes
from mesh.settings import Configuration
from mesh.unreachable import may_skip


def find_absent(configuration: Configuration) -> dict[str, set[str]]:
    """Stop before anything changes if a host does not answer, since a silent one would hang a remote command for good.

    Hosts that every one of their interfaces may skip are named and returned instead, by interface.
    """
    agent_for_commands()
    interfaces = configuration.interfaces
    used = {host: configuration.hosts[host].ssh for interface in interfaces.values() for host in interface.hosts}
    silent = run(lambda: look({host: ssh.model_dump(by_alias=True) for host, ssh in used.items()}))
    needed = {host for mesh in interfaces.values() if not may_skip(mesh.unreachable) for host in mesh.hosts}
    if stopping := {host: reason for host, reason in silent.items() if host in needed}:
        raise HostsFailedError(stopping, "nothing was changed, since not every host answers")
    for host, reason in sorted(silent.items()):
        pulumi.log.warn(
            f"host {host!r}: {reason}. It is left out, and gets its change in the first up after its return"
        )
    return {name: silent.keys() & set(interface.hosts) for name, interface in interfaces.items()}


def recall_pending() -> dict[str, set[str]]:
    """Return by interface the hosts that the last run left out, since a preview asks no host."""
    stack = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    read = pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", {"name": stack}).value
    return {name: set(mesh["pending"]) for name, mesh in read["outputs"].items() if "pending" in mesh}


def main() -> None:
    """Read, check, register and export."""
    config = pulumi.Config("mesh")
    try:
        hosts = read_hosts(config.get_object("hosts"), config.get("hostsFile"), Path.cwd())
        configuration = read_configuration(hosts, config.get_object("interfaces"))
        adopted = read_adopted(config.get_object("adopted"), configuration)
        absent = recall_pending() if pulumi.runtime.is_dry_run() else find_absent(configuration)
    except MeshError as error:
        raise pulumi.RunError(str(error)) from None
    for name, mesh in build_meshes(configuration, adopted, absent).items():
        pulumi.export(name, mesh.public)
        if mesh.peer_files is not None:
            pulumi.export(f"{name}-peers", mesh.peer_files)


# The engine interrupts this program when a resource fails, and says why itself: a traceback of ours would bury that.
signal.signal(signal.SIGINT, signal.SIG_DFL)
main()
