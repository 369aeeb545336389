"""What a change of the roster reaches: which hosts and pairs change, and who gains or loses a peer.

A rollout goes over all hosts at once, but most tunnels stay as they are; these are the others.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from mesh.plan.pairs import Pairs
from mesh.plan.roster import Participant, Roster, other_installations

__all__ = ["Impact", "find_impact", "rename_hosts"]

# What every host has alike, and what of a participant no tunnel shows, or the pairs do.
_OF_ALL = ("port", "mtu", "names")
_NOT_IN_TUNNELS = ("ssh", "system", "peers")

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Impact:
    """The hosts and pairs that change, and how many there are; `gains` and `losses` are peers, by host."""

    hosts: frozenset[str]
    pairs: frozenset[Pair]
    of_hosts: int
    of_pairs: int
    gains: Mapping[str, tuple[str, ...]]
    losses: Mapping[str, tuple[str, ...]]


def find_impact(old: Roster | None, new: Roster | None, rekeyed: Collection[str], *, preshared: bool) -> Impact:
    """Return the impact of a change from `old`, in which hosts have the names of `new`, where either may be none.

    Args:
        old: What hosts run.
        new: What they are to run; with the keys of now for those whose key changes.
        rekeyed: Whose key changes.
        preshared: Whether the preshared key does.
    """
    before, after = (Pairs(roster) if roster else None for roster in (old, new))
    was, now = (set(pairs or ()) for pairs in (before, after))
    changed = _changed_participants(before, after) | set(rekeyed)
    everywhere = preshared or _of_all(old, "relay") != _of_all(new, "relay") or bool({_of_all(new, "relay")} & changed)
    pairs = was ^ now
    for pair in was & now:
        if before and after and (everywhere or changed & {*pair}):
            differs = preshared or set(rekeyed) & {*pair} or _view(before, *pair) != _view(after, *pair)
            pairs.update([pair] if differs else [])
    members = {*(old["members"] if old else ()), *(new["members"] if new else ())}
    is_of_all = any(_of_all(old, field) != _of_all(new, field) for field in _OF_ALL)
    installed = other_installations(old, new) if old and new else set()
    hosts = members if is_of_all else members & ({name for pair in pairs for name in pair} | changed | installed)
    # Its tunnels begin anew, though its peers hear of no change.
    pairs.update(pair for pair in was & now if installed & {*pair})
    stay = before.participants.keys() & after.participants.keys() if before and after else set()
    return Impact(
        frozenset(hosts), frozenset(pairs), len(members), len(was | now), _more(now - was, stay), _more(was - now, stay)
    )


def _of_all(roster: Roster | None, field: str) -> Any:
    return roster.get(field) or None if roster else None


def _changed_participants(before: Pairs | None, after: Pairs | None) -> set[str]:
    was, now = (
        {
            name: {field: value for field, value in participant.items() if field not in _NOT_IN_TUNNELS}
            for name, participant in (pairs.participants if pairs else {}).items()
        }
        for pairs in (before, after)
    )
    return {name for name in was.keys() | now.keys() if was.get(name) != now.get(name)}


def _view(pairs: Pairs, one: str, other: str) -> tuple[object, ...]:
    """Return all that both of a pair have of one another."""
    return tuple(
        (
            pairs.participants[peer]["publicKey"],
            pairs.endpoint(host, peer),
            pairs.keepalive(host, peer),
            pairs.allowed_ips(host, peer),
            pairs.relay_between(host, peer),
        )
        for host, peer in ((one, other), (other, one))
    )


def _more(pairs: Collection[Pair], stay: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the other ends of the pairs, by each participant that stays."""
    found: dict[str, list[str]] = {}
    for one, other in sorted(pairs):
        for name, peer in ((one, other), (other, one)):
            if name in stay:
                found.setdefault(name, []).append(peer)
    return {name: tuple(sorted(peers)) for name, peers in sorted(found.items())}


def rename_hosts(roster: Roster, renamed: Mapping[str, str]) -> Roster:
    """Return a roster in which each host of `renamed`, by its former name, has its new one."""

    def new(name: str) -> str:
        return renamed.get(name, name)

    def entry(participant: Participant) -> Any:
        names: dict[str, Any] = {}
        if "peers" in participant:
            names["peers"] = [new(name) for name in participant["peers"]]
        if "exitNode" in participant:
            names["exitNode"] = new(participant["exitNode"])
        return {**participant, **names}

    changed: Any = {**roster, "members": {new(name): entry(member) for name, member in roster["members"].items()}}
    if roster.get("peers"):
        changed["peers"] = {name: entry(peer) for name, peer in roster["peers"].items()}
    if roster.get("relay"):
        changed["relay"] = new(roster["relay"])
    return changed  # type: ignore[no-any-return]
