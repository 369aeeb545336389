"""What the rollout resource does with its properties: decide whether there is work, do it, and remember the outcome.

Properties are plain data of the state. The transaction itself is `rollout`.
"""

import socket
import sys
from collections.abc import Mapping
from typing import Any

from mesh.announce import announce
from mesh.concurrency import run
from mesh.errors import HostError
from mesh.fanout import open_fan
from mesh.proof import find_faults
from mesh.rollout import Rollout, collect_facts, roll_out, wipe
from mesh.roster import digest

__all__ = ["deploy", "differs", "find_drift"]

Properties = Mapping[str, Any]


def _digest(props: Properties) -> str:
    return digest(props["roster"], props["presharedKey"], props["mesh"])


def _to_wipe(news: Properties, olds: Properties) -> dict[str, Any]:
    done = set(olds.get("wiped", []))
    return {host: ssh for host, ssh in news["leavers"].items() if host not in done}


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
        or bool(olds.get("pending"))
    )


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


def deploy(news: Properties, olds: Properties) -> dict[str, Any]:
    """Bring the hosts to `news` where they are not there yet, wipe who left, and return the new outputs.

    Raises:
        MeshError: If the mesh could not be changed and proven; the hosts are then as before.
    """
    roster, plan = news["roster"], _digest(news)
    interface = roster["interface"]
    systems: dict[str, Any] = {}
    pending: dict[str, str] = {}
    settled = olds.get("digest") == plan and olds.get("rosterId") == news["rosterId"]
    if not settled or olds.get("drift") or olds.get("pending"):
        rollout = Rollout(
            roster, news["rosterId"], news["mesh"], plan, news["presharedKey"], _say, _engine_is_alive,
            frozenset(news.get("adopted") or ()),
        )  # fmt: skip
        systems, pending = run(lambda: roll_out(rollout))
    leaving = _to_wipe(news, olds)
    not_wiped: dict[str, str] = {}
    if leaving:
        _say(f"{interface}: wiping {', '.join(sorted(leaving))}")
        not_wiped = run(lambda: wipe(interface, news["mesh"], "any", leaving, _say))
    return {
        **{key: news[key] for key in ("mesh", "roster", "rosterId", "presharedKey", "leavers")},
        "digest": plan,
        "systems": {**olds.get("systems", {}), **systems},
        "pending": sorted(pending),
        "wiped": sorted(set(news["leavers"]) - set(not_wiped)),
        "notWiped": sorted(not_wiped),
        "drift": {},
    }


def find_drift(props: Properties) -> dict[str, list[str]]:
    """Return by host what its kernel runs differently from the state, in words; an unreachable host says so."""
    roster = props["roster"]
    interface = roster["interface"]

    async def look() -> dict[str, list[str]]:
        connections = {host: member["ssh"] for host, member in roster["members"].items()}
        async with open_fan(interface, connections, skip=HostError) as fan:
            facts, failures = await collect_facts(fan, props["presharedKey"])
        drift = {host: find_faults(roster, {host: report}, []) for host, report in facts.items()}
        for host, report in facts.items():
            if report.confirmed != props["digest"]:
                drift[host].append(f"{host}: the last rollout was not confirmed here; run pulumi up --refresh")
        for host, reason in {**fan.absent, **failures}.items():
            drift[host] = [f"{host}: {reason}"]
        return {host: lines for host, lines in sorted(drift.items()) if lines}

    drift = run(look)
    announce(interface, [line for lines in drift.values() for line in lines])
    return drift
