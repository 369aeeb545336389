"""Describe a change once, though two resources know of it.

The engine asks each resource for its own difference, in one process, and the roster before the rollout, which depends
on it. The roster describes what the run changes. The rollout then describes only what an earlier run recorded in the
roster and did not bring to the hosts: so it has to know from which roster the change was described.
"""

from collections.abc import Mapping
from typing import Any

from mesh.plan.roster import Roster, is_roster
from mesh.plan.roster_diff import describe_changes
from mesh.rollout.pending_work import RolloutProperties, describe_unfinished, describe_waiting
from mesh.stored.forms import RolloutState

__all__ = ["tell_roster_change", "tell_unfinished"]

# By interface; one process serves one run.
_told_from: dict[str, Roster] = {}


def tell_roster_change(old: Roster, new: Roster, renamed: Mapping[str, str] | None = None) -> list[str]:
    """Return what changes from `old` to `new` in words, and remember that it was described."""
    _told_from[new["interface"]] = old
    return describe_changes(old, new, renamed)


def tell_unfinished(olds: RolloutState, news: RolloutProperties, *, described: bool = True) -> list[str]:
    """Return what earlier runs left to do: what they recorded and did not roll out, and hosts that wait.

    `described` is as for `describe_waiting`.
    """
    recorded: Any = _told_from.get(olds["roster"]["interface"], news["roster"])
    unfinished = describe_unfinished(olds, recorded, news.get("renamed"))
    if unfinished and is_roster(news["roster"]) and not describe_changes(olds["roster"], news["roster"]):
        # What was described a moment ago is the way back, and a list of it forwards would read as another change.
        unfinished = ["an earlier run did not bring that to the hosts, and this takes it back"]
    return [*unfinished, *describe_waiting(olds, news, described=described)]
