"""The component of one mesh: its secrets, the enrolment of each host, the roster, and the rollout to all."""

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

import pulumi_random as random
from pulumi import Alias, ComponentResource, Output, ResourceOptions

from mesh.config import Adopted
from mesh.enrolment import enrol, explain_failures
from mesh.expiry import expires_at
from mesh.leftout import find_left_out, public_key, unless_left_out, without
from mesh.resources import KeyPair, PresharedKey, Rollout, Roster, Survey
from mesh.roster import cannot_meet
from mesh.settings import Configuration, SshSettings
from mesh.topology import Member, MeshPlan, plan_meshes

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


def _under_former_name(interface: str, member: Member, resource: str) -> ResourceOptions:
    """Return the option by which a renamed host goes on with the `resource` that it had under its former name."""
    former = member.formerly
    return ResourceOptions(aliases=[Alias(name=f"{interface}/{former}/{resource}")] if former else [])


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
        keys = {
            member.host: KeyPair(
                f"{name}/{member.host}/key",
                interface=name,
                host=member.host,
                rotation=member.rotation,
                adopted=adopted.private_keys.get((name, member.host), ""),
                max_key_age=plan.max_key_days,
                opts=ResourceOptions.merge(child, _under_former_name(name, member, "key")),
            )
            for member in plan.members
        }
        keyless = find_left_out(keys)
        preshared = PresharedKey(
            f"{name}/preshared-key",
            interface=name,
            owners=[member.host for member in plan.members],
            rotation=str(plan.rotation),
            adopted=adopted.preshared_keys.get(name, ""),
            max_key_age=plan.max_key_days,
            renamed={member.formerly: member.host for member in plan.members if member.formerly},
            # Whoever targets a host's key, and what depends on it, must not leave its owners behind.
            opts=ResourceOptions(parent=self, depends_on=without(keyless, keys)),
        )
        members = {
            member.host: {
                "publicKey": public_key(keyless, member.host, keys[member.host].publicKey),
                "address": str(member.address),
                **({"subnet": str(member.subnet)} if member.subnet != member.address.network else {}),
                "endpoint": member.endpoint or "",
                # What few hosts have is left out elsewhere, so that a newer version changes no roster.
                **({"site": member.site} if member.site else {}),
                **({"localEndpoint": member.local_endpoint} if member.local_endpoint else {}),
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
                "forgotten": list(plan.forgotten),
                "members": members,
            },
            # One after the other: a run with --target writes a leaver's key ahead of the first resource that had it.
            # Of two at the same time, one may come out ahead of the key, and the state cannot be read again.
            opts=ResourceOptions(parent=self, depends_on=[preshared]),
        )
        explained = ResourceOptions(parent=self, hooks=explain_failures(name))
        survey = Survey(f"{name}/survey", interface=name, opts=child)
        enrolments = {
            member.host: enrol(
                f"{name}/{member.host}/enrol",
                interface=name,
                ssh=configuration.hosts[member.host].ssh,
                private_key=keys[member.host].privateKey,
                installation=survey.installations.apply(partial(_installation, member.host)),
                opts=ResourceOptions.merge(explained, _under_former_name(name, member, "enrol")),
            )
            for member in plan.members
            if member.host not in absent
        }
        unenrolled = find_left_out(enrolments)
        rollout = Rollout(
            f"{name}/rollout",
            mesh=identity.hex,
            roster=roster,
            preshared_key=preshared.presharedKey,
            owners=preshared.owners,
            unenrolled=unenrolled,
            absent=sorted(absent),
            adopted=[member.host for member in plan.members if adopted.private_key(name, member.host)],
            opts=ResourceOptions(parent=self, depends_on=without(unenrolled, enrolments)),
        )
        public = Output.all(
            # Nothing of an unproven mesh is told to others; with --target, keys may be ahead of it.
            roster=rollout.roster,
            keys={host: [key.publicKey, key.createdAt] for host, key in keys.items()},
            preshared=preshared.createdAt,
            not_wiped=rollout.notWiped,
            pending=rollout.pending,
        ).apply(partial(_public, plan.max_key_days))
        self.public = unless_left_out(public, rollout)
        self.register_outputs({"public": self.public})


def _installation(host: str, installations: Mapping[str, float]) -> int:
    return int(installations.get(host, 1))


def _public(max_key_days: int, known: Mapping[str, Any]) -> dict[str, Any]:
    roster = known["roster"]
    created = dict(known["keys"].values())
    return {
        "port": int(roster["port"]),
        "hosts": {
            host: {
                "address": member["address"],
                "endpoint": member["endpoint"],
                "publicKey": member["publicKey"],
                "createdAt": created.get(member["publicKey"], ""),
                "expiresAt": expires_at(created.get(member["publicKey"], ""), max_key_days),
            }
            for host, member in sorted(roster["members"].items())
        },
        "presharedKeyCreatedAt": known["preshared"],
        "presharedKeyExpiresAt": expires_at(known["preshared"], max_key_days),
        "cannotMeet": [list(pair) for pair in cannot_meet(roster)],
        "notWiped": known["not_wiped"] or [],
        "pending": known["pending"] or [],
    }


def build_meshes(
    configuration: Configuration, adopted: Adopted, absent: Mapping[str, Collection[str]]
) -> dict[str, Mesh]:
    """Register every mesh of the configuration, without enrolling its `absent` hosts; return them by interface name."""
    plans = plan_meshes(configuration)
    return {name: Mesh(plan, configuration, adopted, absent.get(name, ())) for name, plan in plans.items()}
