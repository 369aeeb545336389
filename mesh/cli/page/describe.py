"""From what the hosts said to a diagnosis, and what the state records, to what is on the page."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from mesh.cli.look import dated
from mesh.cli.page.content import NO_PAIR, PAIR_STATES, Direction, PageFinding, PageHost, PageMesh
from mesh.cli.page.notes import host_notes, peer_notes
from mesh.cli.pulumi_cli import RecordedMesh
from mesh.cli.status import judge
from mesh.cli.status_rows import MeshStatus, PairStatus
from mesh.config.peering import TagsByName
from mesh.doctor.answers import MeshAnswers
from mesh.doctor.causes import CAUSES, Finding
from mesh.doctor.diagnosis import diagnose

__all__ = ["describe_mesh"]

_LETTERS = {state: letter for letter, state in PAIR_STATES.items()}


def describe_mesh(recorded: RecordedMesh, answers: MeshAnswers, tags: TagsByName, now: datetime) -> PageMesh:
    """Return what is on the page of a mesh whose hosts gave these answers at this moment."""
    found = diagnose(answers)
    status = _status(recorded, answers)
    names = _sorted(answers)
    by_pair = {(pair.host, pair.peer): pair for pair in status.pairs}
    members = [name for name in names if name in answers.roster["members"]]
    seen = [[by_pair.get((host, peer)) for peer in names] for host in members]
    return PageMesh(
        status.interface,
        int(answers.roster["mtu"]),
        (*(_finding(each) for each in found), *_rest(status, found)),
        status.not_wiped,
        tuple(_hosts(answers, status, names, tags, now)),
        tuple("".join(_LETTERS[pair.state] if pair else NO_PAIR for pair in row) for row in seen),
        tuple(tuple(_direction(answers, pair, now) if pair else None for pair in row) for row in seen),
        status.changed,
        _days(status.preshared_key_expires, now),
    )


def _status(recorded: RecordedMesh, answers: MeshAnswers) -> MeshStatus:
    silent = {host: reason for host, reason in answers.absent.items() if host not in answers.facts}
    pings = {
        (host, peer): measured.mean if measured.came else None
        for host, peers in answers.measured.items()
        for peer, measured in peers.items()
    }
    return dated(judge(recorded.rollout, answers.facts, pings, silent, answers.key_exchanges), recorded)


def _finding(found: Finding) -> PageFinding:
    title = CAUSES[found.code].title
    return PageFinding(found.host, found.peer, found.words, found.evidence, found.repair, found.code, title)


def _rest(status: MeshStatus, found: Sequence[Finding]) -> Iterator[PageFinding]:
    """Yield what only the comparison with the state tells: of the mesh, or of hosts that doctor says nothing of."""
    told = {name for each in found for name in (each.host, each.peer)} - {""}
    for fault in status.faults:
        if not {fault.host, fault.peer} & told:
            words, _, repair = fault.cause.rpartition("; ")
            yield PageFinding(fault.host, fault.peer, words or repair, repair=repair if words else "")


def _sorted(answers: MeshAnswers) -> list[str]:
    """Return all participants: hosts first, those of a site together, those of none behind them."""
    entries, members = answers.pairs.participants, answers.roster["members"]
    return sorted(
        entries, key=lambda name: (name not in members, not entries[name].get("site"), entries[name].get("site"), name)
    )


def _hosts(
    answers: MeshAnswers, status: MeshStatus, names: Sequence[str], tags: TagsByName, now: datetime
) -> Iterator[PageHost]:
    by_name = {host.host: host for host in status.hosts}
    for name in names:
        entry, own = answers.pairs.participants[name], tuple(tags.get(name, ()))
        host = by_name.get(name)
        yield PageHost(
            name,
            answers.pairs.address(name),
            entry["endpoint"],
            entry.get("site") or "",
            own,
            tuple(host_notes(answers, host, own, now) if host else peer_notes(entry, own)),
            host.state if host else "not-managed",
            _days(host.key_made, now, past=True) if host else None,
            _days(host.key_expires, now) if host else None,
        )


def _days(moment: str, now: datetime, *, past: bool = False) -> int | None:
    if not moment:
        return None
    apart = datetime.fromisoformat(moment) - now
    return (-apart if past else apart).days


def _direction(answers: MeshAnswers, pair: PairStatus, now: datetime) -> Direction:
    measured = answers.measured.get(pair.host, {}).get(pair.peer)
    # By the clock of the host, which may be wrong.
    then = now.timestamp() + answers.offsets.get(pair.host, 0)
    seen = Direction(
        pair.endpoint, max(0, int(then - pair.handshake)) if pair.handshake else None, pair.received, pair.sent
    )
    if measured is None:
        return seen
    return replace(
        seen, pings=measured.sent, came=measured.came, least=measured.least, mean=measured.mean, most=measured.most,
        largest=measured.largest,
    )  # fmt: skip
