"""The order of a switch, worked out before it: which hosts carry out which order, one step after another.

WireGuard loses nothing by a new preshared key, since that counts from the next handshake on. By a new private key
it loses nothing as long as it can wait for a handshake: what a host sends waits for a session, up to 128 packets
for each peer. The handshake comes at once if only one end begins it, and if the other is there and knows its key.
If both begin, each gives up its own for the other's, and nothing more happens for 5 seconds (REKEY_TIMEOUT, the
WireGuard paper, section 6). A first message that gets lost costs as much. From that follows what a step may change:

1. Preshared keys first, on all hosts at once.
2. Then one key at a time. Its host takes it, and spends its own handshake while it does, so that it begins none for
   5 seconds. Then its peers put the new key in the place of the old one and begin. Nothing else of that peer
   changes: its endpoint is the one from which the old key was last heard, at the port where its host still listens,
   with the addresses that it has. So a handshake never goes to a port that is only planned, and no step waits for
   another.
3. Then all the rest, on all hosts at once: ports with the endpoints of those that move, addresses, allowed IPs.
   Sessions stay, so this begins no handshake. Behind NAT, hosts speak at once after that: nothing comes in from a
   port that nobody there has sent to.
4. Hosts that come up. A first handshake that finds nobody, or nobody who knows its sender, is tried again after 5
   seconds. So they come up before step 3, in which others begin theirs with them, except a host that would itself
   begin one with a host that then begins none. That host comes after step 3, and those without an endpoint last.
   Where it is also one with which another begins a handshake in step 3, that pair waits.

A rollback takes the same steps in the same order, whether it is led (`rollback`) or each host does it alone
(`rollback.sh`).
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from mesh.plan.pairs import Pairs
from mesh.plan.roster import Roster

__all__ = ["Running", "Step", "exchange_key", "new_keys", "plan_switch"]


@dataclass(frozen=True, slots=True)
class Running:
    """What one host runs before the switch: its public key, empty where its interface is down or absent; its port."""

    public_key: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One order, with its words, that these hosts carry out at the same time; all have done so before the next step.

    `waiting` says that packets wait for the next step, so nothing may come between. `says` is for the user.
    """

    order: str
    hosts: tuple[str, ...]
    words: tuple[str, ...] = ()
    waiting: bool = False
    says: str = ""


def new_keys(roster: Roster, running: Mapping[str, Running]) -> tuple[str, ...]:
    """Return the hosts that run and take another key, in the order in which they do."""
    return tuple(host for host in _live(running) if running[host].public_key != roster["members"][host]["publicKey"])


def exchange_key(host: str, peers: Collection[str], says: str = "") -> Iterator[Step]:
    """Yield the steps in which one host takes another key, and these peers take it over."""
    others = tuple(peers)
    yield Step("ready", others, (host,), says=says)
    yield Step("own", (host,), waiting=True)
    yield Step("peer", others, (host,))


def plan_switch(
    roster: Roster, running: Mapping[str, Running], others: Collection[str] = (), pairs: Pairs | None = None
) -> Iterator[Step]:
    """Yield the steps that lead from what hosts run to `roster`.

    Args:
        roster: What they are to run.
        running: What each host runs that is to change.
        others: The members that are reached and do not change.
        pairs: Those of the roster, if they are known already.
    """
    members, pairs = roster["members"], pairs or Pairs(roster)
    live, changed = _live(running), new_keys(roster, running)
    if live:
        yield Step("preshared", live, changed)
    for number, host in enumerate(changed, 1):
        peers = sorted({*pairs.links_of(host)} & {*live})
        yield from exchange_key(host, peers, f"switching key {number} of {len(changed)} ({host})")
    new = [host for host in sorted(running) if host not in live]
    early = [host for host in new if members[host]["endpoint"] and _may_wait(pairs, host, live)]
    yield from _come_up(pairs, early)
    if live:
        yield Step("ready", live)
        yield Step("finish", live)
        moved = tuple(h for h in live if running[h].port != int(roster["port"]) and not members[h]["endpoint"])
        # A host that lost a peer has lost its session.
        if unheard := live if others else moved:
            yield Step("wake", unheard)
    yield from _come_up(pairs, [host for host in new if host not in early])
    if new and (live or others):
        yield Step("again", (*live, *sorted(others)), tuple(new))


def _come_up(pairs: Pairs, hosts: Collection[str]) -> Iterator[Step]:
    """Yield the steps in which hosts come up: first those that begin nothing, at last those without an endpoint."""

    def turn(host: str) -> int:
        begins = any(_begins(pairs, host, peer) for peer in pairs.links_of(host))
        return int(begins) if pairs.participants[host]["endpoint"] else 2

    turns = {host: turn(host) for host in hosts}
    for number in range(3):
        if group := tuple(host for host in hosts if turns[host] == number):
            yield Step("finish", group, says=f"bringing up {len(group)} host{'s' * (len(group) != 1)}")


def _begins(pairs: Pairs, host: str, peer: str) -> bool:
    """Tell whether a host sends to a peer as soon as it has it: a keepalive, or all that goes to its exit node."""
    speaks = pairs.keepalive(host, peer) != "off" or pairs.participants[host].get("exitNode") == peer
    return speaks and bool(pairs.endpoint(host, peer))


def _may_wait(pairs: Pairs, host: str, live: Collection[str]) -> bool:
    """Tell whether a host that comes up before the `live` ones know it begins nothing that these do not begin again."""
    peers = set(pairs.links_of(host)) & set(live)
    return all(_begins(pairs, peer, host) for peer in peers if _begins(pairs, host, peer))


def _live(running: Mapping[str, Running]) -> tuple[str, ...]:
    return tuple(sorted(host for host, runs in running.items() if runs.public_key))
