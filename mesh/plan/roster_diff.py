"""How a change of the roster reads in words of the mesh, for previews; secrets are in no roster.

In a preview, any value may be one that is not known yet.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from mesh.errors import visible
from mesh.plan.impact import rename_hosts
from mesh.plan.machine_changes import describe_machine
from mesh.plan.pairs import Pairs, allowed_ips
from mesh.plan.roster import Participant, Roster, machine_of
from mesh.plan.unknown import KNOWN_LATER, in_words

__all__ = ["describe_changes"]

_SHOWN_PAIRS = 20


def _fingerprint(member: Mapping[str, Any]) -> str:
    key = member["publicKey"]
    return f"{key[:8]}…" if len(key) == 44 else "a new key"


def _where(participant: Participant) -> str:
    endpoint = participant["endpoint"] or "roaming"
    return endpoint.replace(KNOWN_LATER, f"an endpoint {KNOWN_LATER.removeprefix('one ')}")


def _departures(leaving: Sequence[str], old: Roster | None, new: Roster) -> Iterator[str]:
    forgotten = set(new.get("forgotten", ()))
    machines = {machine_of(member["ssh"]): host for host, member in new["members"].items()}
    parted = [host for host in leaving if host not in (new.get("peers") or {})]
    for host in leaving:
        fate = "it is forgotten, so it is not wiped" if host in forgotten else "then it is wiped"
        now = machines.get(machine_of(old["members"][host]["ssh"])) if old else None
        if now:
            fate = f"its machine is {now} now (which would keep its key with formerly: {host} in mesh:hosts.{now})"
        if host in parted:
            yield f"- {host} leaves: its peers drop it, {fate}; the preshared key is regenerated"
        else:
            yield f"- {host} is no longer managed here: {fate}, and needs its file, since its peers keep it"
    if parted:
        yield "  a host that is not wiped keeps its key and the old preshared key; no member with the change accepts it"
    for host in sorted(forgotten - set(old.get("forgotten", ()) if old else ()) - set(leaving)):
        yield f"- {host} is forgotten: runs no longer try to wipe it"


def _former_names(before: Mapping[str, Any], after: Mapping[str, Any], told: Mapping[str, str]) -> dict[str, str]:
    """Return the former name of each host that is told to be renamed, or has the key of one that is no member now."""
    left, came = set(before) - set(after), set(after) - set(before)
    keys = {before[host]["publicKey"]: host for host in left}
    same_key = {host: keys[key] for host in came if (key := after[host]["publicKey"]) in keys}
    return same_key | {host: former for former, host in told.items() if former in left and host in came}


_FIELDS = (
    ("site", "site"),
    ("endpoint", "endpoint"),
    ("otherEndpoint", "endpoint of the other IP version"),
    ("localEndpoint", "endpoint within its site"),
    ("address", "address"),
    ("ipv4", "IPv4 address"),
    ("keepalive", "persistent keepalive"),
)


def _changes_of(name: str, was: Participant, now: Participant) -> Iterator[str]:
    if was["publicKey"] != now["publicKey"]:
        yield f"~ {name} key: {_fingerprint(was)} becomes {_fingerprint(now)}"
    for field, label in _FIELDS:
        if was.get(field) != now.get(field):
            yield f"~ {name} {label}: {_value(was.get(field))} becomes {_value(now.get(field))}"
    yield from _routing_changes(name, was, now)
    same = was["address"] == now["address"] and was.get("ipv4") == now.get("ipv4")
    if same and (former := allowed_ips(was)) != (prefixes := allowed_ips(now)):
        yield f"~ {name} allowed IPs: {', '.join(former)} becomes {', '.join(prefixes)}"


def _routing_changes(name: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Yield the routes to this participant that are added or removed, and a change of its exit node."""
    before, after = was.get("routes") or [], now.get("routes") or []
    yield from (f"+ {name} routes {route}" for route in after if route not in before)
    yield from (f"- {name} no longer routes {route}" for route in before if route not in after)
    if was.get("masquerade") != now.get("masquerade"):
        said = {None: "by default", True: "always", False: "never", KNOWN_LATER: KNOWN_LATER}
        yield f"~ {name} masquerades: {said[was.get('masquerade')]} becomes {said[now.get('masquerade')]}"
    if (former := was.get("exitNode")) != (node := now.get("exitNode")):
        if node:
            yield f"+ {name} uses {node} as exit node" + (f" instead of {former}" if former else "")
        else:
            yield f"- {name} no longer uses {former} as exit node"


def _peering_changes(old: Roster, new: Roster, stay: Collection[str]) -> list[str]:
    """Return a line for each two participants that stay, and become peers or stop being peers."""
    if not any("peers" in member for roster in (old, new) for member in roster["members"].values()):
        return []
    before, after = Pairs(old), Pairs(new)
    was, now = set(before), set(after)
    lines = [
        *(f"+ {one} and {other} become peers" for one, other in sorted(now - was) if {one, other} <= set(stay)),
        *(f"- {one} and {other} are no longer peers" for one, other in sorted(was - now) if {one, other} <= set(stay)),
    ]
    if not lines and any(_joined(before, name, stay) != _joined(after, name, stay) for name in stay):
        return ["~ peering: other rules, and the same pairs"]
    return _some(lines)


