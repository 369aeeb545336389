"""What the hosts of a mesh run at this moment, beside what the state says that they should, as plain data.

The rollout in the state says what hosts should run, their kernels what they do run; `verification` compares both.
Nothing is changed. `status_tables` shows the result.
"""

import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from mesh.errors import HostError
from mesh.plan.pairs import Pairs
from mesh.remote.concurrency import HOSTS_AT_ONCE, settle
from mesh.remote.replies import read_each, read_pings
from mesh.remote.reports import Facts, read_facts
from mesh.remote.sessions import Fan, open_fan
from mesh.rollout.drift import unconfirmed_faults
from mesh.rollout.fault import Fault
from mesh.rollout.verification import find_faults
from mesh.stored.forms import RecordedRollout

__all__ = ["HostStatus", "MeshStatus", "PairStatus", "judge", "read_status", "totals"]

_PING_SECONDS = 60


@dataclass(frozen=True, slots=True)
class HostStatus:
    """One host: `state` is up, drifted, pending or unreachable, and `reasons` tell why it is not up.

    `answers` tells whether it said what it runs. Of its key, `key_made` and `key_expires` are in RFC 3339, empty for
    unknown or never. `key_exchange` is that of SSH in this very connection, empty where there was none.
    """

    host: str
    address: str
    endpoint: str
    state: str
    system: str
    reasons: tuple[str, ...] = ()
    public_key: str = ""
    answers: bool = False
    key_made: str = ""
    key_expires: str = ""
    key_exchange: str = ""


@dataclass(frozen=True, slots=True)
class PairStatus:
    """One direction of a pair, as its first host sees it.

    `state` is up, relayed, silent, cannot-meet, unknown, or not-managed where only one of the two is a host.
    `handshake` is in seconds since the epoch, 0 for never; `received` and `sent` are in bytes; `ping` is in
    milliseconds, None where there was no answer or no ping. `public_key` and `allowed_ips` are the peer's.
    """

    host: str
    peer: str
    state: str
    endpoint: str = ""
    handshake: int = 0
    received: int = 0
    sent: int = 0
    ping: float | None = None
    public_key: str = ""
    allowed_ips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MeshStatus:
    """One mesh; `faults` are all that is wrong, and `not_wiped` names hosts that left and could not be wiped so far.

    `changed` is when the rollout last changed, in RFC 3339; empty if not known.
    """

    interface: str
    hosts: tuple[HostStatus, ...]
    pairs: tuple[PairStatus, ...]
    faults: tuple[Fault, ...]
    not_wiped: tuple[str, ...] = ()
    changed: str = ""
    preshared_key_expires: str = ""

    @property
    def is_well(self) -> bool:
        """Whether every host runs what the state says, and every pair that can meet does."""
        return not self.faults and all(host.state in ("up", "pending") for host in self.hosts)


def totals(meshes: Collection[MeshStatus]) -> dict[str, int]:
    """Return how many hosts, directions of pairs that can be asked, and faults there are, and how many are up."""
    hosts = [host.state for mesh in meshes for host in mesh.hosts]
    pairs = [pair.state for mesh in meshes for pair in mesh.pairs if pair.state not in ("cannot-meet", "not-managed")]
    return {
        "hosts": len(hosts),
        "hosts_up": hosts.count("up"),
        "directions": len(pairs),
        "directions_up": pairs.count("up") + pairs.count("relayed"),
        "faults": sum(len(mesh.faults) for mesh in meshes),
    }


@dataclass
class _Answers:
    facts: dict[str, Facts] = field(default_factory=dict)
    pings: dict[tuple[str, str], float | None] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)
    key_exchanges: dict[str, str] = field(default_factory=dict)


async def read_status(recorded: RecordedRollout, *, ping: bool) -> MeshStatus:
    """Return how the mesh of a rollout in the state is; a host that does not answer is one of its rows."""
    roster = recorded["roster"]
    connections = {host: member["ssh"] for host, member in roster["members"].items()}
    answers = _Answers()
    async with open_fan(roster["interface"], connections, skip=HostError, only_known=True) as fan:
        answers.silent.update(fan.absent)
        answers.key_exchanges.update({host: session.key_exchange for host, session in fan.sessions.items()})
        await _collect(fan, answers, ping=ping)
    return judge(
        recorded, answers.facts, answers.digests, answers.pings if ping else None, answers.silent, answers.key_exchanges
    )


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
    answers.facts, unreadable = read_each(replies, lambda host, lines: read_facts(host, lines, None))
    answers.digests = {host: report.preshared for host, report in answers.facts.items()}
    answers.silent.update({host: error.message for host, error in {**failures, **unreadable}.items()})


