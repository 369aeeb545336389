"""Look at hosts before a run, and say which of them it leaves out; a preview recalls it, since it asks no host."""

from collections.abc import Collection

import pulumi

from mesh.config.models import Configuration
from mesh.errors import HostsFailedError
from mesh.remote.concurrency import run
from mesh.remote.credentials import agent_for_commands
from mesh.remote.reachability import look
from mesh.rollout.unreachable import may_skip

__all__ = ["find_absent", "recall_pending"]


def find_absent(configuration: Configuration, unknown: Collection[str] = ()) -> dict[str, set[str]]:
    """Stop before anything changes if a host does not answer, since a silent one would hang a remote command for good.

    Hosts that every one of their interfaces may skip are named and returned instead, by interface. Hosts whose way is
    `unknown` yet are not looked at.

    Raises:
        HostsFailedError: Naming each host that does not answer and may not be skipped.
        MeshError: If there is nothing to authenticate with.
    """
    agent_for_commands()
    interfaces = configuration.interfaces
    used = {host for interface in interfaces.values() for host in interface.hosts} - set(unknown)
    ways = {host: configuration.hosts[host].ssh.model_dump(by_alias=True) for host in sorted(used)}
    silent = run(lambda: look(ways))
    needed = {host for mesh in interfaces.values() if not may_skip(mesh.unreachable) for host in mesh.hosts}
    if stopping := {host: reason for host, reason in silent.items() if host in needed}:
        raise HostsFailedError(stopping, "nothing was changed, since not every host answers")
    for host, reason in sorted(silent.items()):
        pulumi.log.warn(
            f"host {host!r}: {reason}. It is left out, and gets its change in the first up after its return"
        )
    return {name: silent.keys() & set(interface.hosts) for name, interface in interfaces.items()}


def recall_pending() -> dict[str, set[str]]:
    """Return by output of this stack the hosts that the last run left out."""
    stack = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    read = pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", {"name": stack}).value
    outputs = read["outputs"].items()
    return {name: set(mesh["pending"]) for name, mesh in outputs if isinstance(mesh, dict) and "pending" in mesh}
