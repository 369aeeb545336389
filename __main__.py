"""Turn the stack's configuration into running, proven WireGuard meshes."""

import pulumi

from mesh.concurrency import run
from mesh.config import read_adopted, read_configuration
from mesh.credentials import agent_for_commands
from mesh.errors import HostsFailedError, MeshError
from mesh.look import look
from mesh.mesh import build_meshes
from mesh.settings import Configuration


def check_hosts(configuration: Configuration) -> None:
    """Stop before anything changes if a host does not answer; a silent one would hang a remote command for good."""
    agent_for_commands()
    connections = {name: host.ssh.model_dump(by_alias=True) for name, host in configuration.hosts.items()}
    failures = run(lambda: look(connections))
    if failures:
        raise HostsFailedError(failures, "nothing was changed, since not every host answers")


def main() -> None:
    """Read, check, register and export."""
    config = pulumi.Config("mesh")
    try:
        configuration = read_configuration(config.get_object("hosts"), config.get_object("interfaces"))
        adopted = read_adopted(config.get_object("adopted"), configuration)
        if not pulumi.runtime.is_dry_run():
            check_hosts(configuration)
    except MeshError as error:
        raise pulumi.RunError(str(error)) from None
    for name, mesh in build_meshes(configuration, adopted).items():
        pulumi.export(name, mesh.public)


main()
