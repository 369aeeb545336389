"""Ask all hosts of a mesh at once what a diagnosis needs, and then, where it is silent, how far packets come."""

import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from mesh.doctor.answers import MeshAnswers
from mesh.errors import HostError
from mesh.remote.concurrency import HOSTS_AT_ONCE, settle
from mesh.remote.examinations import (
    Examination,
    Measurement,
    read_examination,
    read_measurements,
    read_probe,
)
from mesh.remote.orders import Session
from mesh.remote.reports import Facts, read_facts
from mesh.remote.sessions import open_fan
from mesh.stored.forms import RecordedRollout

__all__ = ["ask_mesh", "measure_pairs"]

# A packet that does not pass costs a second, and the largest that does is found by ten.
_MEASURE_SECONDS = 120
_PROBE_SECONDS = 60
_FACTS_SECONDS = 40
# So many peers tell the cause of a host that none answers.
_PEERS_PROBED = 12
_PINGS = 3

T = TypeVar("T")


@dataclass
class _Host:
    """What one host said, and in `failures` what it did not."""

    facts: Facts | None = None
    examination: Examination | None = None
    offset: float | None = None
    measured: dict[str, Measurement] | None = None
    failures: list[str] = field(default_factory=list)


async def ask_mesh(recorded: RecordedRollout) -> MeshAnswers:
    """Return what the hosts of a rollout in the state say; one that does not answer is a fact too."""
    roster = recorded["roster"]
    connections = {host: member["ssh"] for host, member in roster["members"].items()}
    salt = secrets.token_hex(16)
    async with open_fan(roster["interface"], connections, skip=HostError, only_known=True) as fan:
        work = {host: _ask(session, salt) for host, session in fan.sessions.items()}
        said, _ = await settle(work, HOSTS_AT_ONCE)
        failed = {host: "; ".join(each.failures) for host, each in said.items() if each.failures}
        answers = MeshAnswers(
            recorded,
            {**fan.absent, **failed},
            {host: each.facts for host, each in said.items() if each.facts},
            {host: each.examination for host, each in said.items() if each.examination},
            {host: each.offset for host, each in said.items() if each.offset is not None},
            {host: each.measured for host, each in said.items() if each.measured is not None},
            key_exchanges={host: session.key_exchange for host, session in fan.sessions.items()},
        )
        wanted = answers.to_probe(_PEERS_PROBED)
        # All at once, since each counts what the others send.
        probing = {
            host: _read(fan.sessions[host], read_probe, "probe", *peers, seconds=_PROBE_SECONDS)
            for host, peers in wanted.items()
        }
        probes, failures = await settle(probing)
    return replace(answers, probes=probes, unprobed={host: error.message for host, error in failures.items()})


async def _read(
    session: Session, read: Callable[[str, list[str]], T], *words: object, seconds: float = _FACTS_SECONDS
) -> T:
    return read(session.host, await session.order(*words, seconds=seconds))


async def _ask(session: Session, salt: str) -> _Host:
    """Return what a host says; what it does not say, or nobody can read, costs nothing of the rest."""
    said = _Host()

    async def attempt(read: Callable[[str, list[str]], T], *words: object, seconds: float = _FACTS_SECONDS) -> T | None:
        try:
            return await _read(session, read, *words, seconds=seconds)
        except HostError as error:
            said.failures.append(error.message)
            return None

    said.facts = await attempt(lambda name, lines: read_facts(name, lines, None, "audit"), "audit", salt)
    began = time.time()
    said.examination = await attempt(read_examination, "examine", salt)
    if said.examination:
        # The clock is read first, and names may take their time.
        said.offset = said.examination.clock - (began + min(time.time() - began, 1) / 2)
    said.measured = await attempt(read_measurements, "measure", _PINGS, seconds=_MEASURE_SECONDS)
    return said


async def measure_pairs(
    recorded: RecordedRollout, directions: Mapping[str, Collection[str]], count: int
) -> tuple[dict[str, dict[str, Measurement]], dict[str, str]]:
    """Return what `count` pings of each host to its peers measured, and why any host could not be asked."""
    roster = recorded["roster"]
    connections = {host: roster["members"][host]["ssh"] for host in directions}
    seconds = _MEASURE_SECONDS + count
    async with open_fan(roster["interface"], connections, skip=HostError, only_known=True) as fan:
        work = {
            host: _read(session, read_measurements, "measure", count, *sorted(directions[host]), seconds=seconds)
            for host, session in fan.sessions.items()
        }
        measured, failures = await settle(work, HOSTS_AT_ONCE)
    return measured, {**fan.absent, **{host: error.message for host, error in failures.items()}}
