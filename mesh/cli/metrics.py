"""The status of meshes as metrics, written by the library of Prometheus: once, to a file, or whenever it is scraped.

What hosts count has the names of the known exporters of WireGuard, with the host that counts as one more label.
"""

import socket
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, generate_latest, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics

from mesh.cli.output_file import replace_file
from mesh.cli.status_rows import MeshStatus
from mesh.errors import MeshError

__all__ = ["Look", "serve_metrics", "show_metrics", "write_metrics"]

Look = Callable[[], Sequence[MeshStatus]]

_HIGHEST_PORT = 65535
_HOST = ("interface", "host")
_LINK = ("interface", "host", "public_key", "friendly_name", "allowed_ips")
_PAIR = ("interface", "host", "peer")


class _Collector:
    def __init__(self, look: Look) -> None:
        self._look = look

    def collect(self) -> Iterator[Metric]:
        sent = CounterMetricFamily("wireguard_sent_bytes", "Bytes that the host sent to the peer.", labels=_LINK)
        received = CounterMetricFamily("wireguard_received_bytes", "Bytes that it received from there.", labels=_LINK)
        handshake = GaugeMetricFamily(
            "wireguard_latest_handshake_seconds", "When, in seconds since 1970, or 0 for never.", labels=_LINK
        )
        up = GaugeMetricFamily("mesh_pair_up", "Whether the peer answers the host.", labels=_PAIR)
        rtt = GaugeMetricFamily("mesh_pair_rtt_seconds", "Of one ping inside the mesh.", labels=_PAIR)
        host_up = GaugeMetricFamily("mesh_host_up", "Whether the host says over SSH what it runs.", labels=_HOST)
        drift = GaugeMetricFamily("mesh_drift", "Whether it runs another thing than was confirmed.", labels=_HOST)
        expiry = GaugeMetricFamily(
            "mesh_key_expiry_timestamp_seconds",
            "When the host's key expires, or the preshared key where no host is named.",
            labels=_HOST,
        )
        changed = GaugeMetricFamily(
            "mesh_last_change_timestamp_seconds", "When the rollout last changed.", labels=_HOST[:1]
        )
        for mesh in self._look():
            name = mesh.interface
            for pair in mesh.pairs:
                if pair.allowed_ips:
                    labels = (name, pair.host, pair.public_key, pair.peer, ",".join(pair.allowed_ips))
                    sent.add_metric(labels, pair.sent)
                    received.add_metric(labels, pair.received)
                    handshake.add_metric(labels, pair.handshake)
                if pair.state in ("up", "relayed", "silent"):
                    up.add_metric((name, pair.host, pair.peer), pair.state != "silent")
                if pair.ping is not None:
                    rtt.add_metric((name, pair.host, pair.peer), pair.ping / 1000)
            for host in mesh.hosts:
                host_up.add_metric((name, host.host), host.answers)
                drift.add_metric((name, host.host), host.state == "drifted")
            keys = [("", mesh.preshared_key_expires), *((host.host, host.key_expires) for host in mesh.hosts)]
            for owner, expires in keys:
                if expires:
                    expiry.add_metric((name, owner), datetime.fromisoformat(expires).timestamp())
            if mesh.changed:
                changed.add_metric((name,), datetime.fromisoformat(mesh.changed).timestamp())
        yield from (sent, received, handshake, up, rtt, host_up, drift, expiry, changed)


def _registry(look: Look) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_Collector(look))
    return registry


def show_metrics(look: Look) -> str:
    """Return the metrics as OpenMetrics."""
    text: bytes = openmetrics.generate_latest(_registry(look))  # type: ignore[no-untyped-call]
    return text.decode()


def write_metrics(look: Look, path: Path) -> None:
    """Replace the file at once, so that nobody reads half of it; it is for everyone to read.

    Raises:
        MeshError: If it cannot be written.
    """
    # In the text format of before OpenMetrics, the only one that node_exporter reads.
    text = generate_latest(_registry(look)).decode()
    replace_file(path, text, 0o644)


class _ServerOfIpv6(WSGIServer):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    # Whoever connects and says nothing does not keep others waiting for longer.
    timeout = 10

    def log_message(self, *_: Any) -> None:
        """Log nothing, as is usual for scrapes."""


def serve_metrics(look: Look, place: str, say: Callable[[str], None]) -> None:
    """Serve the metrics over HTTP until the process is ended; the hosts are asked for each scrape.

    Raises:
        MeshError: If `place` is no ADDRESS:PORT to listen on.
    """

    def app(environ: Any, start_response: Any) -> Any:
        try:
            return make_wsgi_app(_registry(look))(environ, start_response)
        except MeshError as error:
            start_response("503 Service Unavailable", [("Content-Type", "text/plain;charset=utf-8")])
            return [f"{error}\n".encode()]

    address, _, port = place.rpartition(":")
    server: WSGIServer | None = None
    # Python takes digits of all scripts.
    if not (port.isascii() and port.isdigit() and int(port[:6]) <= _HIGHEST_PORT):
        problem = "no port from 0 to 65535" if address else "no address"
    else:
        kind = _ServerOfIpv6 if address.startswith("[") else WSGIServer
        try:
            server = make_server(address.strip("[]"), int(port), app, kind, _Handler) if address else None
            problem = "no address"
        except (OSError, ValueError) as error:
            problem = getattr(error, "strerror", None) or "no address"
    if server is None:
        raise MeshError(f"--listen: {place!r}: {problem}; give an address and a free port, as 127.0.0.1:9586")
    with server:
        say(f"metrics: http://{address}:{server.server_port}/metrics")
        server.serve_forever()
