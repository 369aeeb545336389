"""How a change of the roster reads in words of the mesh, for previews; secrets are in no roster."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from mesh.plan.pairs import Pairs, allowed_ips
from mesh.plan.roster import Participant, Roster, machine_of

__all__ = ["describe_changes"]

_SHOWN_PAIRS = 20


def _fingerprint(member: Mapping[str, Any]) -> str:
    key = member["publicKey"]
    # In a preview the engine gives an object of its own for a key that is not made yet.
    return f"{key[:8]}…" if isinstance(key, str) and len(key) == 44 else "a new key"


def _departures(leaving: Sequence[str], old: Roster | None, new: Roster) -> Iterator[str]:
    forgotten = set(new.get("forgotten", ()))
    machines = {machine_of(member["ssh"]): host for host, member in new["members"].items()}
    for host in leaving:
        fate = "it is forgotten, so it is not wiped" if host in forgotten else "then it is wiped"
        now = machines.get(machine_of(old["members"][host]["ssh"])) if old else None
        if now:
            fate = f"its machine is {now} now (which would keep its key with formerly: {host} in mesh:hosts.{now})"
        yield f"- {host} leaves: its peers drop it, {fate}; the preshared key is regenerated"
    if leaving:
        yield "  a host that is not wiped keeps its key and the old preshared key; no member with the change accepts it"
    for host in sorted(forgotten - set(old.get("forgotten", ()) if old else ()) - set(leaving)):
        yield f"- {host} is forgotten: runs no longer try to wipe it"


def _renamed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """Return the former name of each host that has the key of one that is no longer a member."""
    gone = {before[host]["publicKey"]: host for host in set(before) - set(after)}
    keys = {host: after[host]["publicKey"] for host in set(after) - set(before)}
    # A key that is not made yet is no text, but an object of the engine's own.
    return {host: gone[key] for host, key in keys.items() if isinstance(key, str) and key in gone}


_FIELDS = (
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
            yield f"~ {name} {label}: {was.get(field) or 'none'} becomes {now.get(field) or 'none'}"
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
        said = {None: "by default", True: "always", False: "never"}
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
    was, now = (set(Pairs(roster)) for roster in (old, new))
    lines = [
        *(f"+ {one} and {other} become peers" for one, other in sorted(now - was) if {one, other} <= set(stay)),
        *(f"- {one} and {other} are no longer peers" for one, other in sorted(was - now) if {one, other} <= set(stay)),
    ]
    shown = lines[:_SHOWN_PAIRS]
    return [*shown, f"  and {len(lines) - len(shown)} more pairs"] if len(lines) > len(shown) else lines


def _peers_not_managed(old: Roster | None, new: Roster) -> Iterator[str]:
    """Yield the changes of the unmanaged peers."""
    before, after = ((roster.get("peers") if roster else None) or {} for roster in (old, new))
    for name in sorted(after.keys() - before.keys()):
        where = after[name]["endpoint"] or "roaming"
        yield f"+ {name} joins, not managed here: {after[name]['address']}, {where}"
        yield from _routing_changes(name, {}, after[name])
    for name in sorted(before.keys() - after.keys() - new["members"].keys()):
        yield f"- {name} leaves, and was not managed here: its peers drop it; the preshared key is regenerated"
    for name in sorted(before.keys() & after.keys()):
        yield from _changes_of(name, before[name], after[name])


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
        lines.extend(_routing_changes(host, {}, after[host]))
    lines.extend(_departures(leaving, old, new))
    lines.extend(f"~ {host} was {former}, and keeps its key" for host, former in sorted(renamed.items()))
    for host in sorted(set(before) & set(after) | set(renamed)):
        was, now = before[renamed.get(host, host)], after[host]
        lines.extend(_changes_of(host, was, now))
    lines.extend(_peers_not_managed(old, new))
    if old:
        lines.extend(_peering_changes(old, new, set(Pairs(old).participants) & set(Pairs(new).participants)))
        if old.get("relay") != new.get("relay"):
            lines.append(f"~ relay: {old.get('relay') or 'none'} becomes {new.get('relay') or 'none'}")
            lines.extend(f"  {one} and {other} talk over {new['relay']}" for one, other in Pairs(new).relayed_pairs())
        if old.get("presharedKeys") != new.get("presharedKeys"):
            keys = "one for each pair" if new.get("presharedKeys") else "one for all pairs"
            lines.append(f"~ preshared keys: {keys}")
        if bool(old.get("postQuantum")) != bool(new.get("postQuantum")):
            kinds = "post-quantum only" if new.get("postQuantum") else "any"
            lines.append(f"~ SSH key exchange for preshared keys: {kinds}")
        if bool(old.get("names")) != bool(new.get("names")):
            lines.append(f"~ every host, names in /etc/hosts: {'written' if new.get('names') else 'taken out'}")
        for label, first, then in (("listen port", old["port"], new["port"]), ("MTU", old["mtu"], new["mtu"])):
            if first != then:
                lines.append(f"~ every host, {label}: {int(first)} becomes {int(then)}")
        stay = len(set(before) & set(after))
        if joining and stay:
            lines.append(f"  {stay} hosts gain {len(joining)} peer{'s' if len(joining) > 1 else ''}")
        if leaving and stay:
            lines.append(f"  {stay} hosts lose {len(leaving)} peer{'s' if len(leaving) > 1 else ''}")
    return lines
