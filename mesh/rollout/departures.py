"""Who has left a mesh, when, and who of them was wiped.

A host may leave, join and leave again. What is wiped is what one departure left behind; so the roster marks each, and
the rollout records which departures it has wiped, not which hosts.
"""

import secrets
from collections.abc import Collection, Mapping
from typing import Any

from mesh.stored.forms import Leaver

__all__ = ["name_departure", "new_mark", "not_wiped", "remember_wiped", "still_on_hosts"]

# By the id of the roster that the hosts were told; one process serves one run.
_wiped: dict[str, tuple[str, ...]] = {}


def new_mark() -> str:
    """Return what tells the departures of one update of a roster from those of every other."""
    return secrets.token_hex(4)


def name_departure(host: str, leaver: Leaver) -> str:
    """Return what the rollout records when it has wiped `host`; an earlier form of the state marks no departure."""
    mark = leaver.get("departure")
    return f"{host} {mark}" if mark else host


def not_wiped(leavers: Mapping[str, Leaver], wiped: Collection[str]) -> dict[str, Leaver]:
    """Return the leavers whose departure is not among those that were `wiped`."""
    return {host: leaver for host, leaver in leavers.items() if name_departure(host, leaver) not in wiped}


def remember_wiped(rollout: Mapping[str, Any]) -> None:
    """Remember what a rollout has wiped, for the end of its roster.

    Its resource goes first, so that the roster's could not tell any more. Where its state is damaged, nothing is known.
    """
    roster_id, wiped = rollout.get("rosterId"), rollout.get("wiped")
    if isinstance(roster_id, str) and isinstance(wiped, list | tuple):
        _wiped[roster_id] = tuple(map(str, wiped))


def still_on_hosts(roster_id: str, leavers: Mapping[str, Leaver]) -> dict[str, Leaver]:
    """Return the leavers of which no rollout of this run has said that they were wiped."""
    return not_wiped(leavers, _wiped.get(roster_id, ()))
