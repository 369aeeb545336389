"""The status of meshes as one JSON document, and the JSON schema of that."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mesh.cli.json_document import Document, Entry, now
from mesh.cli.status_rows import HostStatus, MeshStatus, totals
from mesh.remote.host_program import program_digest
from mesh.remote.login import is_post_quantum

__all__ = ["StatusDocument", "show_json"]

# What hosts and the state give as nothing at all, or as 0, is null here.
Moment = Annotated[datetime | None, BeforeValidator(lambda value: value or None)]


class HostEntry(Entry):
    host: str
    address: str = Field(description="Inside the mesh, with its prefix length.")
    endpoint: str = Field(description="Where peers find it; empty for a roaming host.")
    state: Literal["up", "drifted", "pending", "unreachable"]
    system: str
    reasons: tuple[str, ...] = Field(description="Why it is not up.")
    public_key: str
    answers: bool = Field(description="Whether it said over SSH what it runs.")
    key_made: Moment
    key_expires: Moment = Field(description="null: it does not expire.")
    key_exchange: str = Field(description="That of SSH in this connection; empty where there was none.")
    post_quantum: bool = Field(description="Whether that one is post-quantum.")
    wireguard: Literal["kernel", "userspace", ""] = Field(description="Which kind runs; empty where it was not told.")
    program: str = Field(description="Digits that name the version of the host program that boots there; empty: none.")
    own_program: bool = Field(description="Whether that is the version of the command that asked.")
    uptime: int | None = Field(description="Of the interface, in seconds; null where the host does not know.")
    packets_received: int | None = Field(description="Inside the mesh, since the interface is there.")
    packets_sent: int | None = Field(description="Inside the mesh, since the interface is there.")


class PairEntry(Entry):
    host: str = Field(description="Whose view of the pair it is.")
    peer: str
    state: Literal["up", "relayed", "silent", "cannot-meet", "unknown", "not-managed"]
    way: Literal["direct", "lan", "relay", ""] = Field(
        description="How packets go: to its address in their site (lan), over the relay; empty without a session."
    )
    endpoint: str = Field(description="In use at this moment, or over which host it is relayed.")
    handshake: Moment = Field(description="The latest one; null for never.")
    received: int = Field(description="In bytes.")
    sent: int = Field(description="In bytes.")
    ping: float | None = Field(description="In milliseconds; null without an answer, or where nobody asked.")
    public_key: str = Field(description="The peer's.")
    allowed_ips: tuple[str, ...] = Field(description="What the host sends to the peer.")


class Totals(Entry):
    hosts: int
    hosts_up: int
    directions: int = Field(description="Of pairs, those that can be asked.")
    directions_up: int
    faults: int


class MeshEntry(Entry):
    well: bool
    totals: Totals
    changed: Moment = Field(description="When the rollout last changed.")
    preshared_key_expires: Moment = Field(description="null: it does not expire.")
    faults: tuple[str, ...] = Field(description="In words, the host first.")
    hosts: tuple[HostEntry, ...]
    pairs: tuple[PairEntry, ...] = Field(description="One entry for each direction.")
    not_wiped: tuple[str, ...] = Field(description="Hosts that left and could not be wiped so far.")


class StatusDocument(Document):
    """What `mesh status` saw."""

    well: bool = Field(description="Whether every mesh is.")
    totals: Totals
    meshes: dict[str, MeshEntry] = Field(description="By interface.")


def show_json(meshes: Sequence[MeshStatus]) -> str:
    """Return everything as JSON."""
    parts = {mesh.interface: _mesh_entry(mesh) for mesh in meshes}
    document = StatusDocument.model_validate(
        {
            "generated_at": now(),
            "well": all(mesh.is_well for mesh in meshes),
            "totals": totals(meshes),
            "meshes": parts,
        }
    )
    return document.text()


def _mesh_entry(mesh: MeshStatus) -> dict[str, Any]:
    faults = tuple(map(str, mesh.faults))
    hosts = [_host_entry(host) for host in mesh.hosts]
    return {**asdict(mesh), "hosts": hosts, "faults": faults, "well": mesh.is_well, "totals": totals([mesh])}


def _host_entry(host: HostStatus) -> dict[str, Any]:
    device = host.device
    return {
        **asdict(host),
        "post_quantum": is_post_quantum(host.key_exchange),
        "wireguard": device.wireguard if device else "",
        "program": device.program if device else "",
        "own_program": device is not None and device.program == program_digest(),
        "uptime": device.age if device else None,
        "packets_received": device.received if device else None,
        "packets_sent": device.sent if device else None,
    }
