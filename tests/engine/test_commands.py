"""Options of `python -m mesh` that choose among stacks, meshes and hosts, on the real engine."""

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
import urllib.request
from datetime import datetime
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from tests.engine.conftest import Maker
from tests.engine.stack import Stack
from tests.sshd import make_key

HOSTS = ["h1", "h2", "h3"]
_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def stack(make_stack: Maker) -> Stack:
    """Return a stack of two meshes, with a phone of the same name in each."""
    stack = make_stack(3)
    write(stack, HOSTS)
    stack.up("--message", "the first run")
    return stack


def write(stack: Stack, hosts: list[str]) -> None:
    """Have these hosts in both meshes."""
    mesh = {"hosts": hosts, "deadline": 10, "unreachable": "skip", "peers": {"phone": {}}, "maxKeyAge": "180d"}
    entries = {"h2": {"tags": ["edge"]}}
    stack.write({"testwg": mesh, "backwg": {**mesh, "port": 51825}}, entries=entries)


def test_status_shows_the_meshes_that_are_asked_for(stack: Stack) -> None:
    """An unknown one is named."""
    both = stack.companion("status", "--no-ping").output
    assert "testwg" in both
    assert "backwg" in both
    one = stack.companion("status", "test", "--interface", "backwg", "--ping")
    assert one.code == 0
    assert "backwg" in one.output
    assert "testwg" not in one.output
    unknown = stack.companion("status", "--interface", "backwg", "--interface", "nowg")
    assert unknown.code == 1
    told = "status: 'nowg' was never rolled out in this stack; give backwg or testwg, or run pulumi up first"
    assert unknown.text.strip() == f"error: {told}"


def test_a_stack_in_which_nothing_was_rolled_out_is_told_as_that_by_every_look(make_stack: Maker) -> None:
    """Whoever watches it would take an empty table for a mesh that is well."""
    stack = make_stack(2)
    stack.write({"testwg": {"hosts": ["h1", "h2"]}})
    looks = [("status", "status"), ("doctor",) * 2, ("ping", "ping", "--all"), ("metrics",) * 2, ("page",) * 2]
    for command, named, *options in looks:
        outcome = stack.companion(command, *options)
        assert outcome.code == 1, command
        assert f"error: {named}: nothing was rolled out in this stack; run pulumi up first" in outcome.errors


def test_metrics_are_served_at_an_address_that_is_given_whole(stack: Stack) -> None:
    """A port alone would mean all addresses, and what is served names hosts and keys."""
    outcome = stack.companion("metrics", "--listen", "9586")
    assert outcome.code == 1
    assert "--listen: '9586': no address; give an address and a free port, as 127.0.0.1:9586" in outcome.errors


def test_status_of_a_host_is_what_concerns_it(stack: Stack) -> None:
    """With the age of its key, in the tables and in the document."""
    shown = stack.companion("status", "--interface", "testwg", "--only", "h2").output
    assert shown.startswith("testwg is healthy: 1 of 1 hosts are up, and 4 of 4 directions between them")
    assert "0 d old, 179 d left" in shown
    content = json.loads(stack.companion("status", "--json", "--only", "h2").output)
    assert content["totals"] == {"hosts": 2, "hostsUp": 2, "directions": 8, "directionsUp": 8, "faults": 0}
    (host,) = content["meshes"]["backwg"]["hosts"]
    assert host["publicKey"] == stack.public_keys("backwg")["h2"]
    assert (host["wireguard"], host["program"], host["uptime"]) == ("kernel", "0123456789abcdef", 90061)
    moments = [host["keyMade"], content["meshes"]["backwg"]["changed"], content["generatedAt"], host["keyExpires"]]
    assert sorted(moments, key=datetime.fromisoformat) == moments


