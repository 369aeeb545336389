"""Options of `python -m mesh` that choose among stacks, meshes and hosts, on the real engine."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.conftest import Maker
from tests.engine.stack import Stack

HOSTS = ["h1", "h2", "h3"]


@pytest.fixture(scope="module")
def stack(make_stack: Maker) -> Stack:
    """Return a stack of two meshes, with a phone of the same name in each."""
    stack = make_stack(3)
    write(stack, HOSTS)
    stack.up()
    return stack


def write(stack: Stack, hosts: list[str]) -> None:
    """Have these hosts in both meshes."""
    mesh = {"hosts": hosts, "deadline": 10, "unreachable": "skip", "peers": {"phone": {}}}
    stack.write({"testwg": mesh, "backwg": {**mesh, "port": 51825}})


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
    assert unknown.text.strip() == "error: status: nowg was never rolled out in this stack; run pulumi up first"


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


def test_a_host_is_forgotten_on_the_mesh_that_is_asked_for(stack: Stack) -> None:
    """On the other one it is tried on, and wiped when it is back."""
    stack.hosts.become("h3", "dead")
    write(stack, HOSTS[:2])
    stack.up()
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
