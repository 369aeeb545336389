"""The mesh as a component of any Pulumi program: `from mesh import Mesh`."""

from collections.abc import Mapping
from typing import Any

import pulumi

from mesh.component.deferred import DeferredValues
from mesh.component.mesh import MeshComponent
from mesh.component.preflight import absent_hosts, faults_end_the_run
from mesh.config.adopted import read_adopted
from mesh.config.reader import read_configuration
from mesh.plan.topology import plan_meshes

__all__ = ["Mesh"]


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
            deferred = DeferredValues(hosts)
            configuration = read_configuration(deferred.plain, {interface: {"hosts": list(hosts), **(settings or {})}})
            keys = read_adopted(adopted, configuration)
            absent = absent_hosts(configuration, deferred.hosts)
        plan = plan_meshes(configuration)[interface]
        self.addresses = {member.name: str(member.address.ip) for member in plan.members}
        super().__init__(plan, configuration, keys, absent.get(interface, ()), opts, real=deferred.real)
