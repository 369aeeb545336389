"""The component of one mesh: its secrets, the enrolment of each host, the roster, and the rollout to all."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import pulumi_random as random
from pulumi import Alias, ComponentResource, CustomResource, Output, ResourceOptions

from mesh.component.enrolment import enrol, explain_failures
from mesh.component.partial_run import find_left_out, public_key, unless_left_out, value_of, without
from mesh.component.resources import (
    KeyPairResource,
    PresharedKeyResource,
    RolloutResource,
    RosterResource,
    SurveyResource,
)
from mesh.component.stack_traces import no_stack_traces
from mesh.config.adopted import Adopted
from mesh.config.models import Configuration
from mesh.keyring.expiry import expires_at
from mesh.plan.installations import installation_of
from mesh.plan.pairs import Pairs
from mesh.plan.peer_config import peer_file
from mesh.plan.roster_builder import build_roster, logins_of
from mesh.plan.topology import MeshPlan, PlannedParticipant, plan_meshes

__all__ = ["MeshComponent", "build_meshes"]


def _former_name(interface: str, member: PlannedParticipant, resource: str) -> ResourceOptions:
    """Return the option by which a renamed host goes on with the `resource` that it had under its former name."""
    former = member.formerly
    return ResourceOptions(aliases=[Alias(name=f"{interface}/{former}/{resource}")] if former else [])


class MeshComponent(ComponentResource):
    """A full mesh on one interface name; `public` is its plan for other stacks, once the rollout has verified it.

    `peer_files` are the secret wg-quick files of the unmanaged peers, by name; None without any.
    """

    public: Output[dict[str, Any]]
    peer_files: Output[dict[str, str]] | None

    @no_stack_traces()
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
        self._name = plan.interface
        self._plan, self._hosts, self._adopted, self._real = plan, configuration.hosts, adopted, real
        self._renamed = {member.formerly: member.name for member in plan.members if member.formerly}
        super().__init__("mesh:index:Mesh", self._name, None, opts)
        # Tells two stacks that claim one interface apart. Entropy that is no key, so its id may be in clear.
        identity = random.RandomId(f"{self._name}/identity", byte_length=8, opts=ResourceOptions(parent=self))
        keys = self._register_keys()
        keyless = find_left_out(keys)
        # Whoever targets a host's key, and what depends on it, must not leave the key's owners behind.
        preshared = self._register_preshared_key(depends_on=without(keyless, keys))
        public_keys = {
            owner.name: owner.public_key or public_key(keyless, owner.name, keys[owner.name].publicKey)
            for owner in plan.participants
        }
        first = {"preshared-key": preshared}
        roster = RosterResource(
            f"{self._name}/roster",
            mesh=identity.hex,
            roster=real(build_roster(plan, public_keys, logins_of(plan, self._hosts))),
            renamed=self._renamed,
            # One after the other: a run with --target writes a leaver's key ahead of the first resource that had it.
            # Of two at the same time, one may come out ahead of the key, and the state cannot be read again.
            opts=ResourceOptions(parent=self, depends_on=without(find_left_out(first), first)),
        )
        rollout = self._register_rollout(identity, roster, preshared, self._enrol(keys, absent), absent)
        self.public = self._describe(rollout, keys, preshared)
        self.peer_files = self._write_peer_files(rollout, keys, preshared) if plan.peers else None
        self.register_outputs({"public": self.public})

    def _register_keys(self) -> dict[str, KeyPairResource]:
        plan = self._plan
        return {
            owner.name: KeyPairResource(
                f"{self._name}/{owner.name}/key",
                interface=self._name,
                host=owner.name,
                rotation=owner.rotation,
                adopted=self._adopted.private_keys.get((self._name, owner.name), ""),
                max_key_age=plan.max_key_days,
                opts=ResourceOptions.merge(ResourceOptions(parent=self), _former_name(self._name, owner, "key")),
            )
            for owner in plan.participants
            if owner.public_key is None
        }

    def _register_preshared_key(self, depends_on: Any) -> PresharedKeyResource:
        plan = self._plan
        return PresharedKeyResource(
            f"{self._name}/preshared-key",
            interface=self._name,
            owners=[owner.name for owner in plan.participants],
            pairwise=plan.preshared_keys == "pairwise",
            post_quantum=plan.require_post_quantum,
            rotation=plan.rotation,
            adopted=self._adopted.preshared_keys.get(self._name, ""),
            max_key_age=plan.max_key_days,
            renamed=self._renamed,
            opts=ResourceOptions(parent=self, depends_on=depends_on),
        )

    def _enrol(self, keys: Mapping[str, KeyPairResource], absent: Collection[str]) -> dict[str, CustomResource]:
        explained = ResourceOptions(parent=self, hooks=explain_failures(self._name))
        survey = SurveyResource(f"{self._name}/survey", interface=self._name, opts=ResourceOptions(parent=self))
        return {
            member.name: enrol(
                f"{self._name}/{member.name}/enrol",
                interface=self._name,
                ssh=self._hosts[member.name].ssh,
                real=self._real,
                private_key=keys[member.name].privateKey,
                installation=value_of(survey, _count(survey, member), 1),
                opts=ResourceOptions.merge(explained, _former_name(self._name, member, "enrol")),
            )
            for member in self._plan.members
            if member.name not in absent
        }

    def _register_rollout(
        self,
        identity: random.RandomId,
        roster: RosterResource,
        preshared: PresharedKeyResource,
        enrolments: Mapping[str, CustomResource],
        absent: Collection[str],
    ) -> RolloutResource:
        unenrolled = find_left_out(enrolments)
        return RolloutResource(
            f"{self._name}/rollout",
            mesh=identity.hex,
            roster=roster,
            preshared_key=preshared.presharedKey,
            owners=preshared.owners,
            pairwise=preshared.pairwise,
            unenrolled=unenrolled,
            absent=sorted(absent),
            renamed=self._renamed,
            adopted=[host for interface, host in self._adopted.private_keys if interface == self._name],
            opts=ResourceOptions(parent=self, depends_on=without(unenrolled, enrolments)),
        )

    def _describe(
        self, rollout: RolloutResource, keys: Mapping[str, KeyPairResource], preshared: PresharedKeyResource
    ) -> Output[dict[str, Any]]:
        public = Output.all(
            # Nothing of an unproven mesh is told to others; with --target, keys may be ahead of it.
            roster=rollout.roster,
            keys={host: [key.publicKey, key.createdAt] for host, key in keys.items()},
            preshared=preshared.createdAt,
            not_wiped=rollout.notWiped,
            pending=rollout.pending,
        ).apply(partial(_public, self._plan.max_key_days))
        return unless_left_out(public, rollout)

    def _write_peer_files(
        self, rollout: RolloutResource, keys: Mapping[str, KeyPairResource], preshared: PresharedKeyResource
    ) -> Output[dict[str, str]]:
        files = Output.all(
            roster=rollout.roster,
            preshared=preshared.presharedKey,
            private={peer.name: keys[peer.name].privateKey for peer in self._plan.peers if peer.name in keys},
        ).apply(_peer_files)
        return unless_left_out(Output.secret(files), rollout)


def _installation(host: str, former: str | None, installations: Mapping[str, float]) -> int:
    return installation_of(host, former, {name: int(count) for name, count in installations.items()})


def _count(survey: SurveyResource, member: PlannedParticipant) -> Output[int]:
    return survey.installations.apply(partial(_installation, member.name, member.formerly))


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
) -> dict[str, MeshComponent]:
    """Register every mesh of the configuration, without enrolling its `absent` hosts; return them by interface name."""
    plans = plan_meshes(configuration)
    return {name: MeshComponent(plan, configuration, adopted, absent.get(name, ())) for name, plan in plans.items()}
