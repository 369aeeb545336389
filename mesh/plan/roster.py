"""The roster: the public data of all members of a mesh, and what a host is told of it.

A roster is plain data, since it is stored in the state:

    {"interface": "testwg", "port": 51825, "mtu": 1420, "deadline": 60, "unreachable": "stop", "forgotten": [],
     "members": {"bernard": {"publicKey": …, "address": "fd00:…::1/64", "endpoint": "78.11.11.11:51825" or "",
                             "keepalive": 0, "system": "" or "x86_64-linux", "ssh": {…}}}}

An endpoint may be a name with a port, which each host resolves for itself: a changed answer is no change of the roster.

What few meshes have is left out elsewhere, so that a newer version of mesh changes no roster: a member's "subnet" where
peers send it less than the subnet of its address, since others share that; its "ipv4" address; its "site" and the
"localEndpoint", which hosts of its site use; its "otherEndpoint" of the other IP version; its "peers" where
those are not all others. The roster's "peers" are the unmanaged peers: no "system" and no "ssh".
A participant's "routes" are the networks behind it, "masquerade" says whether a host that has any, or is an exit node,
forwards packets with its own address as source, and "exitNode" is the host that is its default route.
The roster's "relay" names the host over which pairs talk that cannot meet, and with "names" hosts find each other as
NAME.INTERFACE; its "presharedKeys" are "pairwise" where each pair has one of its own. With "postQuantum" they go to
hosts by SSH with a post-quantum key exchange only.
It holds no secret. `pairs` says which participants are peers.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict, TypeGuard

from mesh.config.connection import Connection
from mesh.errors import MeshError, show_first

__all__ = [
    "Member",
    "Participant",
    "Roster",
    "check_complete",
    "find_leavers",
    "is_another_installation",
    "is_another_machine",
    "is_roster",
    "machine_of",
    "other_installations",
    "participants_of",
    "roster_digest",
]


class Participant(TypedDict):
    """What others are told of a participant; `keepalive` is in seconds, 0 for off."""

    publicKey: str
    address: str
    endpoint: str
    keepalive: int
    subnet: NotRequired[str]
    ipv4: NotRequired[str]
    site: NotRequired[str]
    localEndpoint: NotRequired[str]
    otherEndpoint: NotRequired[str]
    peers: NotRequired[list[str]]
    routes: NotRequired[list[str]]
    masquerade: NotRequired[bool]
    exitNode: NotRequired[str]


class Member(Participant):
    """A participant that is a host of ours."""

    system: str
    ssh: Connection


class Roster(TypedDict):
    """The public data of all members of one mesh; `deadline` is in seconds, `mtu` in bytes."""

    interface: str
    port: int
    mtu: int
    deadline: int
    unreachable: str
    forgotten: list[str]
    members: dict[str, Member]
    peers: NotRequired[dict[str, Participant]]
    relay: NotRequired[str]
    names: NotRequired[bool]
    presharedKeys: NotRequired[str]
    postQuantum: NotRequired[bool]


# What may change without a host having to hear of it.
_NOT_ON_HOSTS = ("ssh", "system")


def is_roster(value: object) -> TypeGuard[Roster]:
    """Tell whether a property is a roster, and not a value that the run leaves out or that is not known yet."""
    return isinstance(value, Mapping)


def participants_of(roster: Roster) -> dict[str, Participant]:
    """Return the members and the unmanaged peers, by name."""
    return {**roster["members"], **(roster.get("peers") or {})}


def _for_digest(participants: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        name: {
            **{field: value for field, value in participant.items() if field not in _NOT_ON_HOSTS},
            # The engine hands back every number as a fraction, which is written differently.
            "keepalive": int(participant["keepalive"]),
        }
        for name, participant in participants.items()
    }


def roster_digest(roster: Roster, preshared_key: str, mesh: str) -> str:
    """Return the 64 hex digits that name one plan for all hosts: equal means that no host has to change."""
    plan = {
        "port": int(roster["port"]),
        "mtu": int(roster["mtu"]),
        "members": _for_digest(roster["members"]),
        "mesh": mesh,
    }
    if roster.get("peers"):
        plan["peers"] = _for_digest(roster["peers"])
    plan |= {field: roster[field] for field in ("relay", "names", "presharedKeys") if roster.get(field)}
    # The mesh's own identity is the salt, so that equal keys in two stacks do not show as equal.
    secret = hashlib.sha256(f"{mesh}:{preshared_key}".encode()).hexdigest()
    return hashlib.sha256((json.dumps(plan, sort_keys=True) + secret).encode()).hexdigest()


def find_leavers(earlier: Mapping[str, Any], old: Roster, new: Roster, departure: str) -> dict[str, Any]:
    """Return how SSH reaches each host that is no longer a member: those of `earlier`, and those that only `old` has.

    The latter are marked with `departure`, which tells this time from an earlier one. A machine that is a member under
    another name has not left, and one that is forgotten is no longer contacted.
    """
    members = new["members"]
    settled = {*members, *new.get("forgotten", ())}
    machines = [machine_of(member["ssh"]) for member in members.values()]
    left = {**earlier, **{host: {**member["ssh"], "departure": departure} for host, member in old["members"].items()}}
    return {host: ssh for host, ssh in left.items() if host not in settled and machine_of(ssh) not in machines}


def machine_of(ssh: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what tells one machine from another: where SSH finds it, and behind what."""
    # A user or a key may change with the name; where the machine is, and behind what, does not.
    # The engine hands back every number as a fraction, which is equal.
    return (ssh["address"], ssh["port"], (ssh.get("bastion") or {}).get("address"))


def is_another_installation(was: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Tell whether SSH finds another host key than before, as after a reinstallation: nothing of ours may be there."""
    return bool(was["ssh"].get("hostKey") != now["ssh"].get("hostKey"))


def other_installations(old: Roster, new: Roster) -> set[str]:
    """Return the members of both whose SSH host key is another one."""
    was, now = old["members"], new["members"]
    return {host for host in was.keys() & now.keys() if is_another_installation(was[host], now[host])}


def is_another_machine(was: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Tell whether SSH also finds it elsewhere: then the machine before may go on as it is."""
    return is_another_installation(was, now) and machine_of(was["ssh"]) != machine_of(now["ssh"])


def check_complete(roster: Roster, mesh: object) -> None:
    """Check that the `mesh` has an identity and every member a key, even if these are not made yet.

    Raises:
        MeshError: Naming what the run leaves out, though it is new.
    """
    if not mesh:
        raise MeshError(
            f"{roster['interface']}: this run leaves out the identity of the mesh, which is new (--target, --exclude); "
            "let it have all of the mesh"
        )
    missing = sorted(name for name, entry in participants_of(roster).items() if entry["publicKey"] == "")
    if missing:
        raise MeshError(
            f"{roster['interface']}: {show_first(missing)} would be new, but this run leaves out the key (--target, "
            "--exclude); let the run have all of such a host, or take it out of hosts until later"
        )
