"""The labs and stacks that the tests share: hosts boot once, and each test has a stack of its own and leaves none."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.hosts import Host
from tests.lab.lab import Lab, LabUnavailableError, default_hosts, require_lab
from tests.lab.rehearsed import RehearsedStack
from tests.lab.stack import Stack, plug_in
from tests.lab.typed import TypedStack

_INTERFACES = ("testwg", "backwg")
# Two runs of the tests on one machine need two prefixes, and each process of one run has a lab of its own.
PREFIX = os.environ.get("MESH_LAB_PREFIX", "lt") + os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")


def skip_without(require: Callable[..., None], *what: str) -> None:
    """Skip the test where this machine cannot run what it needs."""
    try:
        require(*what)
    except LabUnavailableError as unavailable:
        pytest.skip(f"lab: {unavailable}")


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Return four booted hosts, edgeworth behind NAT, that every test finds as if new."""
    skip_without(require_lab)
    with Lab(default_hosts(4), prefix=PREFIX) as booted:
        yield booted


def clean(host: Host) -> None:
    """Take from a host whatever a failed test left, without the program under test."""
    for interface in _INTERFACES:
        host.run(
            f"systemctl disable -q --now wg-quick@{interface} mesh-boot@{interface} mesh-endpoints@{interface}.timer "
            f"mesh-keep@{interface}.timer; ip link del {interface}; "
            f"rm -f /etc/wireguard/{interface}.conf* /etc/systemd/system/*.target.wants/*@{interface}.*",
            check=False,
        )
    host.run(
        "for v in -4 -6; do for n in 5182 5183 5184 5185 5186; do "
        "while ip $v rule del pref $n; do :; done; done; done; "
        "for t in mesh_forward mesh_nat; do nft delete table ip $t; nft delete table ip6 $t; done; "
        "echo 0 >/proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv6/conf/all/forwarding",
        check=False,
    )
    host.run("rm -rf /var/lib/mesh /run/mesh /run/systemd/system/mesh-* /etc/systemd/system/mesh-*@.*", check=False)
    host.run("systemctl daemon-reload", check=False)


def leave_nothing(lab: Lab) -> None:
    """See to it that no host of a lab has anything of a mesh, whatever a failed test left."""
    for host in lab.hosts.values():
        if not host.first_process():
            plug_in(host)
        if host.run("ls -d /var/lib/mesh /etc/wireguard/*.conf 2>/dev/null", check=False):
            clean(host)


@pytest.fixture
def stack(lab: Lab, tmp_path: Path) -> Iterator[Stack]:
    """Return a stack without a stack file on the shared lab, which needs no engine; afterwards no host has a mesh."""
    yield RehearsedStack(lab, tmp_path / "stack")
    leave_nothing(lab)


@pytest.fixture
def engine_stack(engine: str, lab: Lab, tmp_path: Path) -> Iterator[Stack]:
    """Return such a stack of the real engine: for what is about targets, locks, secrets in the state and kills."""
    assert engine
    yield Stack(lab, tmp_path / "engine-stack")
    leave_nothing(lab)


@pytest.fixture
def office(engine: str, lab: Lab, tmp_path: Path) -> Iterator[TypedStack]:
    """Return a checkout with no stack yet, in which lines of the pages are typed; of the real engine too."""
    assert engine
    yield TypedStack(lab, tmp_path / "office")
    leave_nothing(lab)
