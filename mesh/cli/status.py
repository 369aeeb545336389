"""Ask the hosts of a mesh what they run at this moment, and compare it with what the state says that they should.

The rollout in the state says what hosts should run, their kernels what they do run; `verification` compares both.
Nothing is changed. `status_tables` shows the result.
"""

import secrets
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from mesh.cli.status_rows import HostStatus, MeshStatus, PairStatus
from mesh.errors import HostError
from mesh.plan.pairs import Pairs
from mesh.remote.concurrency import HOSTS_AT_ONCE, settle
from mesh.remote.replies import NOTHING_THERE, read_each, read_pings
from mesh.remote.reports import Facts, PeerFacts, read_facts
from mesh.remote.sessions import Fan, open_fan
from mesh.rollout.drift import describe_drift, unconfirmed_faults
from mesh.rollout.fault import Fault
from mesh.rollout.kernel_differences import has_strangers
from mesh.rollout.verification import find_faults
from mesh.stored.forms import RecordedRollout
from mesh.wireguard.endpoint import host_part

__all__ = ["judge", "read_status"]

_PING_SECONDS = 60


@dataclass
class _Answers:
    facts: dict[str, Facts] = field(default_factory=dict)
    pings: dict[tuple[str, str], float | None] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)
    key_exchanges: dict[str, str] = field(default_factory=dict)
    moment: float = 0.0


async def read_status(recorded: RecordedRollout, *, ping: bool) -> MeshStatus:
    """Return how the mesh of a rollout in the state is; a host that does not answer is one of its rows."""
    roster = recorded["roster"]
    connections = {host: member["ssh"] for host, member in roster["members"].items()}
    answers = _Answers()
    async with open_fan(roster["interface"], connections, skip=HostError, only_known=True) as fan:
        answers.silent.update(fan.absent)
        answers.key_exchanges.update({host: session.key_exchange for host, session in fan.sessions.items()})
        await _collect(fan, answers, ping=ping)
    pings = answers.pings if ping else None
    status = judge(recorded, answers.facts, pings, answers.silent, answers.key_exchanges)
    return replace(status, moment=answers.moment)


async def _collect(fan: Fan, answers: _Answers, *, ping: bool) -> None:
    if ping:
        # Before the facts, so that the handshakes that pings cause are among them.
        replies, failures = await settle(
            {host: session.order("ping", seconds=_PING_SECONDS) for host, session in fan.sessions.items()}
        )
        answers.silent.update({host: error.message for host, error in failures.items()})
        pings, unreadable = read_each(replies, read_pings)
        answers.silent.update({host: error.message for host, error in unreadable.items()})
        answers.pings.update({(host, peer): time for host, times in pings.items() for peer, time in times.items()})
    salt = secrets.token_hex(16)
    reachable = {host: session for host, session in fan.sessions.items() if host not in answers.silent}
    orders = {host: session.order("status", salt) for host, session in reachable.items()}
    replies, failures = await settle(orders, HOSTS_AT_ONCE)
    answers.moment = time.monotonic()
    answers.facts, unreadable = read_each(replies, lambda host, lines: read_facts(host, lines, None, "status"))
    answers.silent.update({host: error.message for host, error in {**failures, **unreadable}.items()})


def judge(
    recorded: RecordedRollout,
    facts: Mapping[str, Facts],
    pings: Mapping[tuple[str, str], float | None] | None,
    silent: Mapping[str, str],
    key_exchanges: Mapping[str, str] = MappingProxyType({}),
) -> MeshStatus:
    """Return the status that follows from what hosts said; `pings` is None where none was sent."""
    roster = recorded["roster"]
    relations = Pairs(roster)
    pending = set(recorded["pending"])
    gone = {host for host, report in facts.items() if report.is_gone}
    running = {host: report for host, report in facts.items() if host not in gone}
    mute = [pair for pair, time in (pings or {}).items() if time is None and pair[1] in running]
    faults = find_faults(roster, {host: running[host] for host in running if host not in pending}, mute)
    faults.extend(_unanswered(relations, [host for host in sorted(running) if host not in pending], pings))
    for host, report in running.items():
        if host not in pending:
            faults.extend(unconfirmed_faults(host, report, recorded["digest"]))
    for host in sorted(gone - pending):
        faults.extend(describe_drift(roster, host, facts[host], recorded["digest"], relations))
    if roster.get("presharedKeys") != "pairwise" and _have_different_preshared_keys(running, relations):
        faults.append(
            Fault("", f"{roster['interface']}: the hosts have different preshared keys; run pulumi up --refresh")
        )
    faults.extend(Fault(host, reason) for host, reason in sorted(silent.items()) if host not in pending)
    causes: dict[str, list[str]] = {}
    for fault in faults:
        if not fault.peer:
            causes.setdefault(fault.host, []).append(fault.cause)
    return MeshStatus(
        roster["interface"],
        tuple(
            replace(
                _host(recorded, host, tuple(causes.get(host, ())), silent, facts.get(host)),
                key_exchange=key_exchanges.get(host, ""),
            )
            for host in sorted(roster["members"])
        ),
        tuple(
            _pair(relations, host, peer, running.get(host), pings)
            for host in sorted(roster["members"])
            for peer in relations.peers_of(host)
        ),
        tuple(faults),
        tuple(recorded["notWiped"]),
    )


