"""What `speed` measured, as one JSON document with its JSON schema."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from mesh.cli.json_document import Document, Entry, now
from mesh.doctor.speed import Speed

__all__ = ["SpeedDocument", "show_speeds"]


class StreamEntry(Entry):
    host: str = Field(description="Who sent.")
    peer: str
    way: Literal["tunnel", "direct"] = Field(description="Inside the tunnel, or outside it.")
    protocol: Literal["udp", "tcp"]
    bits_per_second: float | None = Field(description="How fast it arrived; null where nothing did.")
    received: int = Field(description="Bytes that arrived while it was measured, with headers.")
    seconds: float = Field(description="How long it was measured.")
    sent: int | None = Field(description="All bytes that were sent, with headers; null where the host did not tell.")
    fault: str = Field(description="Why it could not be measured; empty if it was.")


class MeasuredMesh(Entry):
    mtu: int = Field(description="Of the tunnel, in bytes.")
    streams: tuple[StreamEntry, ...]


class SpeedDocument(Document):
    """What `mesh speed` measured."""

    well: bool = Field(description="Whether each stream was measured.")
    meshes: dict[str, MeasuredMesh] = Field(description="By interface.")


def show_speeds(meshes: Mapping[str, tuple[int, Sequence[Speed]]]) -> str:
    """Return what was measured as JSON, by interface with its MTU."""
    parts = {
        name: MeasuredMesh(
            mtu=mtu,
            streams=tuple(
                StreamEntry(
                    host=each.host, peer=each.peer, way="direct" if each.way == "direct" else "tunnel",
                    protocol="tcp" if each.protocol == "tcp" else "udp",
                    bits_per_second=each.arrival.bits_per_second, received=each.arrival.received,
                    seconds=round(each.arrival.seconds, 2), sent=each.sent, fault=each.arrival.fault,
                )
                for each in speeds
            ),
        )
        for name, (mtu, speeds) in meshes.items()
    }  # fmt: skip
    well = not any(each.fault for mesh in parts.values() for each in mesh.streams)
    return SpeedDocument(generated_at=now(), well=well, meshes=parts).text()
