"""The metrics of a mesh, read by the parser of the library and by promtool."""

import shutil
import socket
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from mesh.cli.metrics import serve_metrics, show_metrics, write_metrics
from mesh.cli.status import judge
from mesh.cli.status_rows import MeshStatus
from mesh.errors import MeshError
from tests.unit.test_proof import ADDRESSES, KEYS
from tests.unit.test_status import FACTS, PINGS, ROLLOUT

LABELS = ("interface", "host", "peer", "public_key", "friendly_name", "allowed_ips")
EXPIRY = "2026-05-01T10:00:00Z"
WELL = judge(ROLLOUT, FACTS, PINGS, {})


def _dated(mesh: MeshStatus) -> MeshStatus:
    bernard, *others = mesh.hosts
    hosts = (replace(bernard, key_expires=EXPIRY), *others)
    return replace(mesh, hosts=hosts, changed="2026-01-01T00:00:00.5Z", preshared_key_expires=EXPIRY)


def look(mesh: MeshStatus = WELL) -> Sequence[MeshStatus]:
    """Return what was asked of the hosts."""
    return [_dated(mesh)]


def samples(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the value of each series, by its name and the values of its labels."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]
        for sample in family.samples:
            labels = tuple(sample.labels[name] for name in LABELS if name in sample.labels)
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_a_mesh_that_is_well_has_all_metrics() -> None:
    """With the names that dashboards of WireGuard know."""
    found = samples(show_metrics(look))
    allowed = ADDRESSES["edgeworth"].replace("1/64", "/64")
    link = ("testwg", "bernard", KEYS["edgeworth"], "edgeworth", allowed)
    assert found["wireguard_sent_bytes_total"][link] == 20
    assert found["wireguard_received_bytes_total"][link] == 10
    assert found["wireguard_latest_handshake_seconds"][link] == 1000
    assert set(found["mesh_pair_up"].values()) == {1.0}
    assert found["mesh_pair_rtt_seconds"]["testwg", "bernard", "phoenix"] == 0.002
    assert found["mesh_host_up"] == {("testwg", host): 1.0 for host in KEYS}
    assert found["mesh_drift"] == {("testwg", host): 0.0 for host in KEYS}
    assert found["mesh_key_expiry_timestamp_seconds"] == {
        ("testwg", "bernard"): 1777629600.0,
        ("testwg", ""): 1777629600.0,
    }
    assert found["mesh_last_change_timestamp_seconds"] == {("testwg",): 1767225600.5}


def test_what_is_wrong_has_its_value() -> None:
    """A silent pair, a host that drifted, and one that does not answer; of a pair that cannot meet there is none."""
    facts = {"bernard": replace(FACTS["bernard"], mtu=1280), "edgeworth": FACTS["edgeworth"]}
    pings = {**PINGS, ("bernard", "edgeworth"): None}
    found = samples(show_metrics(lambda: look(judge(ROLLOUT, facts, pings, {"phoenix": "is off"}))))
    assert found["mesh_host_up"] == {("testwg", "bernard"): 1, ("testwg", "edgeworth"): 1, ("testwg", "phoenix"): 0}
    assert found["mesh_drift"]["testwg", "bernard"] == 1
    assert found["mesh_pair_up"]["testwg", "bernard", "edgeworth"] == 0
    assert ("testwg", "bernard", "edgeworth") not in found["mesh_pair_rtt_seconds"]
    assert ("testwg", "edgeworth", "phoenix") not in found["mesh_pair_up"]


def test_promtool_finds_no_fault_in_the_file(tmp_path: Path) -> None:
    """It reads it as node_exporter does, and knows what names and helps are to be."""
    if shutil.which("promtool") is None:
        pytest.skip("there is no promtool on this machine")
    path = tmp_path / "mesh.prom"
    write_metrics(look, path)
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=path.read_text(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_file_is_replaced_at_once(tmp_path: Path) -> None:
    """Another user may read it, and nothing else is left beside it."""
    path = tmp_path / "mesh.prom"
    path.write_text("old")
    before = path.open()
    write_metrics(look, path)
    assert before.read() == "old"
    before.close()
    assert 'mesh_last_change_timestamp_seconds{interface="testwg"}' in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o644
    assert [file.name for file in tmp_path.iterdir()] == ["mesh.prom"]
    with pytest.raises(MeshError, match="choose another path"):
        write_metrics(look, tmp_path / "nowhere" / "mesh.prom")


def serving(ask: Callable[[], Sequence[MeshStatus]], place: str = "127.0.0.1:0") -> str:
    """Return where the metrics are served."""
    places: list[str] = []
    listening = threading.Event()

    def say(line: str) -> None:
        places.append(line.split()[1])
        listening.set()

    threading.Thread(target=serve_metrics, args=(ask, place, say), daemon=True).start()
    assert listening.wait(10)
    return places[0]


def scrape(place: str) -> str:
    """Return what is served there."""
    with urllib.request.urlopen(place, timeout=10) as answer:  # noqa: S310
        return str(answer.read().decode())


def hang_up(place: str, said: bytes) -> None:
    """Be a client that says something and is gone."""
    client = socket.create_connection((urlsplit(place).hostname or "", urlsplit(place).port or 0))
    client.sendall(said)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def test_a_client_that_goes_away_or_says_nothing_disturbs_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    """As a port scan, or a scrape that was given up: another one is served at once, and no trace is printed."""
    place = serving(look)
    for said in (b"", b"GET /metrics HTTP/1.1\r\nHost", b"GET /metrics HTTP/1.1\r\n\r\n", b"\x16\x03\x01"):
        hang_up(place, said)
    with socket.create_connection((urlsplit(place).hostname or "", urlsplit(place).port or 0)):
        began = time.monotonic()
        assert "mesh_host_up{" in scrape(place)
        assert time.monotonic() - began < 5
    assert capfd.readouterr().err == ""


def test_scrapes_that_come_while_hosts_are_asked_share_the_next_answer() -> None:
    """Where a dead host makes a look longer than the interval of scrapes, they would queue up for good."""
    asked: list[int] = []
    may_end = threading.Event()

    def ask() -> Sequence[MeshStatus]:
        asked.append(1)
        assert may_end.wait(10)
        return look()

    place = serving(ask)
    with ThreadPoolExecutor(5) as pool:
        scrapes = [pool.submit(scrape, place) for _ in range(5)]
        time.sleep(0.5)
        may_end.set()
        assert all("mesh_host_up{" in each.result() for each in scrapes)
    assert len(asked) <= 2
    count = len(asked)
    assert "mesh_host_up{" in scrape(place)
    assert len(asked) == count + 1


def test_a_scrape_can_choose_metrics() -> None:
    """By their names, as Prometheus asks for them with `params`."""
    text = scrape(f"{serving(look)}?name[]=mesh_host_up")
    assert "mesh_host_up{" in text
    assert "wireguard" not in text


@pytest.mark.parametrize("place", ["127.0.0.1:0", "[::1]:0"])
def test_each_scrape_asks_the_hosts_and_a_failure_is_reported(place: str) -> None:
    """A server goes on after it."""
    asked: list[int] = []

    def ask() -> Sequence[MeshStatus]:
        asked.append(1)
        if len(asked) == 2:
            raise MeshError("pulumi: no stack; name one")
        if len(asked) == 3:
            raise FileNotFoundError(2, "No such file or directory", "/usr/bin/pulumi")
        return look()

    served = serving(ask, place)
    assert "mesh_host_up{" in scrape(served)
    with pytest.raises(urllib.error.HTTPError) as caught:
        scrape(served)
    with caught.value as answer:
        assert (answer.code, answer.read()) == (503, b"pulumi: no stack; name one\n")
    with pytest.raises(urllib.error.HTTPError) as caught:
        scrape(served)
    with caught.value as answer:
        assert (answer.code, answer.read()) == (503, b"[Errno 2] No such file or directory: '/usr/bin/pulumi'\n")
    assert "mesh_host_up{" in scrape(served)


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("", "no address"),
        ("9586", "no address"),
        (":9586", "no address"),
        ("9586x", "no address"),
        ("127.0.0.1:x", "no port from 0 to 65535"),
        ("127.0.0.1:99999", "no port from 0 to 65535"),
        (f"127.0.0.1:{'9' * 5000}", "no port from 0 to 65535"),
        ("127.0.0.1:\uff19\uff15\uff18\uff16", "no port from 0 to 65535"),
        ("203.0.113.1:9586", "Cannot assign requested address"),
        (f"{'a' * 300}:9586", ""),
        ("no.invalid:9586", ""),
    ],
)
def test_a_place_to_listen_that_is_none_is_told(place: str, problem: str) -> None:
    """With an example."""

    def never(*_: object) -> NoReturn:
        raise AssertionError

    with pytest.raises(MeshError, match=rf"--listen: .*: {problem}.*; .* as 127\.0\.0\.1:9586"):
        serve_metrics(never, place, never)
