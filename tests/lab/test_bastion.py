"""A host that only a bastion reaches is a host like any other."""

import time
from collections.abc import Iterator

import pytest

from tests.lab.hosts import Host
from tests.lab.lab import Lab
from tests.lab.snapshot import difference, snapshot
from tests.lab.stack import Stack

_HOSTS = ["bernard", "carol", "dora"]
_MESH = {"testwg": {"hosts": _HOSTS, "port": 51825}}
_OPERATOR = "10.99.255.254"


@pytest.fixture
def stack(engine_stack: Stack) -> Stack:
    """Return a stack of the engine: its command plugin goes through the bastion beside the program."""
    return engine_stack


@pytest.fixture
def hidden(lab: Lab) -> Iterator[Host]:
    """Return carol, who has no way to the operator but through others."""
    carol = lab.hosts["carol"]
    carol.run(f"ip route add blackhole {_OPERATOR}/32")
    yield carol
    carol.run(f"ip route del blackhole {_OPERATOR}/32")


def test_a_host_behind_a_bastion_is_in_the_mesh(stack: Stack, lab: Lab, hidden: Host) -> None:
    """It is enrolled, switched, proven and wiped through the bastion."""
    before = snapshot(hidden)
    hosts = {name: stack.describe(lab.hosts[name]) for name in _HOSTS}
    stack.write(_MESH, hosts)
    assert "carol" in stack.fail()
    bernard = lab.hosts["bernard"]
    bastion = {"address": bernard.ssh_address, "hostKey": bernard.host_key}
    hosts["carol"] = stack.describe(hidden, bastion=bastion)
    stack.write(_MESH, hosts)
    stack.up()
    assert stack.silent("testwg") == []
    stack.destroy()
    assert difference(before, snapshot(hidden)) == ""


def test_a_silent_host_behind_a_bastion_stops_the_run_in_seconds(stack: Stack, lab: Lab, hidden: Host) -> None:
    """A remote command to it would hang without limit, so it is looked at from the bastion first."""
    hosts = {name: stack.describe(lab.hosts[name]) for name in _HOSTS}
    bernard = lab.hosts["bernard"]
    hosts["carol"] = stack.describe(hidden, bastion={"address": bernard.ssh_address, "hostKey": bernard.host_key})
    stack.write(_MESH, hosts)
    sshd = hidden.run("systemctl show -P MainPID ssh").strip()
    hidden.run(f"kill -STOP {sshd}")
    try:
        began = time.monotonic()
        output = stack.fail()
        assert time.monotonic() - began < 30
        assert "host 'carol': does not greet as SSH" in output
        assert stack.running_keys("testwg") == {}
    finally:
        hidden.run(f"kill -CONT {sshd}")


def test_a_bastion_with_another_host_key_stops_the_run_and_is_named(stack: Stack, lab: Lab, hidden: Host) -> None:
    """Somebody may be in between, so nothing is sent through it."""
    bernard, dora = lab.hosts["bernard"], lab.hosts["dora"]
    hosts = {name: stack.describe(lab.hosts[name]) for name in _HOSTS}
    hosts["carol"] = stack.describe(hidden, bastion={"address": bernard.ssh_address, "hostKey": dora.host_key})
    stack.write(_MESH, hosts)
    output = stack.fail()
    assert "carol" in output
    assert "host key" in output
    assert stack.running_keys("testwg") == {}