def test_the_status_is_watched_until_it_is_interrupted(stack: Stack) -> None:
    """With rates from the second look on, and also while it waits for a host; only a terminal is redrawn."""
    assert "--json is one document; give one of them" in stack.companion("status", "--watch", "--json").text
    assert "status: --watch redraws a terminal, and there is none" in stack.companion("status", "--watch").text
    words = [sys.executable, "-m", "mesh", "status", "--watch", "--interval", "1", "--interface", "testwg"]
    screen, own = pty.openpty()
    termios.tcsetwinsize(own, (50, 180))
    with subprocess.Popen(words, cwd=stack.folder, env=stack.environment, stdout=own, stderr=own) as watching:
        os.close(own)
        said = b""
        while b"/s, 0/s" not in said:
            said += os.read(screen, 1 << 16)
        stack.hosts["h1"].slowness = 30.0
        before = len(stack.hosts["h1"].orders)
        while len(stack.hosts["h1"].orders) == before:
            time.sleep(0.1)
        watching.send_signal(signal.SIGINT)
        began = time.monotonic()
        # Nobody waits for ever for one that goes on.
        ending = threading.Timer(30, watching.kill)
        ending.start()
        with contextlib.suppress(OSError):
            while piece := os.read(screen, 1 << 16):
                said += piece
        ending.cancel()
    stack.hosts["h1"].slowness = 0.0
    os.close(screen)
    assert time.monotonic() - began < 15
    assert watching.returncode == 0, said.decode()
    assert said.count(b"testwg is healthy: 3 of 3 hosts are up") >= 2
    assert b"Traceback" not in said


def test_the_doctor_finds_nothing_in_a_mesh_that_is_well_and_names_a_difference(stack: Stack) -> None:
    """Of the meshes and hosts that are asked for; a host that is dead is a finding, and so is what nobody can read."""
    assert stack.companion("doctor", "test", "--interface", "testwg").output == (
        "testwg is healthy: 3 of 3 hosts were asked, and 6 of 6 directions answer\n"
    )
    stack.hosts["h2"].interfaces["testwg"].differs = ["disabled"]
    stack.hosts["h3"].says["examine"] = lambda _: [b"clock now\n.ok\n"]
    try:
        found = stack.companion("doctor", "--json")
        one = stack.companion("doctor", "--only", "h2")
        stack.hosts["h3"].says["status"] = lambda _: [b".error gone\n"]
        drawn = stack.companion("graph", "test", "--interface", "testwg", "--live", "--format", "dot").output
    finally:
        stack.hosts["h2"].interfaces["testwg"].differs = []
        stack.hosts["h3"].says.clear()
    assert found.code == one.code == 1
    assert re.findall(r'"(\w+)[^"]*\\nunreachable"', drawn) == ["h3"]
    document = json.loads(found.output)
    findings = document["meshes"]["testwg"]["findings"]
    assert [(each["code"], each["host"]) for each in findings] == [("W01", "h3"), ("W31", "h2")]
    assert "what cannot be read ('clock now')" in findings[0]["words"]
    assert [each["code"] for each in document["meshes"]["backwg"]["findings"]] == ["W01"]
    assert "W31 h2: Something else has drifted" in one.output
    assert "W01" not in one.output
    assert stack.companion("doctor", "--only", "h9").text.strip() == (
        "error: doctor: h9 is no host of any mesh; give some of h1, h2, h3"
    )


def test_pings_go_between_the_hosts_that_are_named(stack: Stack) -> None:
    """Or between all; names that make no pair are told."""
    shown = stack.companion("ping", "h1", "h2", "--stack", "test", "--interface", "testwg", "--count", "7")
    assert shown.code == 0, shown.text
    assert [line.split("│")[1:5] for line in shown.output.splitlines() if "│" in line] == [
        [" h1   ", " h2 ", " 7    ", " 0%   "],
        [" h2   ", " h1 ", " 7    ", " 0%   "],
    ]
    found = json.loads(stack.companion("ping", "--all", "--json").output)
    assert found["well"]
    assert {name: len(mesh["directions"]) for name, mesh in found["meshes"].items()} == {"testwg": 6, "backwg": 6}
    for words, said in (
        (["h1"], "it takes two hosts, or --all; give python -m mesh ping bernard carol"),
        (["h1", "h9"], "h9 is in no mesh; give two of h1, h2, h3, phone"),
        (["h1", "h1"], "h1 and h1 are no peers in any mesh; see python -m mesh status"),
    ):
        assert stack.companion("ping", *words).text.strip() == f"error: ping: {said}"


