"""What the rollout resource does with its properties: decide whether there is work, do it, and remember the outcome.

Properties are plain data of the state. The transaction itself is `rollout`.
"""

import socket
import sys
from collections.abc import Mapping
from typing import Any

from mesh.announce import announce
from mesh.concurrency import run
from mesh.drift import describe_drift
from mesh.errors import HostError, MeshError
from mesh.fanout import open_fan
from mesh.rollout import Rollout, collect_facts, roll_out, wipe
from mesh.roster import digest
from mesh.unreachable import may_skip

__all__ = ["deploy", "describe_waiting", "differs", "find_drift"]

Properties = Mapping[str, Any]


def _digest(props: Properties) -> str:
    return digest(props["roster"], props["presharedKey"], props["mesh"])


def _to_wipe(news: Properties, olds: Properties) -> dict[str, Any]:
    done = set(olds.get("wiped", []))
    return {host: ssh for host, ssh in news["leavers"].items() if host not in done}


def _changing(news: Properties, olds: Properties) -> set[str]:
    """Return the hosts that are not known to run `news`: all after a change of the plan, else who differs from it."""
    members = set(news["roster"]["members"])
    if olds.get("digest") != _digest(news) or olds.get("rosterId") != news["rosterId"]:
        return members
    differing = {*_answering(news, olds), *(olds.get("drift") or ()), *_with_another_key(news, olds)}
    return (members & differing) - set(news["absent"])


def _answering(news: Properties, olds: Properties) -> set[str]:
    """Return the hosts that were left out of an earlier run and answer again; only `up` looks, a preview says none.

    A host whose enrolment this run leaves out waits on.
    """
    return set(olds.get("pending") or ()) - {*news["absent"], *(news.get("unenrolled") or ())}


def _with_another_key(news: Properties, olds: Properties) -> set[str]:
    """Return the hosts with another SSH host key than before, which may be other installations."""
    before, after = olds["roster"]["members"], news["roster"]["members"]
    return {host for host in before.keys() & after if before[host]["ssh"]["hostKey"] != after[host]["ssh"]["hostKey"]}


def differs(olds: Properties, news: Properties) -> bool:
    """Tell whether `news`, partly unknown in a preview, asks for anything that `olds` does not record as done."""
    if not (isinstance(news["roster"], Mapping) and isinstance(news["leavers"], Mapping)):
        # A value that is not known before the change stands as a text.
        return True
    return (
        olds["digest"] != _digest(news)
        or olds["roster"] != news["roster"]
        or olds["rosterId"] != news["rosterId"]
        or bool(_to_wipe(news, olds))
        or bool(olds.get("drift"))
        or bool(_answering(news, olds))
        or not set(news["absent"]) <= set(olds.get("pending") or ())
    )


def describe_waiting(olds: Properties, news: Properties) -> list[str]:
    """Return a line for each host that an earlier run did not reach, and that this one tries again."""
    if not isinstance(news["leavers"], Mapping):
        return []
    not_wiped = sorted(set(olds.get("notWiped") or ()) & set(_to_wipe(news, olds)))
    return [
        *(f"~ {host} was left out of an earlier run and gets its change" for host in olds.get("pending") or ()),
        *(
            f"- {host} has left and is not wiped yet; no member accepts its keys; if it is gone for good: "
            f"python -m mesh forget {host}"
            for host in not_wiped
        ),
    ]


def _engine_is_alive() -> bool:
    # This process outlives an engine that was killed, and its own parent is a shell. The engine's address is its
    # argument, and nobody listens there any more.
    address = sys.argv[-1].rpartition(":")
    if not address[2].isdigit():
        return True
    try:
        socket.create_connection((address[0] or "127.0.0.1", int(address[2])), timeout=5).close()
    except OSError:
        return False
    return True


def _say(line: str) -> None:
    announce("", [line])


def _check_complete(news: Properties) -> None:
    if not isinstance(news.get("roster"), Mapping):
        raise MeshError("rollout: nothing was changed, since this run leaves out the roster; run it without --exclude")
    interface, members = news["roster"]["interface"], news["roster"]["members"]
    if news["unenrolled"]:
        raise MeshError(
            f"{interface}: nothing was changed, since {', '.join(news['unenrolled'])} failed to be enrolled or is left "
            "out (--target, --exclude); let the next run have all of such a host"
        )
    if set(news["owners"]) != set(members):
        # Else a key that a host knew would serve on after the host has left.
        raise MeshError(
            f"{interface}: nothing was changed, since the preshared key is for other hosts than the roster; "
            f"add --target '**::{interface}/preshared-key'"
        )


def deploy(news: Properties, olds: Properties) -> dict[str, Any]:
    """Bring the hosts to `news` where they are not there yet, wipe who left, and return the new outputs.

    Raises:
        MeshError: If the mesh could not be changed and proven; the hosts are then as before.
    """
    _check_complete(news)
    roster, plan = news["roster"], _digest(news)
    interface = roster["interface"]
    systems: dict[str, Any] = {}
    pending = set(news["absent"])
    changing = _changing(news, olds)
    if changing:
        if len(changing) < len(roster["members"]):
            _say(f"{interface}: changing {', '.join(sorted(changing))} only")
        rollout = Rollout(
            roster, news["rosterId"], news["mesh"], plan, news["presharedKey"], may_skip(roster["unreachable"]), _say,
            _engine_is_alive, changing, frozenset(news.get("adopted") or ()),
        )  # fmt: skip
        systems, left_out = run(lambda: roll_out(rollout))
        pending |= set(left_out)
    leaving = _to_wipe(news, olds)
    not_wiped: dict[str, str] = {}
    if leaving:
        _say(f"{interface}: wiping {', '.join(sorted(leaving))}")
        not_wiped = run(lambda: wipe(interface, news["mesh"], "any", leaving, _say))
    return {
        **{key: news[key] for key in ("mesh", "roster", "rosterId", "presharedKey", "leavers", "absent")},
        "digest": plan,
        "systems": {**olds.get("systems", {}), **systems},
        "pending": sorted(pending),
        "wiped": sorted(set(news["leavers"]) - set(not_wiped)),
        "notWiped": sorted(not_wiped),
        "drift": {},
    }


def find_drift(props: Properties) -> dict[str, list[str]]:
    """Return by host what differs there from the state, in words.

    A host that does not answer is such a difference too, but for one whose change is pending for that very reason.
    """
    roster = props["roster"]
    interface = roster["interface"]
    pending = set(props.get("pending") or ())

    async def look() -> tuple[dict[str, list[str]], dict[str, str]]:
        connections = {host: member["ssh"] for host, member in roster["members"].items()}
        async with open_fan(interface, connections, skip=HostError) as fan:
            facts, failures = await collect_facts(fan, props["presharedKey"], "audit")
        drift = {host: describe_drift(roster, host, report, props["digest"]) for host, report in facts.items()}
        return {host: lines for host, lines in drift.items() if lines}, {**fan.absent, **failures}

    drift, silent = run(look)
    drift |= {host: [f"{host}: {reason}"] for host, reason in silent.items() if host not in pending}
    drift = dict(sorted(drift.items()))
    waits = [
        f"{host}: its change is pending until it is back: {silent[host]}" for host in sorted(pending & silent.keys())
    ]
    announce(interface, [line for lines in drift.values() for line in lines] + waits)
    return drift
