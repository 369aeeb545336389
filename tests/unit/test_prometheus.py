"""Prometheus itself reads what `python -m mesh metrics` serves, and knows the rules and panels of the documentation."""

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
DASHBOARD = json.loads(RULES.with_name("dashboard.json").read_text(encoding="utf-8"))
# What Grafana puts in the place of its variables.
VALUES = {"$__rate_interval": "5m", "$interface": ".*", "$host": ".*"}


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
        ('up{job="mesh"}', "0", "MeshMetricsMissing"),
        ('node_textfile_mtime_seconds{file="/var/lib/node_exporter/mesh.prom"}', "0", "MeshMetricsOld"),
    ],
)
def test_a_rule_fires_where_something_is_wrong(tmp_path: Path, series: str, value: str, alert: str) -> None:
    """And no other one does."""
    require("promtool")
    fires = {"expr": "count by (alertname) (ALERTS{alertstate='firing'})", "eval_time": "20m"}
    labels = f'{{alertname="{alert}"}}'
    case = {
        "interval": "1m",
        "input_series": [
            {"series": series, "values": f"{value}x30"},
            *([{"series": 'mesh_host_up{host="dora"}', "values": "1x30"}] if alert != "MeshMetricsMissing" else []),
        ],
        "promql_expr_test": [{**fires, "exp_samples": [{"labels": labels, "value": 1}] if alert else []}],
    }
    file = tmp_path / "test.yaml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [case]}))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def queries() -> dict[str, str]:
    """Return what each panel of the dashboard asks for, and its marks, by title."""
    parts = [(part["title"], part["targets"][0]["expr"]) for part in DASHBOARD["panels"]]
    parts += [(part["name"], part["expr"]) for part in DASHBOARD["annotations"]["list"]]
    found = {}
    for title, query in parts:
        for name, value in VALUES.items():
            query = query.replace(name, value)  # noqa: PLW2901
        found[title] = query
    return found


def test_the_dashboard_asks_for_metrics_that_are_there_and_for_all_of_them() -> None:
    """Also in what its variables ask."""
    variables = [part["query"]["query"] for part in DASHBOARD["templating"]["list"] if part["type"] == "query"]
    asked = set(re.findall(r"\b(?:mesh|wireguard)_\w+\b", " ".join([*queries().values(), *variables])))
    assert asked == samples(show_metrics(look)).keys()
    assert not any("$" in query for query in queries().values())


def test_the_panels_of_the_dashboard_have_their_places() -> None:
    """None lies on another, and each says what it shows."""
    panels = DASHBOARD["panels"]
    assert len({part["title"] for part in panels}) == len({part["id"] for part in panels}) == len(panels)
    places = [part["gridPos"] for part in panels]
    cells = [(at["x"] + x, at["y"] + y) for at in places for x in range(at["w"]) for y in range(at["h"])]
    assert len(cells) == len(set(cells)) == 24 * 36
    assert {x for x, _ in cells} == {*range(24)}
    assert all(part["description"] and part["targets"][0]["datasource"] == part["datasource"] for part in panels)


def test_every_panel_of_the_dashboard_shows_something(tmp_path: Path) -> None:
    """Of a mesh with a silent pair, at the moment of a change, by promtool's own reading of the queries."""
    require("promtool")
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries().values())]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    labels = 'interface="testwg", host="carol"'
    link = f'{labels}, public_key="k", friendly_name="bernard", allowed_ips="fd00::/64"'
    series = {
        f"mesh_host_up{{{labels}}}": "1x30",
        f'mesh_pair_up{{{labels}, peer="bernard"}}': "0x30",
        f'mesh_pair_rtt_seconds{{{labels}, peer="bernard"}}': "0.1x30",
        f"mesh_drift{{{labels}}}": "1x30",
        f"mesh_key_expiry_timestamp_seconds{{{labels}}}": "9000x30",
        'mesh_last_change_timestamp_seconds{interface="testwg"}': "1+60x30",
        f"wireguard_latest_handshake_seconds{{{link}}}": "1x30",
        f"wireguard_sent_bytes_total{{{link}}}": "0+60x30",
        f"wireguard_received_bytes_total{{{link}}}": "0+60x30",
    }
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": f"count(panel:{number})", "eval_time": "20m", "exp_samples": [{"labels": "{}", "value": 1}]}
            for number in range(len(rules))
        ],
    }
    file = tmp_path / "test.yaml"
    file.write_text(json.dumps({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [case]}))
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