def _some(lines: list[str]) -> list[str]:
    """Return as many lines about pairs as one reads, and how many more there are."""
    shown = lines[:_SHOWN_PAIRS]
    return [*shown, f"  and {len(lines) - len(shown)} more pairs"] if len(lines) > len(shown) else lines


def _joined(pairs: Pairs, name: str, stay: Collection[str]) -> set[str] | None:
    """Return those that the rules join with a participant; None without rules."""
    joined = pairs.participants[name].get("peers")
    return None if joined is None else {*joined} & {*stay}


def _peers_not_managed(old: Roster | None, new: Roster) -> Iterator[str]:
    """Yield the changes of the unmanaged peers."""
    before, after = ((roster.get("peers") if roster else None) or {} for roster in (old, new))
    managed = old["members"] if old else {}
    for name in sorted(after.keys() & managed.keys()):
        yield from _changes_of(name, managed[name], after[name])
    for name in sorted(after.keys() - before.keys() - managed.keys()):
        yield f"+ {name} joins, not managed here: {after[name]['address']}, {_where(after[name])}"
        yield from _routing_changes(name, {}, after[name])
    for name in sorted(before.keys() - after.keys() - new["members"].keys()):
        yield f"- {name} leaves, and was not managed here: its peers drop it; the preshared key is regenerated"
    for name in sorted(before.keys() & after.keys()):
        yield from _changes_of(name, before[name], after[name])


def _of_all_hosts(old: Roster, new: Roster) -> Iterator[str]:
    """Yield what changes for every host."""
    if old.get("relay") != new.get("relay"):
        yield f"~ relay: {old.get('relay') or 'none'} becomes {new.get('relay') or 'none'}"
        yield from _some([f"  {one} and {other} talk over {new['relay']}" for one, other in Pairs(new).relayed_pairs()])
    if old.get("presharedKeys") != new.get("presharedKeys"):
        yield f"~ preshared keys: {'one for each pair' if new.get('presharedKeys') else 'one for all pairs'}"
    if bool(old.get("postQuantum")) != bool(new.get("postQuantum")):
        yield f"~ SSH key exchange for preshared keys: {'post-quantum only' if new.get('postQuantum') else 'any'}"
    if bool(old.get("names")) != bool(new.get("names")):
        yield f"~ every host, names in /etc/hosts: {'written' if new.get('names') else 'taken out'}"
    for label, first, then in (("listen port", old["port"], new["port"]), ("MTU", old["mtu"], new["mtu"])):
        if first != then:
            yield f"~ every host, {label}: {_value(first)} becomes {_value(then)}"


def _value(value: object) -> object:
    # The engine hands back every number as a fraction, and a site may have any character in its name.
    shown = visible(value) if isinstance(value, str) else int(value) if isinstance(value, float) else value
    return shown or "none"


def describe_changes(old: Roster | None, new: Roster, renamed: Mapping[str, str] | None = None) -> list[str]:
    """Return the change from `old` to `new` in words of the mesh, a line each; any value may still be unknown.

    `renamed` hosts, by their former names, neither join nor leave.
    """
    old, new = (in_words(roster) for roster in (old, new))
    former_names = _former_names(old["members"], new["members"], renamed or {}) if old else {}
    if old:
        old = rename_hosts(old, {former: host for host, former in former_names.items()})
    before, after = old["members"] if old else {}, new["members"]
    joining, leaving, staying = sorted(after.keys() - before), sorted(before.keys() - after), before.keys() & after
    lines: list[str] = []
    for host in joining:
        if own := ((old.get("peers") if old else None) or {}).get(host):
            lines.append(f"+ {host} is managed here from now on")
            lines.extend(_changes_of(host, own, after[host]))
            continue
        lines.append(f"+ {host} joins: {after[host]['address']}, {_where(after[host])}")
        lines.extend(_routing_changes(host, {}, after[host]))
    lines.extend(_departures(leaving, old, new))
    for host, former in sorted(former_names.items()):
        keeps = before[host]["publicKey"] == after[host]["publicKey"]
        lines.append(f"~ {host} was {former}" + (", and keeps its key" if keeps else ""))
    for host in sorted(staying):
        lines.extend(_changes_of(host, before[host], after[host]))
        lines.extend(describe_machine(new["interface"], host, before[host], after[host]))
    lines.extend(_peers_not_managed(old, new))
    if old:
        lines.extend(_peering_changes(old, new, set(Pairs(old).participants) & set(Pairs(new).participants)))
        lines.extend(_of_all_hosts(old, new))
        lines.extend(_counts(old, new, staying))
    return lines


def _counts(old: Roster, new: Roster, staying: Collection[str]) -> Iterator[str]:
    """Yield how many of the hosts that stay get and lose how many peers, of those that join and leave."""
    before, after = Pairs(old), Pairs(new)
    for verb, pairs, others in (("gain", after, before), ("lose", before, after)):
        news = pairs.participants.keys() - others.participants.keys()
        counts = Counter(len(news.intersection(pairs.peers_of(host))) for host in staying)
        for peers, hosts in sorted(counts.items(), reverse=True) if news else ():
            if peers:
                said = f"{hosts} hosts {verb}" if hosts > 1 else f"1 host {verb}s"
                yield f"  {said} {peers} peer{'s' if peers > 1 else ''}"
