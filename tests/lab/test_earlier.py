"""Hosts that an earlier version of the program set up go on with today's."""

import shutil
from pathlib import Path

import pytest

from tests import earlier
from tests.lab.lab import Lab
from tests.lab.snapshot import difference, snapshot
from tests.lab.stack import Stack, wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stack(engine_stack: Stack) -> Stack:
    """Return a stack of the engine, which runs another checkout."""
    return engine_stack


@pytest.mark.parametrize("version", earlier.VERSIONS)
def test_hosts_of_an_earlier_version_go_on_and_are_left_without_a_trace(stack: Stack, lab: Lab, version: str) -> None:
    """Nothing to do after the new checkout, reboot included; a change reaches them, and so does the end."""
    before = {name: snapshot(host) for name, host in lab.hosts.items()}
    earlier.unpack(version, stack.project)
    mesh = {"hosts": list(lab.hosts), "port": 51825, "names": True}
    stack.write({"testwg": mesh})
    stack.up()
    shutil.rmtree(stack.project / "mesh")
    for name in ("mesh", "__main__.py", "Pulumi.yaml"):
        (stack.project / name).unlink(missing_ok=True)
        (stack.project / name).symlink_to(ROOT / name)
    stack.run("preview", "--refresh", "--expect-no-changes")
    lab.hosts["carol"].reboot()
    # The host behind NAT learns of a reboot by its next handshake, two minutes later at most.
    wait_until(lambda: not stack.silent("testwg"), 150)
    stack.write({"testwg": {**mesh, "rotation": 2}})
    stack.up()
    lab.hosts["carol"].reboot()
    # The host behind NAT learns of a reboot by its next handshake, two minutes later at most.
    wait_until(lambda: not stack.silent("testwg"), 150)
    stack.run("preview", "--refresh", "--expect-no-changes")
    stack.destroy()
    assert {name: text for name, host in lab.hosts.items() if (text := difference(before[name], snapshot(host)))} == {}
