"""What the next `pulumi up` would change: the stack file beside the rollout that the state records, as plain data.

No host is asked and no secret is needed, so what only a host or a secret tells is not in it: drift, hosts that were
reinstalled, and keys that are adopted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mesh.cli.pulumi_cli import RecordedMesh
from mesh.config.models import Configuration
from mesh.keyring.expiry import expires_at
from mesh.keyring.foreseen import Foreseen, foresee_key_pair, foresee_preshared_key
from mesh.plan.expected_loss import expected_loss
from mesh.plan.impact import Impact, find_impact, rename_hosts
from mesh.plan.roster import Roster
from mesh.plan.roster_builder import build_roster, logins_of
from mesh.plan.roster_diff import describe_changes
from mesh.plan.topology import MeshPlan, plan_meshes
from mesh.rollout.pending_work import describe_waiting
from mesh.stored.forms import NO_ROLLOUT, RecordedKey

__all__ = ["PlannedChange", "plan_changes"]

_PRESHARED = ""


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """What becomes of one mesh: `lines` in the words of a preview, where one that begins with `!` is no change.

    `expiries` are when keys that stay expire, the earliest first: a date, and whose keys.
    """

    interface: str
    lines: tuple[str, ...]
    impact: Impact
    losses: tuple[str, ...]
    expiries: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def changes(self) -> bool:
        """Whether a run has anything to do."""
        return any(not line.startswith("!") for line in self.lines)


def plan_changes(configuration: Configuration, recorded: Mapping[str, RecordedMesh]) -> list[PlannedChange]:
    """Return what becomes of each mesh that is in the stack file or in the state."""
    plans = plan_meshes(configuration)
    return [
        _change(plans[name], configuration, recorded.get(name)) if name in plans else _removal(name, recorded[name])
        for name in sorted(plans.keys() | recorded.keys())
    ]


def _removal(name: str, recorded: RecordedMesh) -> PlannedChange:
    old = recorded.rollout["roster"]
    impact = find_impact(old, None, (), preshared=False)
    return PlannedChange(
        name, ("- it is removed from all its hosts",), impact, (*expected_loss(old, None, impact),), ()
    )


def _change(plan: MeshPlan, configuration: Configuration, recorded: RecordedMesh | None) -> PlannedChange:
    old = recorded.rollout["roster"] if recorded else None
    keys = _Keys(plan, recorded.key_states if recorded else {})
    new = build_roster(plan, keys.public_keys, logins_of(plan, configuration.hosts))
    lines = [*([] if old else ["+ a new mesh"]), *describe_changes(old, new, keys.renamed), *keys.lines]
    if recorded:
        lines += _waiting(recorded, new)
    if not lines and old != new:
        lines.append("~ only SSH or rollout settings change, and no tunnel does")
    before = rename_hosts(old, keys.renamed) if old else None
    impact = find_impact(before, new, keys.changed, preshared=keys.preshared)
    return PlannedChange(
        plan.interface, tuple(lines), impact, (*expected_loss(before, new, impact),), tuple(keys.expiries.items())
    )


def _waiting(recorded: RecordedMesh, new: Roster) -> list[str]:
    """Return what earlier runs left to do."""
    settled = {*new["members"], *new["forgotten"]}
    olds: Any = {**NO_ROLLOUT, **recorded.rollout}
    return describe_waiting(olds, {"leavers": {host: {} for host in recorded.not_wiped - settled}})


class _Keys:
    """The keys of a plan beside those of the state, by owner; what is not in the state is made."""

    def __init__(self, plan: MeshPlan, states: Mapping[str, RecordedKey]) -> None:
        names = {owner.name for owner in plan.participants}
        self.renamed = {
            owner.formerly: owner.name
            for owner in plan.participants
            if owner.formerly and owner.formerly in states and not {owner.formerly} & names
        }
        former = {name: formerly for formerly, name in self.renamed.items()}
        self.public_keys: dict[str, str] = {}
        self._foreseen: dict[str, Foreseen] = {}
        ends: list[tuple[str, str]] = []
        settings = {"interface": plan.interface, "maxKeyAge": plan.max_key_days}
        for owner in plan.participants:
            state = states.get(owner.name) or states.get(former.get(owner.name, owner.name))
            # Of a key that is not made yet nothing is known but whose it is.
            made = state.get("publicKey", "") if state else f"made for {owner.name}"
            self.public_keys[owner.name] = owner.public_key or made
            if state and owner.public_key is None:
                inputs = {**settings, "host": owner.name, "rotation": owner.rotation}
                self._foreseen[owner.name] = foresee_key_pair(state, inputs)
                ends.append((expires_at(state["createdAt"], plan.max_key_days)[:10], owner.name))
        if shared := states.get(_PRESHARED):
            inputs = {
                **settings, "rotation": plan.rotation, "renamed": self.renamed,
                "pairwise": plan.preshared_keys == "pairwise", "postQuantum": plan.require_post_quantum,
            }  # fmt: skip
            self._foreseen[_PRESHARED] = foresee_preshared_key(shared, inputs, names)
            ends.append((expires_at(shared["createdAt"], plan.max_key_days)[:10], _PRESHARED))
        self.preshared = _PRESHARED in self._foreseen and self._foreseen[_PRESHARED].changes
        self.changed = {name for name, foreseen in self._foreseen.items() if foreseen.changes and name}
        self.expiries: dict[str, tuple[str, ...]] = {}
        for date, name in sorted(ends):
            if date and not self._foreseen[name].changes:
                self.expiries[date] = (*self.expiries.get(date, ()), name or "preshared key")

    @property
    def lines(self) -> list[str]:
        """What becomes of keys, in words; one line where all hosts get a new one."""
        told = {name: foreseen.lines for name, foreseen in self._foreseen.items()}
        lines = []
        if len(self.changed) > 1 and self.changed == self._foreseen.keys() - {_PRESHARED}:
            lines.append("~ every host gets a new key")
            told = {name: told[name] for name in told.keys() - self.changed}
        return lines + [line for name in sorted(told) for line in told[name]]