def _have_different_preshared_keys(running: Mapping[str, Facts], pairs: Pairs) -> bool:
    """Tell so by their digests, each of which says nothing of the mesh where a host has peers of its own."""
    digests = {host: report.preshared for host, report in running.items() if report.preshared}
    # In a large mesh, peers are looked through only where that can matter.
    if len({*digests.values()}) < 2:
        return False
    return len({said for host, said in digests.items() if not has_strangers(running[host], host, pairs)}) > 1


def _unanswered(
    pairs: Pairs, hosts: Collection[str], pings: Mapping[tuple[str, str], float | None] | None
) -> Iterator[Fault]:
    """Yield a fault for each peer of which a host that was asked to ping it said nothing."""
    if pings is None:
        return
    asked = set(hosts)
    for host in hosts:
        for peer in pairs.peers_of(host):
            if peer in asked and pairs.should_answer(host, peer) and (host, peer) not in pings:
                yield Fault(host, f"does not say whether {peer} answers; run pulumi up --refresh")


def _host(
    recorded: RecordedRollout, host: str, own: tuple[str, ...], silent: Mapping[str, str], report: Facts | None
) -> HostStatus:
    member = recorded["roster"]["members"][host]
    if host in recorded["pending"]:
        state, own = "pending", ("it was left out, and gets its change in the first pulumi up after its return",)
    elif host in silent:
        # What the host itself says, it says over SSH.
        state = "drifted" if silent[host] == NOTHING_THERE else "unreachable"
    else:
        state = "drifted" if own else "up"
    system = recorded["systems"].get(host, {}).get("system", member["system"])
    return HostStatus(
        host, member["address"], member["endpoint"], state, system, own, member["publicKey"],
        answers=report is not None, device=report.device if report else None,
    )  # fmt: skip


def _pair(
    pairs: Pairs, host: str, peer: str, report: Facts | None, pings: Mapping[tuple[str, str], float | None] | None
) -> PairStatus:
    key = pairs.participants[peer]["publicKey"]
    known = PairStatus(host, peer, "unknown", public_key=key)
    if relay := pairs.relay_between(host, peer):
        time = (pings or {}).get((host, peer))
        asked = report is not None and pings is not None
        without = "not-managed" if not pairs.should_answer(host, peer) else "silent" if asked else "unknown"
        state = without if time is None else "relayed"
        return replace(known, state=state, way="relay", endpoint=f"over {relay}", ping=time)
    if not pairs.can_meet(host, peer):
        return replace(known, state="cannot-meet")
    seen = report.peers.get(key) if report else None
    if seen is None:
        return known
    time = (pings or {}).get((host, peer))
    if pairs.turn(host, peer) == "never":
        state = "not-managed"
    else:
        is_up = time is not None if pings is not None else bool(seen.handshake)
        state = "up" if is_up else "silent"
    return replace(
        known,
        state=state,
        way=_way(pairs, host, peer, seen) if seen.handshake else "",
        endpoint="" if seen.endpoint == "(none)" else seen.endpoint,
        handshake=seen.handshake,
        received=seen.received,
        sent=seen.sent,
        ping=time,
        allowed_ips=() if seen.allowed_ips == "(none)" else tuple(seen.allowed_ips.split(",")),
    )


def _way(pairs: Pairs, host: str, peer: str, seen: PeerFacts) -> str:
    """Return how packets go to the peer: `lan`, at the address that it has for hosts of its site, or `direct`."""
    own, other = pairs.participants[host], pairs.participants[peer]
    local = other.get("localEndpoint", "") if own.get("site") == other.get("site") else ""
    return "lan" if local and host_part(local) == host_part(seen.endpoint) else "direct"