def judge(
    recorded: RecordedRollout,
    facts: Mapping[str, Facts],
    digests: Mapping[str, str],
    pings: Mapping[tuple[str, str], float | None] | None,
    silent: Mapping[str, str],
    key_exchanges: Mapping[str, str] = MappingProxyType({}),
) -> MeshStatus:
    """Return the status that follows from what hosts said; `pings` is None where none was sent."""
    roster = recorded["roster"]
    relations = Pairs(roster)
    pending = set(recorded["pending"])
    mute = [pair for pair, time in (pings or {}).items() if time is None and pair[1] in facts]
    faults = find_faults(roster, {host: facts[host] for host in facts if host not in pending}, mute)
    faults.extend(_unanswered(relations, [host for host in sorted(facts) if host not in pending], pings))
    for host, report in facts.items():
        if host not in pending:
            faults.extend(unconfirmed_faults(host, report, recorded["digest"]))
    if roster.get("presharedKeys") != "pairwise" and len({digest for digest in digests.values() if digest}) > 1:
        faults.append(
            Fault("", f"{roster['interface']}: the hosts have different preshared keys; run pulumi up --refresh")
        )
    faults.extend(Fault(host, reason) for host, reason in sorted(silent.items()) if host not in pending)
    return MeshStatus(
        roster["interface"],
        tuple(
            replace(
                _host(recorded, host, faults, silent, answers=host in facts), key_exchange=key_exchanges.get(host, "")
            )
            for host in sorted(roster["members"])
        ),
        tuple(
            _pair(relations, host, peer, facts.get(host), pings)
            for host in sorted(roster["members"])
            for peer in relations.peers_of(host)
        ),
        tuple(faults),
        tuple(recorded["notWiped"]),
    )


def _unanswered(
    pairs: Pairs, hosts: Collection[str], pings: Mapping[tuple[str, str], float | None] | None
) -> Iterator[Fault]:
    """Yield a fault for each peer of which a host that was asked to ping it said nothing."""
    for host in hosts if pings is not None else ():
        for peer in pairs.peers_of(host):
            is_asked = pairs.turn(host, peer) != "never" or pairs.relay(host, peer)
            if pings is not None and is_asked and peer in hosts and (host, peer) not in pings:
                yield Fault(host, f"does not say whether {peer} answers; run pulumi up --refresh")


def _host(
    recorded: RecordedRollout, host: str, faults: Iterable[Fault], silent: Mapping[str, str], *, answers: bool
) -> HostStatus:
    member = recorded["roster"]["members"][host]
    own = tuple(fault.cause for fault in faults if fault.host == host and not fault.peer)
    if host in recorded["pending"]:
        state, own = "pending", ("it was left out, and gets its change in the first pulumi up after its return",)
    elif host in silent:
        state = "unreachable"
    else:
        state = "drifted" if own else "up"
    system = recorded["systems"].get(host, {}).get("system", member["system"])
    return HostStatus(host, member["address"], member["endpoint"], state, system, own, member["publicKey"], answers)


def _pair(
    pairs: Pairs, host: str, peer: str, report: Facts | None, pings: Mapping[tuple[str, str], float | None] | None
) -> PairStatus:
    key = pairs.participants[peer]["publicKey"]
    known = PairStatus(host, peer, "unknown", public_key=key)
    if relay := pairs.relay(host, peer):
        time = (pings or {}).get((host, peer))
        asked = report is not None and pings is not None
        state = "unknown" if not asked else "silent" if time is None else "relayed"
        return replace(known, state=state, endpoint=f"over {relay}", ping=time)
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
        endpoint="" if seen.endpoint == "(none)" else seen.endpoint,
        handshake=seen.handshake,
        received=seen.received,
        sent=seen.sent,
        ping=time,
        allowed_ips=() if seen.allowed_ips == "(none)" else tuple(seen.allowed_ips.split(",")),
    )
