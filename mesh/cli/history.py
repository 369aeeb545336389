"""What the runs of a stack changed, from the engine's history: the configuration that it keeps of each, run by run.

A run that failed changed no mesh, and one with targets perhaps a part of it; so the next one is compared with the run
before them. Where that one is not among what the engine keeps, nothing is said of the difference: the state of a stack
can move to another backend, and its history does not.

What follows from no stack file, such as a repair or a key that expired, can only be counted.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mesh.config.reader import read_configuration
from mesh.errors import ConfigurationError
from mesh.plan.roster import Roster
from mesh.plan.roster_builder import build_roster
from mesh.plan.roster_diff import describe_changes
from mesh.plan.topology import MeshPlan, plan_meshes

__all__ = ["Run", "read_history"]

_SECTIONS = ("mesh:hosts", "mesh:interfaces")
_KINDS = {"update": "up"}
# The runs that make the meshes as the stack file has them; others change none of that.
_ASKED_FOR = ("update", "destroy")
_NO_RUN_BEFORE = "what changed is not kept: the engine no longer has the run before it"
_NOT_DESCRIBED = "what changed is not kept: its configuration describes no mesh, as where a program of your own does"
_NOT_KEPT = "what changed is not kept: its configuration names a file of hosts, or is none that this version can read"

_Meshes = Mapping[str, MeshPlan]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the engine; `began` is in RFC 3339, and `lines` say what changed.

    `author` made the `commit` that was checked out, which may have been `edited` since; both are empty without git.
    """

    began: str
    kind: str
    result: str
    author: str
    commit: str
    edited: bool
    message: str
    lines: tuple[str, ...]

    @property
    def who(self) -> str:
        """Who made the commit, in words."""
        edited = " and edited since" if self.edited else ""
        return f"{self.author}, commit {self.commit[:8]}{edited}" if self.author else ""


def _meshes(config: Mapping[str, Any]) -> _Meshes | None:
    """Return the plans of a run's configuration; None if they can no longer be told."""
    hosts, interfaces = (config.get(name, {}).get("objectValue") for name in _SECTIONS)
    try:
        return plan_meshes(read_configuration(hosts, interfaces, config.get("mesh:rotation", {}).get("value")))
    except ConfigurationError:
        return None


def _why_not_kept(config: Mapping[str, Any]) -> str:
    """Return why the change of a run cannot be told, by its configuration."""
    return _NOT_KEPT if any(name.startswith("mesh:") for name in config) else _NOT_DESCRIBED


def _roster(plan: MeshPlan, before: MeshPlan | None) -> Roster:
    gone = {member.name for member in before.members} - {member.name for member in plan.members} if before else set()
    # A host has the same key as long as its name, or the former one; new keys show by their rotation.
    names = {owner.name: owner.formerly if owner.formerly in gone else owner.name for owner in plan.participants}
    logins = {name: {"system": "", "ssh": {"address": name, "port": 0}} for name in names}
    return build_roster(plan, names, logins)


def _changes(before: _Meshes, after: _Meshes) -> Iterator[str]:
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if new is None:
            yield f"- {name} is removed from all its hosts"
            continue
        lines = describe_changes(_roster(old, None) if old else None, _roster(new, old))
        lines += _new_keys(old, new) if old else []
        yield from (f"{name}: {line}" for line in ([] if old else ["+ a new mesh"]) + lines)


def _new_keys(old: MeshPlan, new: MeshPlan) -> list[str]:
    before = {owner.name: owner.rotation for owner in old.participants}
    turned = {
        o.name: (before[o.name], o.rotation) for o in new.participants if before.get(o.name) not in (None, o.rotation)
    }
    if len(turned) > 1 and len(turned) == len(new.participants):
        return ["~ every host gets a new key"]
    return [f"~ {name} gets a new key: rotation {was} becomes {now}" for name, (was, now) in turned.items()]


def read_history(entries: Iterable[Mapping[str, Any]], limit: int) -> list[Run]:
    """Return the latest runs, in the order of what `pulumi stack history --json` tells: the latest first.

    Of older ones, no more `entries` are taken than it needs to know what the oldest of these changed.
    """
    taken: list[Mapping[str, Any]] = []
    for entry in entries:
        taken.append(entry)
        if len(taken) > limit and _is_whole(entry):
            break
    runs: deque[Run] = deque(maxlen=limit)
    before: _Meshes | None = {}
    why = _NOT_KEPT
    if taken and not _made_all(taken[-1]):
        before, why = None, _NO_RUN_BEFORE
    for entry in reversed(taken):
        lines: list[str] = []
        if entry["kind"] in _ASKED_FOR:
            after = {} if entry["kind"] == "destroy" else _meshes(entry.get("config") or {})
            reason = _why_not_kept(entry.get("config") or {}) if after is None else why
            lines = [reason] if before is None or after is None else list(_changes(before, after))
            if _is_whole(entry):
                before, why = after, reason
        runs.appendleft(_run(entry, lines))
    return list(runs)


def _is_whole(entry: Mapping[str, Any]) -> bool:
    """Tell whether the meshes are since a run as its configuration has them."""
    return entry["kind"] in _ASKED_FOR and entry["result"] == "succeeded" and not _is_part(entry)


def _is_part(entry: Mapping[str, Any]) -> bool:
    environment = entry.get("environment") or {}
    return "pulumi.flag.target" in environment or "pulumi.flag.exclude" in environment


def _made_all(entry: Mapping[str, Any]) -> bool:
    """Tell whether a run found nothing, not even the stack itself, so that it is the first one."""
    return not {verb for verb, number in (entry.get("resourceChanges") or {}).items() if number} - {"create", "read"}


def _run(entry: Mapping[str, Any], lines: list[str]) -> Run:
    kind, result, environment = entry["kind"], entry["result"], entry.get("environment") or {}
    if not lines:
        count = sum(number for verb, number in (entry.get("resourceChanges") or {}).items() if verb != "same")
        lines = [f"{count} resource{'s' * (count != 1)} changed" if count else "nothing changed"]
    elif result != "succeeded":
        lines.insert(0, "this was to change:")
    elif _is_part(entry):
        lines.insert(0, "a part of this, since the run had targets:")
    message = "".join(entry.get("message", "").splitlines()[:1])
    git = [environment.get(f"git.{word}", "") for word in ("author", "head", "dirty")]
    return Run(
        entry["startTime"], _KINDS.get(kind, kind), result, git[0], git[1], git[2] == "true", message, tuple(lines)
    )
