"""The mesh as a component of any Pulumi program: `from mesh import Mesh`."""

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import pulumi
from pulumi.runtime.settings import get_root_resource

from mesh.component.deferred import DeferredValues
from mesh.component.mesh import MeshComponent
from mesh.component.preflight import absent_hosts, faults_end_the_run
from mesh.config.adopted import read_adopted
from mesh.config.models import Configuration
from mesh.config.reader import read_configuration
from mesh.config.rules.across_entries import shared_port
from mesh.config.sections import ADOPTED, INTERFACES
from mesh.errors import ConfigurationError
from mesh.plan.topology import plan_meshes

__all__ = ["Mesh"]

# By run of a program: who has which port of a machine.
_claims: WeakKeyDictionary[Any, list[tuple[Any, int, str]]] = WeakKeyDictionary()


def _claim_port(interface: str, configuration: Configuration, deferred: DeferredValues) -> None:
    """Keep two meshes of one program from having one port of one machine, as two interfaces of a stack file are.

    Raises:
        ConfigurationError: Naming the other mesh.
    """
    run = get_root_resource()
    if run is None:
        return
    claims, port = _claims.setdefault(run, []), configuration.interfaces[interface].port
    for host in configuration.interfaces[interface].hosts:
        ssh = configuration.hosts[host].ssh
        machine = (deferred.source(ssh.address), ssh.port)
        for (address, ssh_port), taken, other in claims:
            # An output compares with nothing.
            is_one = address is machine[0] or (isinstance(address, str) and address == machine[0])
            if is_one and ssh_port == machine[1] and taken == port and other != interface:
                raise ConfigurationError([shared_port(interface, port, other, [host])])
        claims.append((machine, port, interface))


class Mesh(MeshComponent):
    """A WireGuard mesh on hosts that the program describes, and may make in the same run.

    After the `up` that has verified it, `public` is its plan: port, and by host the address, endpoint and public key.
    `addresses` has the address of each host inside the mesh, without a prefix length, at once.
    """

    addresses: dict[str, str]

    def __init__(
        self,
        interface: str,
        hosts: Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
        *,
        adopted: Mapping[str, Any] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Plan the mesh and register its resources; at `up`, check first that the hosts whose address is known answer.

        Args:
            interface: The name of the interface, 1 to 15 characters.
            hosts: By name, what a stack file says below `mesh:hosts`. `externalIps`, `externalName`, `localIps`, and
                `address` and `hostKey` of `ssh` and its bastion may be outputs of other resources; which hosts there
                are may not.
            settings: What a stack file says below `mesh:interfaces.NAME`; without `hosts`, all of them.
            adopted: Keys that exist already, as in `mesh:adopted`; a value may not be an output.
            opts: Of the component.

        Raises:
            RunError: With every fault of the description, or each host that does not answer.
        """
        with faults_end_the_run():
            known = {INTERFACES: {interface: settings} if isinstance(interface, str) else interface, ADOPTED: adopted}

            def read(hosts: Mapping[str, Any]) -> Configuration:
                return read_configuration(hosts, {interface: {"hosts": list(hosts), **(settings or {})}})

            deferred = DeferredValues(hosts, known, read)
            configuration = read(deferred.plain)
            _claim_port(interface, configuration, deferred)
            keys = read_adopted(adopted, configuration)
            absent = absent_hosts(configuration, deferred.hosts)
        plan = plan_meshes(configuration)[interface]
        self.addresses = {member.name: str(member.address.ip) for member in plan.members}
        super().__init__(plan, configuration, keys, absent.get(interface, ()), opts, real=deferred.real)
