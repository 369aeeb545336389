"""The roster: the public data of all members of a mesh, what a host is told of it, and how a change reads in words.

A roster is plain data, since it is stored in the state:

    {"interface": "testwg", "port": 51825, "mtu": 1420, "deadline": 60, "unreachable": "stop", "forgotten": [],
     "members": {"bernard": {"publicKey": …, "address": "fd00:…::1/64", "endpoint": "78.11.11.11:51825" or "",
                             "keepalive": 0, "system": "" or "x86_64-linux", "ssh": {…}}}}

A member with a "localEndpoint" is sought there by those of the same "site". One has a "subnet" too where peers send it
less than the subnet of its address, since others share that.
It holds no secret. Sending it belongs to `rollout`.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv6Interface
from itertools import combinations
from typing import Any

from mesh.errors import MeshError

__all__ = [
    "Roster",
    "cannot_meet",
    "check_complete",
    "describe_changes",
    "digest",
    "find_leavers",
    "keepalive",
    "payload",
    "speaks_first",
]

Roster = Mapping[str, Any]

# What may change without a host having to hear of it.
_NOT_ON_HOSTS = ("ssh", "system")


def digest(roster: Roster, preshared_key: str, mesh: str) -> str:
    """Return the 64 hex digits that name one plan for all hosts: equal means that no host has to change."""
    members = {
        host: {
            **{field: value for field, value in member.items() if field not in _NOT_ON_HOSTS},
            # The engine hands back every number as a fraction, which is written differently.
            "keepalive": int(member["keepalive"]),
        }
        for host, member in roster["members"].items()
    }
    plan = {"port": int(roster["port"]), "mtu": int(roster["mtu"]), "members": members, "mesh": mesh}
    # The mesh's own identity is the salt, so that equal keys in two stacks do not show as equal.
    secret = hashlib.sha256(f"{mesh}:{preshared_key}".encode()).hexdigest()
    return hashlib.sha256((json.dumps(plan, sort_keys=True) + secret).encode()).hexdigest()


def endpoint_for(members: Mapping[str, Mapping[str, Any]], host: str, peer: str) -> str:
    """Return where `host` first seeks `peer`, an address with a port; empty where it has to wait to be spoken to."""
    site = members[peer].get("site")
    local = members[peer].get("localEndpoint") if site and site == members[host].get("site") else None
    return str(local or members[peer]["endpoint"])


def speaks_first(members: Mapping[str, Mapping[str, Any]], host: str, peer: str) -> str:
    """Return `first`, `second` or `never`: who of a pair opens it. Two initiations that cross cost both 5 seconds."""
    own, other = bool(endpoint_for(members, peer, host)), bool(endpoint_for(members, host, peer))
    if not own and not other:
        return "never"
    if own != other:
        return "first" if other else "second"
    return "first" if host < peer else "second"


def keepalive(members: Mapping[str, Mapping[str, Any]], host: str, peer: str) -> str:
    """Return after how many seconds `host` says something to `peer`, or `off`, as `wg` prints it."""
    seconds = int(members[host]["keepalive"]) if speaks_first(members, host, peer) != "never" else 0
    return str(seconds or "off")


def cannot_meet(roster: Roster) -> list[tuple[str, str]]:
    """Return the pairs of which neither has an endpoint, so that no first packet can be sent."""
    members = roster["members"]
    return [(a, b) for a, b in combinations(sorted(members), 2) if speaks_first(members, a, b) == "never"]


def subnet_of(member: Mapping[str, Any]) -> str:
    """Return the prefix that a member owns, in canonical form, as `wg` prints it."""
    return str(member.get("subnet") or IPv6Interface(member["address"]).network)


def find_leavers(earlier: Mapping[str, Any], old: Roster, new: Roster) -> dict[str, Any]:
    """Return how SSH reaches each host that is a member no more: those of `earlier`, and those that only `old` has.

    A machine that is a member under another name has not left, and one that is forgotten is not sought any more.
    """
    members = new["members"]
    settled = {*members, *new.get("forgotten", ())}
    machines = [_machine(member["ssh"]) for member in members.values()]
    left = {**earlier, **{host: member["ssh"] for host, member in old["members"].items()}}
    return {host: ssh for host, ssh in left.items() if host not in settled and _machine(ssh) not in machines}


def _machine(ssh: Mapping[str, Any]) -> tuple[Any, ...]:
    # A user or a key may change with the name; where the machine is, and behind what, does not.
    return (ssh["address"], int(ssh["port"]), (ssh.get("bastion") or {}).get("address"))


def payload(
    roster: Roster, host: str, preshared_key: str, *, mesh: str, roster_id: str, plan: str, adopted: bool = False
) -> str:
    """Return the lines that one host is told; they hold the preshared key, so they travel on standard input only.

    `adopted` lets the host hand over an interface that another stack, or somebody by hand, made with this very key.
    """
    members = roster["members"]
    own = members[host]
    lines = [
        f"mesh {mesh}",
        f"roster {roster_id}",
        f"digest {plan}",
        f"host {host}",
        f"address {own['address']}",
        f"port {int(roster['port'])}",
        f"mtu {int(roster['mtu'])}",
        f"public-key {own['publicKey']}",
        f"preshared-key {preshared_key}",
    ]
    if adopted:
        lines.append("adopted yes")
    for name, peer in sorted(members.items()):
        if name == host:
            continue
        turn = speaks_first(members, host, name)
        address = IPv6Interface(peer["address"]).ip
        lines.append(
            f"peer {name} {peer['publicKey']} {address} {endpoint_for(members, host, name) or '-'} "
            f"{keepalive(members, host, name)} {subnet_of(peer)} {turn}"
        )
    return "".join(f"{line}\n" for line in lines)


def _fingerprint(member: Mapping[str, Any]) -> str:
    key = member["publicKey"]
    # In a preview the engine gives an object of its own for a key that is not made yet.
    return f"{key[:8]}…" if isinstance(key, str) and len(key) == 44 else "a new key"


def _departures(leaving: Sequence[str], old: Roster | None, new: Roster) -> Iterator[str]:
    forgotten = set(new.get("forgotten", ()))
    machines = {_machine(member["ssh"]): host for host, member in new["members"].items()}
    for host in leaving:
        fate = "it is forgotten, so it is not wiped" if host in forgotten else "then it is wiped"
        now = machines.get(_machine(old["members"][host]["ssh"])) if old else None
        if now:
            fate = f"its machine is {now} now (which would keep its key with formerly: {host} in mesh:hosts.{now})"
        yield f"- {host} leaves: its peers drop it, {fate}; the preshared key is made anew"
    if leaving:
        yield "  a host that is not wiped keeps its key and the old preshared key; no member accepts either any more"
    for host in sorted(forgotten - set(old.get("forgotten", ()) if old else ()) - set(leaving)):
        yield f"- {host} is forgotten: no run tries to wipe it any more"


def check_complete(roster: Roster) -> None:
    """See that every member has a key, also one that is not made yet.

    Raises:
        MeshError: Naming the hosts that the run leaves out, though they are new.
    """
    missing = sorted(host for host, member in roster["members"].items() if member["publicKey"] == "")
    if missing:
        raise MeshError(
            f"{roster['interface']}: {', '.join(missing)} would be new, but this run leaves out the key (--target, "
            "--exclude); let the run have all of such a host, or take it out of hosts until later"
        )


def _renamed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """Return the former name of each host that has the key of one that is a member no more."""
    gone = {before[host]["publicKey"]: host for host in set(before) - set(after)}
    keys = {host: after[host]["publicKey"] for host in set(after) - set(before)}
    # A key that is not made yet is no text, but an object of the engine's own.
    return {host: gone[key] for host, key in keys.items() if isinstance(key, str) and key in gone}


def describe_changes(old: Roster | None, new: Roster) -> list[str]:
    """Return the change from `old` to `new` in words of the mesh, a line each; keys may still be unknown."""
    before = old["members"] if old else {}
    after = new["members"]
    renamed = _renamed(before, after)
    joining = sorted(set(after) - set(before) - set(renamed))
    leaving = sorted(set(before) - set(after) - set(renamed.values()))
    lines: list[str] = []
    for host in joining:
        where = after[host]["endpoint"] or "roaming"
        lines.append(f"+ {host} joins: {after[host]['address']}, {where}")
    lines.extend(_departures(leaving, old, new))
    lines.extend(f"~ {host} was {former}, and keeps its key" for host, former in sorted(renamed.items()))
    for host in sorted(set(before) & set(after) | set(renamed)):
        was, now = before[renamed.get(host, host)], after[host]
        if was["publicKey"] != now["publicKey"]:
            lines.append(f"~ {host} key: {_fingerprint(was)} becomes {_fingerprint(now)}")
        for field, label in (("endpoint", "endpoint"), ("address", "address"), ("keepalive", "persistent keepalive")):
            if was[field] != now[field]:
                lines.append(f"~ {host} {label}: {was[field] or 'none'} becomes {now[field] or 'none'}")
        if (before_there := was.get("localEndpoint")) != (there := now.get("localEndpoint")):
            lines.append(f"~ {host} endpoint within its site: {before_there or 'none'} becomes {there or 'none'}")
        if was["address"] == now["address"] and subnet_of(was) != subnet_of(now):
            lines.append(f"~ {host} allowed IPs: {subnet_of(was)} becomes {subnet_of(now)}")
    if old:
        for field, label in (("port", "listen port"), ("mtu", "MTU")):
            if old[field] != new[field]:
                lines.append(f"~ every host, {label}: {int(old[field])} becomes {int(new[field])}")
        stay = len(set(before) & set(after))
        if joining and stay:
            lines.append(f"  {stay} hosts gain {len(joining)} peer{'s' if len(joining) > 1 else ''}")
        if leaving and stay:
            lines.append(f"  {stay} hosts lose {len(leaving)} peer{'s' if len(leaving) > 1 else ''}")
    return lines
