"""The component of one mesh: its secrets, the enrolment of each host, the roster, and the rollout to all."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import pulumi_random as random
from pulumi import Alias, ComponentResource, Output, ResourceOptions

from mesh.component.enrolment import enrol, explain_failures
from mesh.component.partial_run import find_left_out, public_key, unless_left_out, without
from mesh.component.resources import KeyPair, PresharedKey, Rollout, Roster, Survey
from mesh.config.models import Configuration, SshSettings
from mesh.config.reader import Adopted
from mesh.keyring.expiry import expires_at
from mesh.plan.pairs import Pairs
from mesh.plan.peer_config import peer_file
from mesh.plan.roster_builder import build_roster
from mesh.plan.topology import MeshPlan, Participant, plan_meshes

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


def _under_former_name(interface: str, member: Participant, resource: str) -> ResourceOptions:
    """Return the option by which a renamed host goes on with the `resource` that it had under its former name."""
    former = member.formerly
    return ResourceOptions(aliases=[Alias(name=f"{interface}/{former}/{resource}")] if former else [])


class Mesh(ComponentResource):
    """A full mesh on one interface name; `public` is its plan for other stacks, once the rollout has proven it.

    `peer_files` are the secret wg-quick files of the peers that are not managed here, by name; None without any.
    """

    public: Output[dict[str, Any]]
    peer_files: Output[dict[str, str]] | None

    def __init__(
        self,
        plan: MeshPlan,
        configuration: Configuration,
        adopted: Adopted,
        absent: Collection[str] = (),
        opts: ResourceOptions | None = None,
        real: Callable[[Any], Any] = lambda value: value,
    ) -> None:
        """Register every resource of the mesh under names that hold interface and host, since `--target` sees names.

        The enrolment of hosts in `absent` is left out of this run, since it would hang; so it comes when they are back.
        `real` puts outputs into what follows from the plan, where values of hosts are not known yet.
        """
        name = plan.interface
        super().__init__("mesh:index:Mesh", name, None, opts)
        child = ResourceOptions(parent=self)
        # Tells two stacks that claim one interface apart. Entropy that is no key, so its id may be in clear.
        identity = random.RandomId(f"{name}/identity", byte_length=8, opts=child)
        keys = {
            owner.name: KeyPair(
                f"{name}/{owner.name}/key",
                interface=name,
                host=owner.name,
                rotation=owner.rotation,
                adopted=adopted.private_keys.get((name, owner.name), ""),
                max_key_age=plan.max_key_days,
                opts=ResourceOptions.merge(child, _under_former_name(name, owner, "key")),
            )
            for owner in plan.participants
            if owner.public_key is None
        }
        keyless = find_left_out(keys)
        preshared = PresharedKey(
            f"{name}/preshared-key",
            interface=name,
            owners=[owner.name for owner in plan.participants],
            pairwise=plan.preshared_keys == "pairwise",
            rotation=plan.rotation,
            adopted=adopted.preshared_keys.get(name, ""),
            max_key_age=plan.max_key_days,
            renamed={member.formerly: member.name for member in plan.members if member.formerly},
            # Whoever targets a host's key, and what depends on it, must not leave its owners behind.
            opts=ResourceOptions(parent=self, depends_on=without(keyless, keys)),
        )
        public_keys = {
            owner.name: owner.public_key or public_key(keyless, owner.name, keys[owner.name].publicKey)
            for owner in plan.participants
        }
        logins = {
            member.name: {
                "system": configuration.hosts[member.name].system or "",
                "ssh": _ssh_properties(configuration.hosts[member.name].ssh),
            }
            for member in plan.members
        }
        roster = Roster(
            f"{name}/roster",
            mesh=identity.hex,
            roster=real(build_roster(plan, public_keys, logins)),
            # One after the other: a run with --target writes a leaver's key ahead of the first resource that had it.
            # Of two at the same time, one may come out ahead of the key, and the state cannot be read again.
            opts=ResourceOptions(parent=self, depends_on=[preshared]),
        )
        explained = ResourceOptions(parent=self, hooks=explain_failures(name))
        survey = Survey(f"{name}/survey", interface=name, opts=child)
        enrolments = {
            member.name: enrol(
                f"{name}/{member.name}/enrol",
                interface=name,
                ssh=configuration.hosts[member.name].ssh,
                real=real,
                private_key=keys[member.name].privateKey,
                installation=survey.installations.apply(partial(_installation, member.name)),
                opts=ResourceOptions.merge(explained, _under_former_name(name, member, "enrol")),
            )
            for member in plan.members
            if member.name not in absent
        }
        unenrolled = find_left_out(enrolments)
        rollout = Rollout(
            f"{name}/rollout",
            mesh=identity.hex,
            roster=roster,
            preshared_key=preshared.presharedKey,
            owners=preshared.owners,
            pairwise=preshared.pairwise,
            unenrolled=unenrolled,
            absent=sorted(absent),
            adopted=[member.name for member in plan.members if adopted.private_key(name, member.name)],
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
        files = Output.all(
            roster=rollout.roster,
            preshared=preshared.presharedKey,
            private={peer.name: keys[peer.name].privateKey for peer in plan.peers if peer.name in keys},
        ).apply(_peer_files)
        self.peer_files = unless_left_out(Output.secret(files), rollout) if plan.peers else None
        self.register_outputs({"public": self.public})


def _installation(host: str, installations: Mapping[str, float]) -> int:
    return int(installations.get(host, 1))


def _peer_files(known: Mapping[str, Any]) -> dict[str, str]:
    roster, private = known["roster"], known["private"]
    return {name: peer_file(roster, name, private.get(name), known["preshared"]) for name in roster.get("peers") or {}}


def _public(max_key_days: int, known: Mapping[str, Any]) -> dict[str, Any]:
    roster = known["roster"]
    created = dict(known["keys"].values())

    def describe(participant: Mapping[str, Any]) -> dict[str, Any]:
        made = created.get(participant["publicKey"], "")
        return {
            **{
                field: participant[field]
                for field in ("address", "ipv4", "endpoint", "publicKey")
                if field in participant
            },
            "createdAt": made,
            "expiresAt": expires_at(made, max_key_days),
        }

    peers = {peer: describe(entry) for peer, entry in sorted((roster.get("peers") or {}).items())}
    return {
        "port": int(roster["port"]),
        "hosts": {host: describe(member) for host, member in sorted(roster["members"].items())},
        **({"peers": peers} if peers else {}),
        "presharedKeyCreatedAt": known["preshared"],
        "presharedKeyExpiresAt": expires_at(known["preshared"], max_key_days),
        **({"relay": roster["relay"]} if roster.get("relay") else {}),
        "cannotMeet": [list(pair) for pair in Pairs(roster).cannot_meet()],
        "notWiped": known["not_wiped"] or [],
        "pending": known["pending"] or [],
    }


def build_meshes(
    configuration: Configuration, adopted: Adopted, absent: Mapping[str, Collection[str]]
) -> dict[str, Mesh]:
    """Register every mesh of the configuration, without enrolling its `absent` hosts; return them by interface name."""
    plans = plan_meshes(configuration)
    return {name: Mesh(plan, configuration, adopted, absent.get(name, ())) for name, plan in plans.items()}
