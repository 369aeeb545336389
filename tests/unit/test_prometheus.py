"""Prometheus itself reads what `python -m mesh metrics` serves, and the alert rules of the documentation fire."""

import json
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from mesh.cli.metrics import serve_metrics, show_metrics
from tests.unit.test_metrics import look, samples

RULES = Path(__file__).parents[2] / "docs/prometheus/alerts.yaml"


def require(tool: str) -> None:
    """Skip the test where the program is missing."""
    if shutil.which(tool) is None:
        pytest.skip(f"there is no {tool} on this machine")


def test_rules_ask_for_metrics_that_are_there() -> None:
    """But for the one of node_exporter."""
    asked = set(re.findall(r"\b(?:mesh|wireguard)_\w+\b", "\n".join(re.findall(r"expr: (.*)", RULES.read_text()))))
    assert len(asked) == 4
    assert asked <= samples(show_metrics(look)).keys()


@pytest.mark.parametrize(
    ("series", "value", "alert"),
    [
        ('mesh_host_up{interface="testwg", host="carol"}', "0", "MeshHostSilent"),
        ('mesh_pair_up{interface="testwg", host="carol", peer="bernard"}', "0", "MeshPairSilent"),
        ('mesh_drift{interface="testwg", host="carol"}', "1", "MeshDrift"),
        ('mesh_key_expiry_timestamp_seconds{interface="testwg", host="carol"}', "1200000", "MeshKeyExpires"),
        ('mesh_key_expiry_timestamp_seconds{interface="testwg", host="carol"}', "1300000", ""),
        ('mesh_host_up{interface="testwg", host="carol"}', "1", ""),
        ('node_textfile_mtime_seconds{file="/var/lib/node_exporter/mesh.prom"}', "0", "MeshMetricsOld"),
    ],
)
def test_a_rule_fires_where_something_is_amiss(tmp_path: Path, series: str, value: str, alert: str) -> None:
    """And no other one does."""
    require("promtool")
    fires = {"expr": "count by (alertname) (ALERTS{alertstate='firing'})", "eval_time": "20m"}
    labels = f'{{alertname="{alert}"}}'
    case = {
        "interval": "1m",
        "input_series": [{"series": series, "values": f"{value}x30"}],
        "promql_expr_test": [{**fires, "exp_samples": [{"labels": labels, "value": 1}] if alert else []}],
    }
    file = tmp_path / "test.yaml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [case]}))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_scrapes_what_is_served(tmp_path: Path) -> None:
    """And knows the series by their names."""
    require("prometheus")
    places: list[str] = []
    listening = threading.Event()

    def say(line: str) -> None:
        places.append(line.split("/")[2])
        listening.set()

    threading.Thread(target=serve_metrics, args=(look, "127.0.0.1:0", say), daemon=True).start()
    assert listening.wait(10)
    job = {"job_name": "mesh", "scrape_interval": "1s", "static_configs": [{"targets": places}]}
    config = tmp_path / "prometheus.yml"
    config.write_text(json.dumps({"scrape_configs": [job], "rule_files": [str(RULES)]}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    words = [f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address={address}"]
    with subprocess.Popen(["prometheus", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as prometheus:
        try:
            found = {name: ask(address, name) for name in ("mesh_host_up", "wireguard_sent_bytes_total")}
        finally:
            prometheus.terminate()
    assert found == {"mesh_host_up": 3, "wireguard_sent_bytes_total": 4}


def ask(address: str, name: str) -> int:
    """Return how many series of a name there are, once there are any."""
    for _ in range(120):
        try:
            with urllib.request.urlopen(f"http://{address}/api/v1/query?query={name}", timeout=5) as answer:
                if series := json.load(answer)["data"]["result"]:
                    return len(series)
        except OSError:
            pass
        time.sleep(0.5)
    return 0