def test_a_speed_is_that_between_two_hosts(stack: Stack) -> None:
    """Of the stack and the mesh that are asked for; what a host says that is no answer is its fault."""
    unknown = stack.companion("speed", "h1", "phone", "--stack", "test", "--interface", "testwg", "--most", "10")
    assert unknown.text.strip() == "error: speed: phone is no host of any mesh; give two of h1, h2, h3"
    for host in ("h1", "h2"):
        stack.hosts[host].says["stream"] = lambda _: [b"sent all of it\n"]
    try:
        told = stack.companion("speed", "h1", "h2", "--interface", "testwg", "--tunnel-only")
    finally:
        for host in ("h1", "h2"):
            stack.hosts[host].says.clear()
    assert told.code == 1
    assert "! h1 → h2, tunnel: h1: answers speed with what cannot be read ('sent all of it')" in told.output
    assert "direct" not in told.output


def test_the_file_of_a_peer_is_that_of_the_mesh_that_is_asked_for(stack: Stack) -> None:
    """Without it, the meshes that it can be are named."""
    unclear = stack.companion("peer", "phone")
    assert unclear.code == 1
    assert "--interface" in unclear.text
    ports = {
        name: stack.companion("peer", "phone", "test", "--interface", name).output.count(port)
        for name, port in {"testwg": ":51824", "backwg": ":51825"}.items()
    }
    assert ports == {"testwg": 3, "backwg": 3}


