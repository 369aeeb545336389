"""What `doctor` and `ping` found, as JSON documents with their JSON schemas."""

from collections.abc import Mapping, Sequence

from pydantic import Field

from mesh.cli.json_document import Document, Entry, now
from mesh.doctor.causes import CAUSES
from mesh.doctor.concerning import Diagnosis
from mesh.remote.examinations import Measurement

__all__ = ["DoctorDocument", "PingDocument", "PingedMesh", "direction_entry", "show_findings", "show_pings"]


class FindingEntry(Entry):
    code: str = Field(description="W and two digits, as in the reference of findings; stays what it means.")
    title: str
    host: str = Field(description="Where it is.")
    peer: str = Field(description="Between the host and whom; empty if it is of the host alone.")
    words: str = Field(description="What is wrong there, without the names in front.")
    evidence: tuple[str, ...] = Field(description="The facts that it rests on.")
    repair: str = Field(description="The command that repairs it, or what to do.")


class DirectionEntry(Entry):
    host: str = Field(description="Who sent the pings.")
    peer: str
    sent: int = Field(description="Pings; 0 where the host could not be asked.")
    received: int = Field(description="Answers.")
    loss: float = Field(description="From 0 to 1.")
    least: float | None = Field(description="The shortest time to an answer, in milliseconds; null without any.")
    mean: float | None = Field(description="In milliseconds.")
    most: float | None = Field(description="In milliseconds.")
    largest: int = Field(description="The largest packet inside the tunnel that is answered, in bytes; 0 for none.")


class DiagnosedMesh(Entry):
    well: bool
    findings: tuple[FindingEntry, ...]
    unasked: dict[str, str] = Field(description="The hosts that could not be asked, each with the reason.")
    directions: tuple[DirectionEntry, ...] = Field(description="One entry for each direction that should work.")


class DoctorDocument(Document):
    """What `mesh doctor` found."""

    well: bool = Field(description="Whether nothing was found.")
    meshes: dict[str, DiagnosedMesh] = Field(description="By interface.")


class PingedMesh(Entry):
    """One mesh: what was measured in each direction."""

    mtu: int = Field(description="Of the tunnel, in bytes: how large a packet inside it can be.")
    unasked: dict[str, str] = Field(description="The hosts that could not be asked, each with the reason.")
    directions: tuple[DirectionEntry, ...]


class PingDocument(Document):
    """What `mesh ping` measured."""

    well: bool = Field(description="Whether every ping was answered, also those of full size.")
    meshes: dict[str, PingedMesh] = Field(description="By interface.")


def direction_entry(host: str, peer: str, measured: Measurement | None) -> DirectionEntry:
    """Return what was measured in one direction; None for a host that could not be asked."""
    seen = measured or Measurement(0, 0, None, None, None, 0)
    return DirectionEntry(
        host=host, peer=peer, sent=seen.sent, received=seen.came, loss=1 - seen.came / seen.sent if seen.sent else 1.0,
        least=seen.least, mean=seen.mean, most=seen.most, largest=seen.largest,
    )  # fmt: skip


def show_findings(meshes: Sequence[Diagnosis]) -> str:
    """Return what `doctor` found as JSON."""
    parts = {
        mesh.interface: DiagnosedMesh(
            well=not mesh.findings,
            findings=tuple(
                FindingEntry(
                    code=each.code, title=CAUSES[each.code].title, host=each.host, peer=each.peer, words=each.words,
                    evidence=each.evidence, repair=each.repair,
                )
                for each in mesh.findings
            ),
            unasked=mesh.absent,
            directions=tuple(
                direction_entry(host, peer, mesh.answers.measured.get(host, {}).get(peer))
                for host, peer in mesh.directions
            ),
        )
        for mesh in meshes
    }  # fmt: skip
    well = all(mesh.well for mesh in parts.values())
    document = DoctorDocument(generated_at=now(), well=well, meshes=parts)
    return document.text()


def show_pings(meshes: Mapping[str, PingedMesh], *, well: bool) -> str:
    """Return what `ping` measured as JSON."""
    document = PingDocument(generated_at=now(), well=well, meshes=dict(meshes))
    return document.text()
