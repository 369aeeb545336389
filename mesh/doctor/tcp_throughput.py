"""How fast TCP is inside the tunnel, by iperf3: what both hosts are asked, and what its report says.

The server listens on the host's address in the mesh alone, for one measurement, and ends by itself without one.
"""

import shlex

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from mesh.doctor.throughput import Arrival, Flow
from mesh.errors import visible
from mesh.remote.replies import unreadable

__all__ = ["client_script", "read_report", "server_script"]

# How long the server waits for its client, and the client for the server, and for the last bytes.
_WAIT_SECONDS = 8
_CONNECT_SECONDS = 4
_LEAST_SECONDS = 0.01
_MISSING = "command -v iperf3 >/dev/null || { echo 'no iperf3, which --tcp takes' >&2; exit 1; }; "


class _Sum(BaseModel):
    model_config = ConfigDict(strict=True)

    size: int = Field(alias="bytes", ge=0, lt=2**63)
    seconds: FiniteFloat | int = Field(ge=0)


class _End(BaseModel):
    sum_sent: _Sum | None = None
    sum_received: _Sum | None = None


class _Report(BaseModel):
    error: str = ""
    end: _End = _End()


def server_script(flow: Flow, port: int, seconds: int) -> str:
    """Return what the receiver runs, one line for `sh`."""
    words = f"timeout {seconds + _WAIT_SECONDS} iperf3 -s -1 -B {shlex.quote(flow.address)} -p {port}"
    return f"{_MISSING}{words} >/dev/null 2>&1; true"


def client_script(flow: Flow, port: int, seconds: int, most_bytes: int) -> str:
    """Return what the sender runs, one line for `sh`: for `seconds`, and as fast as `most_bytes` take."""
    words = (
        f"iperf3 -J -c {shlex.quote(flow.address)} -p {port} -t {seconds} -b {most_bytes * 8 // seconds} "
        f"--connect-timeout {_CONNECT_SECONDS * 1000}"
    )
    return f"{_MISSING}sleep 1; timeout {seconds + _WAIT_SECONDS} {words} 2>/dev/null; true"


def read_report(flow: Flow, text: str) -> tuple[int | None, Arrival]:
    """Return how many bytes the sender sent, None if that is not known, and what arrived.

    Raises:
        HostError: If it is no report of iperf3.
    """
    if not text.strip():
        return None, Arrival(fault=f"iperf3 on {flow.host} gave no report; run it there by hand")
    try:
        report = _Report.model_validate_json(text)
    except (ValidationError, ValueError):
        raise unreadable(flow.host, "iperf3", text.strip().partition("\n")[0]) from None
    received = report.end.sum_received
    if report.error or received is None or not received.size or received.seconds < _LEAST_SECONDS:
        words = visible(report.error[:200]) or "nothing arrived"
        return None, Arrival(
            fault=f"iperf3 on {flow.host} says: {words}; let {flow.peer} admit TCP in the mesh, or leave --tcp out"
        )
    sent = report.end.sum_sent
    return sent.size if sent else None, Arrival(received.size, float(received.seconds))
