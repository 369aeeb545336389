"""The component of one mesh: its secrets, the enrolment of each host, the roster, and the rollout to all."""

from collections.abc import Collection
from typing import Any

import pulumi_random as random
from pulumi import ComponentResource, Output, ResourceOptions

from mesh.config import Adopted
from mesh.enrolment import enrol
from mesh.resources import KeyPair, PresharedKey, Rollout, Roster
from mesh.settings import Configuration, SshSettings
from mesh.topology import MeshPlan, plan_meshes

__all__ = ["Mesh", "build_meshes"]


def _ssh_properties(ssh: SshSettings) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "address": ssh.address,
        "port": ssh.port,
        "user": ssh.user,
        "sudo": ssh.uses_sudo,
        "hostKey": ssh.host_key,
    }
    if ssh.bastion:
        bastion = ssh.bastion
        properties["bastion"] = {
            "address": bastion.address,
            "port": bastion.port,
            "user": bastion.user,
            "sudo": False,
            "hostKey": bastion.host_key,
        }
    return properties


class Mesh(ComponentResource):
    """A full mesh on one interface name; `public` is its plan for other stacks, once the rollout has proven it."""

    public: Output[dict[str, Any]]

    def __init__(
        self,
        plan: MeshPlan,
        configuration: Configuration,
        adopted: Adopted,
        absent: Collection[str] = (),
        opts: ResourceOptions | None = None,
    ) -> None:
        """Register every resource of the mesh under names that hold interface and host, since `--target` sees names.

        The enrolment of hosts in `absent` is left out of this run, since it would hang; so it comes when they are back.
        """
        name = plan.interface
        super().__init__("mesh:index:Mesh", name, None, opts)
        child = ResourceOptions(parent=self)
        # Tells two stacks that claim one interface apart. Entropy that is no key, so its id may be in clear.
        identity = random.RandomId(f"{name}/identity", byte_length=8, opts=child)
        preshared = PresharedKey(
            f"{name}/preshared-key",
            interface=name,
            owners=[member.host for member in plan.members],
            rotation=str(plan.rotation),
            adopted=adopted.preshared_keys.get(name, ""),
            opts=child,
        )
        keys = {
            member.host: KeyPair(
                f"{name}/{member.host}/key",
                interface=name,
                host=member.host,
                rotation=member.rotation,
                adopted=adopted.private_keys.get((name, member.host), ""),
                opts=child,
            )
            for member in plan.members
        }
        members = {
            member.host: {
                "publicKey": keys[member.host].publicKey,
                "address": str(member.address),
                **({"subnet": str(member.subnet)} if member.subnet != member.address.network else {}),
                "endpoint": member.endpoint or "",
                "keepalive": member.persistent_keepalive,
                "system": configuration.hosts[member.host].system or "",
                "ssh": _ssh_properties(configuration.hosts[member.host].ssh),
            }
            for member in plan.members
        }
        roster = Roster(
            f"{name}/roster",
            mesh=identity.hex,
            roster={
                "interface": name,
                "port": plan.port,
                "mtu": plan.mtu,
                "deadline": plan.deadline,
                "unreachable": plan.unreachable,
                "members": members,
            },
            opts=child,
        )
        enrolments = [
            enrol(
                f"{name}/{host}/enrol",
                interface=name,
                ssh=configuration.hosts[host].ssh,
                private_key=key.privateKey,
                opts=child,
            )
            for host, key in keys.items()
            if host not in absent
        ]
        rollout = Rollout(
            f"{name}/rollout",
            mesh=identity.hex,
            roster=roster,
            preshared_key=preshared.presharedKey,
            adopted=[member.host for member in plan.members if adopted.private_key(name, member.host)],
            opts=ResourceOptions(parent=self, depends_on=enrolments),
        )
        self.public = Output.all(
            keys={host: key.publicKey for host, key in keys.items()},
            created={host: key.createdAt for host, key in keys.items()},
            preshared=preshared.createdAt,
            # Nothing of an unproven mesh is told to others.
            digest=rollout.digest,
            not_wiped=rollout.notWiped,
            pending=rollout.pending,
        ).apply(lambda known: _public(plan, known))
        self.register_outputs({"public": self.public})


def _public(plan: MeshPlan, known: dict[str, Any]) -> dict[str, Any]:
    return {
        "port": plan.port,
        "hosts": {
            member.host: {
                "address": str(member.address),
                "endpoint": member.endpoint or "",
                "publicKey": known["keys"][member.host],
                "createdAt": known["created"][member.host],
            }
            for member in plan.members
        },
        "presharedKeyCreatedAt": known["preshared"],
        "cannotMeet": [list(pair) for pair in plan.pairs_that_cannot_meet()],
        "notWiped": known["not_wiped"] or [],
        "pending": known["pending"] or [],
    }


def build_meshes(configuration: Configuration, adopted: Adopted, absent: Collection[str] = ()) -> dict[str, Mesh]:
    """Register every mesh of the configuration, without enrolling `absent` hosts; return them by interface name."""
    return {name: Mesh(plan, configuration, adopted, absent) for name, plan in plan_meshes(configuration).items()}
