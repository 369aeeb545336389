"""What a rollout has yet to do, by the properties of its resource: which hosts to change, and which to wipe.

Every preview asks for it, so it imports nothing that reaches a host. `apply` does the work.
"""

from collections.abc import Mapping
from typing import Any

from mesh.plan.roster import find_leavers, is_roster, other_installations, roster_digest
from mesh.plan.roster_diff import describe_changes
from mesh.plan.unknown import is_known
from mesh.rollout.departures import new_mark, not_wiped
from mesh.stored.forms import Leaver, RolloutState, RosterState

__all__ = [
    "RolloutProperties",
    "changed_roster",
    "changing_hosts",
    "describe_unfinished",
    "describe_waiting",
    "differs",
    "plan_digest",
    "to_wipe",
]

RolloutProperties = Mapping[str, Any]


def plan_digest(props: RolloutProperties) -> str:
    """Return the digest of the plan that `props` ask for; see `roster_digest`."""
    return roster_digest(props["roster"], props["presharedKey"], props["mesh"])


def changed_roster(old: RosterState, news: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a change of a roster adds to it: who has left, and the revision.

    A plan gets another revision, unless hosts get the same of it. So one that comes back is rolled out again: some
    hosts may have confirmed the plan between, in a rollout that failed on others or was killed, and the state says
    nothing of that.
    """
    was, now = (roster_digest(each["roster"], "", each["mesh"]) for each in (old, news))
    return {
        "leavers": find_leavers(old["leavers"], old["roster"], news["roster"], new_mark()),
        "revision": old["revision"] if was == now else new_mark(),
    }


def to_wipe(news: RolloutProperties, olds: RolloutState) -> dict[str, Leaver]:
    """Return how SSH reaches each host that has left and is not known to be wiped since."""
    return not_wiped(news["leavers"], olds["wiped"])


def changing_hosts(news: RolloutProperties, olds: RolloutState) -> set[str]:
    """Return the hosts that are not known to run `news`: all after a change of the plan, else those that differ."""
    members = set(news["roster"]["members"])
    if not _is_recorded(olds, news):
        return members
    differing = {*_answering(news, olds), *olds["drift"], *other_installations(olds["roster"], news["roster"])}
    return (members & differing) - set(news["absent"])


def _is_recorded(olds: RolloutState, news: RolloutProperties) -> bool:
    """Tell whether the last rollout was of this plan, and no other was begun since."""
    return (
        olds["digest"] == plan_digest(news)
        and olds["rosterId"] == news["rosterId"]
        and olds["revision"] == news["revision"]
    )


def _answering(news: RolloutProperties, olds: RolloutState) -> set[str]:
    """Return the hosts that were left out of an earlier run and answer again; only `up` asks them, a preview says none.

    A host whose enrolment this run leaves out goes on waiting.
    """
    return set(olds["pending"]) - {*news["absent"], *(news.get("unenrolled") or ())}


def differs(olds: RolloutState, news: RolloutProperties) -> bool:
    """Tell whether `news`, partly unknown in a preview, asks for anything that `olds` does not record as done."""
    # `destroy --target` asks too what would be if some of it were not known.
    if not (isinstance(news["roster"], Mapping) and isinstance(news["leavers"], Mapping) and is_known(news)):
        return True
    return (
        not _is_recorded(olds, news)
        or olds["roster"] != news["roster"]
        or bool(to_wipe(news, olds))
        or bool(olds["drift"])
        or bool(_answering(news, olds))
        or not set(news["absent"]) <= set(olds["pending"])
    )


def describe_unfinished(olds: RolloutState, recorded: object, renamed: Mapping[str, str] | None = None) -> list[str]:
    """Return what an earlier run put into the `recorded` roster and did not bring to the hosts, in words."""
    if not is_roster(recorded):
        return []
    lines = describe_changes(olds["roster"], recorded, renamed)
    return ["an earlier run did not bring this to the hosts:", *(f"  {line}" for line in lines)] if lines else []


def describe_waiting(olds: RolloutState, news: RolloutProperties, *, described: bool = True) -> list[str]:
    """Return a line for each host that an earlier run did not reach, and that this one tries again.

    `described` tells whether a stack file describes the mesh: there `forget` writes what a user's own program is to.
    """
    if not isinstance(news["leavers"], Mapping):
        return []
    interface = olds["roster"]["interface"]
    waiting = sorted(set(olds["notWiped"]) & set(to_wipe(news, olds)))
    return [
        *(f"~ {host} was left out of an earlier run and gets its change" for host in olds["pending"]),
        *(
            f"- {host} has left and is not wiped yet; no member accepts its keys; if it is gone for good: "
            + (f"python -m mesh forget {host}" if described else f'set "forgotten": ["{host}"] for {interface}')
            for host in waiting
        ),
    ]
