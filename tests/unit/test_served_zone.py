"""The zone of `python -m mesh export zone`, served by a name server and asked for by a resolver's own tool."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from mesh.cli.app import app
from tests.strategies import HOST_KEY

pytestmark = pytest.mark.skipif(
    shutil.which("named") is None or shutil.which("dig") is None,
    reason="needs the packages bind9 and bind9-dnsutils",
)

# By name, AAAA and A; one is a name in which DNS knows a number, and one a name below another.
ADDRESSES = {
    "bernard": ("fd12:1::1", "10.20.0.1"),
    "1e3": ("fd12:2::1", "10.20.0.2"),
    "Gateway.berlin": ("fd12:3::1", "10.20.0.3"),
    "phone": ("fd12:4::1", "10.20.0.4"),
}
PEERS = ("phone",)


def write(path: Path, names: list[str]) -> str:
    """Write a stack file of one mesh of these hosts and peers, and return its path."""
    given = {name: {"address": f"{ADDRESSES[name][0]}/64", "ipv4": ADDRESSES[name][1]} for name in names}
    hosts = [name for name in names if name not in PEERS]
    mesh: dict[str, Any] = {
        "hosts": hosts,
        "ipv4": "10.20.0.0/24",
        "members": {name: given[name] for name in hosts},
        "peers": {name: given[name] for name in names if name in PEERS},
    }
    ways = {name: {"ssh": {"address": f"{name}.example.net", "hostKey": HOST_KEY}} for name in hosts}
    with path.open("w") as file:
        YAML().dump({"config": {"mesh:hosts": ways, "mesh:interfaces": {"testwg": mesh}}}, file)
    return str(path)


def export(stack: str, file: Path, *options: str) -> None:
    """Write the zone as its page does."""
    done = CliRunner().invoke(app, ["export", "zone", stack, "--interface", "testwg", *options])
    assert done.exit_code == 0, done.output
    file.write_text(done.stdout)


def ask(port: int, *words: str) -> list[str]:
    """Return the lines of an answer, sorted."""
    command = ["dig", "@127.0.0.1", "-p", str(port), "+time=5", "+tries=3", *words]
    return sorted(subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines())


def wait_for(answer: Callable[[], object], told: Callable[[], str]) -> None:
    """Wait until there is an answer; fail with what is `told` if there is none in time."""
    until = time.monotonic() + 20
    while not answer():
        assert time.monotonic() < until, told()
        time.sleep(0.1)


@contextmanager
def served(origin: str, file: Path) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """Serve a zone on loopback; yield the port, and the server, which reads the file again at SIGHUP."""
    folder = file.parent
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    (folder / "named.conf").write_text(
        f'options {{ directory "{folder}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; '
        f'pid-file none; session-keyfile "{folder}/session.key"; recursion no; notify no; dnssec-validation no; '
        f"allow-transfer {{ 127.0.0.1; }}; }};\ncontrols {{ }};\n"
        f'zone "{origin}" {{ type primary; file "{file}"; }};\n'
    )
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(["named", "-g", "-c", str(folder / "named.conf")], stderr=log)
    try:
        # Why there is no answer yet, dig says on a line of its own.
        wait_for(lambda: any(line[0] != ";" for line in ask(port, "+short", origin, "SOA")), (folder / "log").read_text)
        yield port, server
    finally:
        server.terminate()
        server.wait()


@pytest.mark.parametrize(
    ("origin", "name_server"),
    [("testwg", ""), ("mesh.example.org", "ns1.example.net"), ("mesh.example.org", "bernard.mesh.example.org")],
)
def test_every_participant_is_found_at_its_addresses_and_nobody_else(
    tmp_path: Path, origin: str, name_server: str
) -> None:
    """By any spelling of its name; the zone has no further record, and no name of an address."""
    file = tmp_path / "zone"
    options = [*(["--origin", origin] if name_server else []), *(["--name-server", name_server] if name_server else [])]
    export(write(tmp_path / "Pulumi.test.yaml", list(ADDRESSES)), file, *options)
    with served(origin, file) as (port, _):
        for name, addresses in ADDRESSES.items():
            for spelled in (name, name.upper()):
                for kind, address in zip(("AAAA", "A"), addresses, strict=True):
                    assert ask(port, "+short", f"{spelled}.{origin}", kind) == [address]
        assert any("status: NXDOMAIN" in line for line in ask(port, f"nobody.{origin}", "AAAA"))
        whole = [line.split() for line in ask(port, "+noall", "+answer", origin, "AXFR")]
    records = {(owner, kind, *data) for owner, _, _, kind, *data in whole if kind != "SOA"}
    assert records == {
        (f"{origin}.", "NS", f"{name_server or 'localhost'}."),
        *((f"{name}.{origin}.", "AAAA", ipv6) for name, (ipv6, _) in ADDRESSES.items()),
        *((f"{name}.{origin}.", "A", ipv4) for name, (_, ipv4) in ADDRESSES.items()),
    }


def test_a_later_export_is_the_newer_one_to_a_server_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes what has joined, and drops what has left."""
    file = tmp_path / "zone"
    began = time.time()
    export(write(tmp_path / "Pulumi.test.yaml", ["bernard", "1e3"]), file)
    with served("testwg", file) as (port, server):
        number = int(ask(port, "+short", "testwg", "SOA")[0].split()[2])
        assert began - 1 <= number <= time.time()
        monkeypatch.setattr("time.time", lambda: began + 5)
        export(write(tmp_path / "Pulumi.test.yaml", ["bernard", "phone"]), file)
        server.send_signal(signal.SIGHUP)
        wait_for(lambda: ask(port, "+short", "phone.testwg", "AAAA"), (tmp_path / "log").read_text)
        assert int(ask(port, "+short", "testwg", "SOA")[0].split()[2]) > number
        assert ask(port, "+short", "1e3.testwg", "AAAA") == []
