"""What the rollout resource does with its properties: change the hosts, record the outcome, and find drift.

Properties are plain data of the state. `pending_work` says whether there is work, and `transaction` does it.
"""

from collections.abc import Mapping
from typing import Any

from mesh.errors import HostError, MeshError, show_first, visible
from mesh.plan.pairs import Pairs
from mesh.plan.peer_config import peer_file
from mesh.plan.roster import is_roster
from mesh.progress import announce
from mesh.remote.concurrency import run
from mesh.remote.sessions import open_fan
from mesh.rollout.departures import name_departure
from mesh.rollout.drift import describe_drift
from mesh.rollout.facts import collect_facts
from mesh.rollout.fault import Fault
from mesh.rollout.pending_work import RolloutProperties, changing_hosts, plan_digest, to_wipe
from mesh.rollout.provider_process import engine_is_alive
from mesh.rollout.request import Rollout
from mesh.rollout.transaction import roll_out
from mesh.rollout.unreachable import may_skip
from mesh.rollout.wipe import wipe
from mesh.stored.forms import RolloutState

__all__ = ["deploy", "find_drift"]


def _say(line: str) -> None:
    announce("", [line])


def _check_complete(news: RolloutProperties) -> None:
    roster = news.get("roster")
    interface = roster["interface"] if is_roster(roster) else "rollout"
    # A resource that is new and left out has inputs for outputs, if anything.
    if not (is_roster(roster) and {"mesh", "rosterId", "leavers"} <= {name for name in news if news[name] is not None}):
        raise MeshError(
            f"{interface}: nothing was changed, since this run leaves out the roster (--target, --exclude); let it "
            "have all of the mesh"
        )
    participants = Pairs(roster).participants
    if news["unenrolled"]:
        raise MeshError(
            f"{interface}: nothing was changed, since {show_first(news['unenrolled'])} failed to be enrolled or is "
            "left out (--target, --exclude); let the next run have all of such a host"
        )
    is_pairwise = roster.get("presharedKeys") == "pairwise"
    if not news.get("presharedKey") or set(news["owners"]) != set(participants) or news["pairwise"] != is_pairwise:
        # Else a key would stay in use that a host knew which has left, or would give away the keys of all pairs.
        raise MeshError(
            f"{interface}: nothing was changed, since the preshared key is for other hosts or pairs than the roster; "
            f"add --target '**::{interface}/preshared-key'"
        )


def deploy(news: RolloutProperties, olds: RolloutState) -> RolloutState:
    """Change the hosts to `news` where they do not run it yet, wipe those that left, and return the new outputs.

    Raises:
        MeshError: If the mesh could not be changed and verified; the hosts then run what they ran before.
    """
    _check_complete(news)
    roster, plan = news["roster"], plan_digest(news)
    interface = roster["interface"]
    systems: dict[str, Any] = {}
    pending = set(news["absent"])
    changing = changing_hosts(news, olds)
    if changing:
        if len(changing) < len(roster["members"]):
            _say(f"{interface}: changing {show_first(sorted(changing))} only")
        rollout = Rollout(
            roster=roster,
            roster_id=news["rosterId"],
            mesh=news["mesh"],
            digest=plan,
            preshared_key=news["presharedKey"],
            skip_unreachable=may_skip(roster["unreachable"]),
            report=_say,
            alive=engine_is_alive,
            changing=changing,
            adopted=frozenset(news.get("adopted") or ()),
        )
        systems, left_out = run(lambda: roll_out(rollout))
        pending |= set(left_out)
    for name in _outdated_files(news, olds):
        _say(f"{interface}: {name} needs its new file: python -m mesh peer {name}")
    leaving = to_wipe(news, olds)
    not_wiped: dict[str, str] = {}
    if leaving:
        _say(f"{interface}: wiping {show_first(sorted(leaving))}")
        not_wiped = run(lambda: wipe(interface, news["mesh"], "any", leaving, _say))
    return {
        "mesh": news["mesh"],
        "roster": roster,
        "rosterId": news["rosterId"],
        "revision": news["revision"],
        "presharedKey": news["presharedKey"],
        "leavers": news["leavers"],
        "absent": news["absent"],
        "digest": plan,
        "systems": {**olds["systems"], **systems},
        "pending": sorted(pending),
        "wiped": sorted(name_departure(host, left) for host, left in news["leavers"].items() if host not in not_wiped),
        "notWiped": sorted(not_wiped),
        "drift": {},
    }


def _outdated_files(news: RolloutProperties, olds: RolloutState) -> list[str]:
    """Return the unmanaged peers whose files have changed."""

    def file(props: Mapping[str, Any], name: str) -> str | None:
        known = props["roster"].get("peers") or {}
        return peer_file(props["roster"], name, None, props["presharedKey"]) if name in known else None

    return [name for name in sorted(news["roster"].get("peers") or {}) if file(news, name) != file(olds, name)]


def find_drift(props: RolloutState, *, surveyed: bool = True) -> dict[str, list[str]]:
    """Return by host what differs there from the state, in words; `surveyed` if a refresh enrols lost hosts again.

    A host that does not answer is a difference too, unless its change is pending for that reason.
    """
    roster = props["roster"]
    interface = roster["interface"]
    pending = set(props["pending"])

    async def audit() -> tuple[dict[str, list[Fault]], dict[str, str]]:
        connections = {host: member["ssh"] for host, member in roster["members"].items()}
        async with open_fan(interface, connections, skip=HostError) as fan:
            facts, failures = await collect_facts(fan, roster, props["presharedKey"], "audit")
        plan = props["digest"]
        pairs = Pairs(roster)
        drift = {host: describe_drift(roster, host, own, plan, pairs, surveyed=surveyed) for host, own in facts.items()}
        return {host: faults for host, faults in drift.items() if faults}, {**fan.absent, **failures}

    faults, silent = run(audit)
    faults |= {host: [Fault(host, reason)] for host, reason in silent.items() if host not in pending}
    # The state holds lines.
    drift = {host: [visible(str(fault)) for fault in own] for host, own in sorted(faults.items())}
    waits = [
        f"{host}: its change is pending until it is back: {silent[host]}" for host in sorted(pending & silent.keys())
    ]
    announce(interface, [line for lines in drift.values() for line in lines] + waits)
    return drift
