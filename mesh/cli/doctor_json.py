"""What `doctor` and `ping` found, as JSON documents with their JSON schemas.

What a field means stays while `schemaVersion` does; fields may be added to it.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from mesh.doctor.answers import MeshAnswers
from mesh.doctor.causes import CAUSES, Finding
from mesh.remote.examinations import Measurement

__all__ = ["DOCTOR_SCHEMAS", "PingedMesh", "direction_entry", "doctor_schema_text", "show_findings", "show_pings"]


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class FindingEntry(_Part):
    code: str = Field(description="W and two digits, as in the reference of findings; stays what it means.")
    title: str
    host: str = Field(description="Where it is.")
    peer: str = Field(description="Between the host and whom; empty if it is of the host alone.")
    words: str = Field(description="What is wrong there, without the names in front.")
    evidence: tuple[str, ...] = Field(description="The facts that it rests on.")
    repair: str = Field(description="The command that repairs it, or what to do.")


class DirectionEntry(_Part):
    host: str = Field(description="Who sent the pings.")
    peer: str
    sent: int = Field(description="Pings; 0 where the host could not be asked.")
    received: int = Field(description="Answers.")
    loss: float = Field(description="From 0 to 1.")
    least: float | None = Field(description="The shortest time to an answer, in milliseconds; null without any.")
    mean: float | None = Field(description="In milliseconds.")
    most: float | None = Field(description="In milliseconds.")
    largest: int = Field(description="The largest packet inside the tunnel that is answered, in bytes; 0 for none.")


class DiagnosedMesh(_Part):
    well: bool
    findings: tuple[FindingEntry, ...]
    unasked: dict[str, str] = Field(description="The hosts that could not be asked, each with the reason.")
    directions: tuple[DirectionEntry, ...] = Field(description="One entry for each direction that should work.")


class DoctorDocument(_Part):
    schema_version: Literal[1] = 1
    generated_at: datetime
    well: bool = Field(description="Whether nothing was found.")
    meshes: dict[str, DiagnosedMesh] = Field(description="By interface.")


class PingedMesh(_Part):
    """One mesh: what was measured in each direction."""

    mtu: int = Field(description="Of the tunnel, in bytes: how large a packet inside it can be.")
    unasked: dict[str, str] = Field(description="The hosts that could not be asked, each with the reason.")
    directions: tuple[DirectionEntry, ...]


class PingDocument(_Part):
    schema_version: Literal[1] = 1
    generated_at: datetime
    well: bool = Field(description="Whether every ping was answered, also those of full size.")
    meshes: dict[str, PingedMesh] = Field(description="By interface.")


def direction_entry(host: str, peer: str, measured: Measurement | None) -> DirectionEntry:
    """Return what was measured in one direction; None for a host that could not be asked."""
    seen = measured or Measurement(0, 0, None, None, None, 0)
    return DirectionEntry(
        host=host, peer=peer, sent=seen.sent, received=seen.came, loss=1 - seen.came / seen.sent if seen.sent else 1.0,
        least=seen.least, mean=seen.mean, most=seen.most, largest=seen.largest,
    )  # fmt: skip


def _moment() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def show_findings(meshes: Sequence[tuple[MeshAnswers, Sequence[Finding]]]) -> str:
    """Return what `doctor` found as JSON."""
    parts = {
        answers.roster["interface"]: DiagnosedMesh(
            well=not findings,
            findings=tuple(
                FindingEntry(
                    code=each.code, title=CAUSES[each.code].title, host=each.host, peer=each.peer, words=each.words,
                    evidence=each.evidence, repair=each.repair,
                )
                for each in findings
            ),
            unasked=dict(answers.absent),
            directions=tuple(
                direction_entry(host, peer, answers.measured.get(host, {}).get(peer))
                for host, peer in answers.directions()
            ),
        )
        for answers, findings in meshes
    }  # fmt: skip
    well = all(mesh.well for mesh in parts.values())
    document = DoctorDocument(generated_at=_moment(), well=well, meshes=parts)
    return document.model_dump_json(by_alias=True, indent=2)


def show_pings(meshes: Mapping[str, PingedMesh], *, well: bool) -> str:
    """Return what `ping` measured as JSON."""
    document = PingDocument(generated_at=_moment(), well=well, meshes=dict(meshes))
    return document.model_dump_json(by_alias=True, indent=2)


# By the path in the repository.
DOCTOR_SCHEMAS: dict[str, type[BaseModel]] = {
    "docs/reference/doctor.schema.json": DoctorDocument,
    "docs/reference/ping.schema.json": PingDocument,
}


def doctor_schema_text(path: str) -> str:
    """Return a schema as it is in the repository at `path`."""
    schema = DOCTOR_SCHEMAS[path].model_json_schema(mode="serialization")
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"