def test_metrics_are_printed_written_and_served(stack: Stack, tmp_path: Path) -> None:
    """The times are those of the state."""
    printed = stack.companion("metrics", "--interface", "testwg")
    assert printed.code == 0, printed.text
    families = {family.name: family for family in text_string_to_metric_families(printed.output)}  # type: ignore[no-untyped-call]
    assert {sample.labels["interface"] for family in families.values() for sample in family.samples} == {"testwg"}
    assert [sample.value for sample in families["mesh_pair_up"].samples] == [1.0] * 6
    assert len(families["wireguard_sent_bytes"].samples) == 9
    (changed,) = families["mesh_last_change_timestamp_seconds"].samples
    assert 0 < time.time() - changed.value < 1000
    expiries = families["mesh_key_expiry_timestamp_seconds"].samples
    assert [sample.labels["host"] for sample in expiries] == ["", "h1", "h2", "h3"]
    assert all(sample.value == pytest.approx(changed.value + 180 * 86400, abs=1000) for sample in expiries)
    file = tmp_path / "mesh.prom"
    assert stack.companion("metrics", "test", "--no-pairs", "--output", str(file)).output == ""
    assert 'mesh_host_up{host="h3",interface="backwg"} 1.0' in file.read_text()
    assert "mesh_pair_up{" not in file.read_text()
    both = stack.companion("metrics", "--output", str(file), "--listen", "127.0.0.1:0")
    assert "--output and --listen exclude each other; give one" in both.text
    words = [sys.executable, "-m", "mesh", "metrics", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(words, cwd=stack.folder, env=stack.environment, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        place = server.stderr.readline().split()[1]
        with urllib.request.urlopen(place, timeout=60) as answer:  # noqa: S310
            assert b"mesh_pair_rtt_seconds{" in answer.read()
        server.terminate()


def test_the_page_is_written_printed_and_shared(stack: Stack) -> None:
    """As its page tells it; a dead host is on it, and the exit code is that of status."""
    well = stack.companion("page", "test")
    assert (well.code, well.text.strip()) == (0, "test.html: written; open it in a browser")
    html = (stack.folder / "test.html").read_text()
    assert (stack.folder / "test.html").stat().st_mode & 0o777 == 0o600
    assert html.count('<table class="matrix') == 2
    assert html.count("<td class=u>") == 2 * 6
    assert "<i>edge</i>" in html
    assert "last change" in html
    assert "0 d old, 179 d left" in html
    keys = stack.public_keys()
    assert all(key in html for key in keys.values())
    assert not [secret for secret in stack.hosts.secrets if secret in html]
    stack.hosts.become("h3", "dead")
    try:
        shared = stack.companion("page", "--interface", "testwg", "--redact", "--output", "shared.html")
        printed = stack.companion("page", "--interface", "testwg", "--output", "-")
    finally:
        stack.hosts.become("h3", "well")
    assert shared.code == printed.code == 1
    assert printed.output.count("<td class=s>") == 0
    assert "W01" in printed.output
    assert "cannot be reached" in printed.output
    text = (stack.folder / "shared.html").read_text()
    assert "W01" in text
    for name in (">h1<", ">h3<", "phone", "testwg", "198.18.0.", "edge", *keys.values()):
        assert name in printed.output
        assert name not in text
    both = stack.companion("page", "--serve", "--output", "x.html")
    assert "--output and --serve exclude each other; give one" in both.text


def test_the_page_is_served_and_renewed(stack: Stack, tmp_path: Path) -> None:
    """While somebody looks, by the SSH key of that moment; it ends by Ctrl-C."""
    words = [sys.executable, "-m", "mesh", "page", "--serve", "--port", "0", "--every", "5"]
    mine = make_key(tmp_path / "mine")
    variables = {**stack.environment, "MESH_SSH_KEY_FILE": str(mine)}
    with subprocess.Popen(words, cwd=stack.folder, env=variables, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        place = server.stderr.readline().split()[1]

        def made() -> str:
            with urllib.request.urlopen(f"{place}made", timeout=60) as answer:  # noqa: S310
                return str(answer.read().decode())

        with urllib.request.urlopen(place, timeout=60) as answer:  # noqa: S310
            assert b"refuses your SSH key" in answer.read()
        shutil.copy(stack.environment["MESH_SSH_KEY_FILE"], mine)
        mine.with_suffix(".pub").unlink()
        first, deadline = made(), time.monotonic() + 60
        while made() == first:
            assert time.monotonic() < deadline
            time.sleep(1)
        with urllib.request.urlopen(place, timeout=60) as answer:  # noqa: S310
            page = answer.read()
        assert b"<td class=u>" in page
        assert b"refuses your SSH key" not in page
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0
        assert server.stderr.read() == ""


def test_the_history_tells_what_a_run_changed(stack: Stack) -> None:
    """Without the passphrase of the stack."""
    passphrase = stack.environment.pop("PULUMI_CONFIG_PASSPHRASE")
    told = stack.companion("history", "test", "--limit", "1")
    stack.environment["PULUMI_CONFIG_PASSPHRASE"] = passphrase
    assert told.code == 0, told.text
    head, *lines = told.output.splitlines()
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC  up  succeeded  the first run", head)
    assert "    testwg: + a new mesh" in lines
    assert any(line.startswith("    backwg: + phone joins, not managed here: fd00:") for line in lines)
    for words in (["init", "-q"], ["add", "Pulumi.yaml"], ["commit", "-q", "-m", "A project"]):
        who = ["-c", "user.name=Ada Lovelace", "-c", "user.email=ada@example.org"]
        subprocess.run(["git", *who, *words], cwd=stack.folder, check=True, capture_output=True)
    stack.must("refresh", "--yes")
    last = stack.companion("history", "--limit", "1").output
    assert re.search(r"UTC  refresh  succeeded  Ada Lovelace, commit [0-9a-f]{8} and edited since  A project\n", last)
    assert last.endswith("    nothing changed\n")
    latest, first = json.loads(stack.companion("history", "--json", "--limit", "2").output)["runs"]
    assert (latest["kind"], latest["author"], latest["edited"]) == ("refresh", "Ada Lovelace", True)
    assert latest["changes"] == ["nothing changed"]
    assert (first["kind"], first["message"], first["commit"]) == ("up", "the first run", "")
    assert latest["began"] > first["began"]
    shutil.rmtree(stack.folder / ".git")


def test_the_history_is_more_than_the_engine_shows_at_once(make_stack: Maker) -> None:
    """The oldest run that is shown is compared with the one before it, and the first one with nothing."""
    stack = make_stack(1)
    assert stack.companion("history").output == "no run of this stack yet\n"
    assert json.loads(stack.companion("history", "--json").output)["runs"] == []
    stack.write({"testwg": {"hosts": ["h1"]}})
    stack.up("--message", "the first run")
    kept = stack.state / ".pulumi/history/mesh/test"
    (record,) = (path for path in kept.glob("*.history.json"))
    run = json.loads(record.read_text())
    # As the same up again, a minute later each time; copies take no time.
    for number in range(1, 105):
        stamp = int(record.name.split("-")[-1].split(".")[0]) + number * 60_000_000_000
        again = {**run, "startTime": run["startTime"] + number * 60, "message": "", "resourceChanges": {"same": 7}}
        (kept / f"test-{stamp}.history.json").write_text(json.dumps(again))
    lines = stack.companion("history", "--limit", "10").output.splitlines()
    assert len([line for line in lines if "  up  succeeded" in line]) == 10
    assert {line for line in lines if line.startswith("    ")} == {"    nothing changed"}
    runs = json.loads(stack.companion("history", "--json", "--limit", "1000").output)["runs"]
    assert len(runs) == 105
    assert runs[-1]["message"] == "the first run"
    assert runs[-1]["changes"][0] == "testwg: + a new mesh"
    assert {tuple(each["changes"]) for each in runs[:-1]} == {("nothing changed",)}


def test_the_plan_is_what_a_run_would_change(stack: Stack) -> None:
    """Without the passphrase of the stack; nothing is asked of hosts, and nothing changes by asking."""
    passphrase = stack.environment.pop("PULUMI_CONFIG_PASSPHRASE")
    try:
        same = stack.companion("plan", "--exit-code")
        write(stack, ["h1", "h2"])
        text = stack.companion("plan", "test", "--interface", "testwg")
        markdown = stack.companion("plan", "--format", "markdown", "--exit-code")
        unknown = stack.companion("plan", "--interface", "nowg")
    finally:
        write(stack, HOSTS)
        stack.environment["PULUMI_CONFIG_PASSPHRASE"] = passphrase
    assert (same.code, text.code, markdown.code, unknown.code) == (0, 0, 2, 1), same.text + text.text + markdown.text
    expires = re.search(r"  keys expire: \d{4}-\d\d-\d\d: preshared key, h1, h2, h3, phone\n", same.output)
    assert same.output.startswith("backwg: no change\n")
    assert expires
    assert text.output.startswith("testwg: changes 3 of 3 hosts and 6 of 6 pairs\n  - h3 leaves: ")
    assert "  h1, h2, phone: lose h3\n" in text.output
    assert "  expected loss: everything between h3 and the others, for good\n" in text.output
    assert markdown.output.startswith("## Mesh plan of `test`\n\n### `backwg`: changes 3 of 3 hosts")
    assert unknown.text.strip() == "error: plan: 'nowg' is no mesh; give one of backwg, testwg"


def test_the_step_of_the_workflow_writes_the_comment(stack: Stack) -> None:
    """As the page of plans has it, but for the stack's name: with the backend alone, and no passphrase."""
    workflow = YAML(typ="safe").load(_ROOT / "docs/pull-request/mesh-plan.yml")
    [job] = workflow["jobs"].values()
    [step] = [step["run"] for step in job["steps"] if "mesh plan" in step.get("run", "")]
    given = {"PATH", "HOME", "PULUMI_HOME", *job["env"]}
    environment = {name: value for name, value in stack.environment.items() if name in given}
    command = step.replace("production", "test")
    subprocess.run(["bash", "-ec", command], cwd=stack.folder, env=environment, check=True)
    comment = (stack.folder / "plan.md").read_text()
    assert comment.startswith("## Mesh plan of `test`\n")
    assert "### `testwg`: no change" in comment


def test_a_host_is_forgotten_on_the_mesh_that_is_asked_for(stack: Stack) -> None:
    """On the other one it is tried on, and wiped when it is back."""
    stack.hosts.become("h3", "dead")
    write(stack, HOSTS[:2])
    planned = stack.companion("plan").output
    said = stack.up().text
    lines = [line.strip() for line in planned.splitlines() if line.startswith("  - ")]
    assert len(lines) == 2
    assert all(line in said for line in lines)
    assert stack.companion("forget", "h3", "--stack", "test", "--interface", "backwg").code == 0
    stack.up()
    assert stack.plan("testwg")["notWiped"] == ["h3"]
    assert stack.plan("backwg")["notWiped"] == []
    stack.hosts.become("h3", "well")
    stack.up()
    assert set(stack.hosts["h3"].interfaces) == {"backwg"}
    stack.hosts["h3"].interfaces.clear()


def test_the_engine_command_says_where_it_is(tmp_path: Path) -> None:
    """The makefile puts that folder on PATH."""
    record = tmp_path / "engine"
    done = subprocess.run(
        [sys.executable, "-m", "mesh", "engine", "--record", str(record)], capture_output=True, text=True, check=True
    )
    assert shutil.which("pulumi", path=record.read_text().strip())
    assert "engine: pulumi 3." in done.stdout
