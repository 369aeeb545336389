"""The status of meshes as metrics, written by the library of Prometheus: once, to a file, or whenever it is scraped.

What hosts count has the names of the known exporters of WireGuard, with the host that counts as one more label.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from http import HTTPStatus
from http.server import HTTPServer
from math import inf
from pathlib import Path

from prometheus_client import CollectorRegistry, MetricsHandler, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics

from mesh.cli.http_server import CLIENT_SECONDS, ManyClients
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
    def __init__(self, found: Sequence[MeshStatus]) -> None:
        self._found = found

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
        for mesh in self._found:
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


def _registry(found: Sequence[MeshStatus]) -> CollectorRegistry:
    # So that a scrape can choose metrics by their names.
    registry = CollectorRegistry(auto_describe=True)
    registry.register(_Collector(found))
    return registry


def show_metrics(look: Look) -> str:
    """Return the metrics as OpenMetrics."""
    text: bytes = openmetrics.generate_latest(_registry(look()))  # type: ignore[no-untyped-call]
    return text.decode()


def write_metrics(look: Look, path: Path) -> None:
    """Replace the file at once, so that nobody reads half of it; it is for everyone to read.

    Raises:
        MeshError: If it cannot be written.
    """
    # In the text format of before OpenMetrics, the only one that node_exporter reads.
    text = generate_latest(_registry(look())).decode()
    replace_file(path, text, 0o644)


class _Server(ManyClients, HTTPServer):
    def __init__(self, place: tuple[str, int], look: Look) -> None:
        self._look = look
        self._asking = threading.Lock()
        self._began = -inf
        self._found: Sequence[MeshStatus] = ()
        super().__init__(place, _Handler)

    def look(self) -> Sequence[MeshStatus]:
        """Return what hosts said to a question that was asked since this call, for it or for another one.

        So scrapes that come faster than hosts answer, or that nobody waits for any more, do not queue up.
        """
        came = time.monotonic()
        with self._asking:
            if self._began < came:
                began = time.monotonic()
                self._found = self._look()
                self._began = began
            return self._found


class _ServerOfIpv6(_Server):
    address_family = socket.AF_INET6


class _Handler(MetricsHandler):
    server: _Server
    timeout = CLIENT_SECONDS

    def do_GET(self) -> None:  # noqa: N802 - as the library calls it
        """Ask the hosts first, so that what fails is said in words."""
        try:
            found = self.server.look()
        except (MeshError, OSError) as error:
            body = f"{error}\n".encode()
            self.send_response(HTTPStatus.SERVICE_UNAVAILABLE)
            self.send_header("Content-Type", "text/plain;charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.registry = _registry(found)
        super().do_GET()


def serve_metrics(look: Look, place: str, say: Callable[[str], None]) -> None:
    """Serve the metrics over HTTP until the process is ended; the hosts are asked for each scrape.

    Raises:
        MeshError: If `place` is no ADDRESS:PORT to listen on.
    """
    address, _, port = place.rpartition(":")
    server: _Server | None = None
    # Python takes digits of all scripts.
    if not (port.isascii() and port.isdigit() and int(port[:6]) <= _HIGHEST_PORT):
        problem = "no port from 0 to 65535" if address else "no address"
    else:
        kind = _ServerOfIpv6 if address.startswith("[") else _Server
        try:
            server = kind((address.strip("[]"), int(port)), look) if address else None
            problem = "no address"
        except (OSError, ValueError) as error:
            problem = getattr(error, "strerror", None) or "no address"
    if server is None:
        raise MeshError(f"--listen: {place!r}: {problem}; give an address and a free port, as 127.0.0.1:9586")
    with server:
        say(f"metrics: http://{address}:{server.server_port}/metrics")
        server.serve_forever()
