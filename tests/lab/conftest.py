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


# What repairs comes first. Units that some target still wants would stay as they were read, so that costs a reload.
_CLEAN = """
systemctl stop 'mesh-*@*' 'mesh-watchdog-*'
for interface in $(wg show interfaces); do ip link del $interface; done
systemctl stop 'wg-quick@*'
systemctl reset-failed
rm -rf /etc/wireguard/*.conf* /etc/systemd/system/*.wants/mesh-*@* /etc/systemd/system/*.wants/wg-quick@* \\
    /etc/systemd/system/mesh-*@.* /run/systemd/system/mesh-* /run/systemd/network/*mesh* /var/lib/mesh /run/mesh
sed -i '/^# mesh .*: begin/,/^# mesh .*: end/d' /etc/hosts
for v in -4 -6; do for n in 5182 5183 5184 5185 5186; do while ip $v rule del pref $n; do :; done; done; done
nft list tables | grep mesh_ | while read -r table; do nft delete $table; done
echo 0 >/proc/sys/net/ipv4/ip_forward
echo 0 >/proc/sys/net/ipv6/conf/all/forwarding
[ ! "$(systemctl list-units -a --plain --no-legend 'mesh-*@*' 'wg-quick@*')" ] || systemctl daemon-reload
"""


def clean(host: Host) -> None:
    """Take from a host all that a mesh left, without the program under test."""
    host.run(_CLEAN, check=False)


def leave_nothing(lab: Lab) -> None:
    """See to it that no host has anything of a mesh, for less than a destroy, which is for the tests of leaving."""
    for host in lab.hosts.values():
        if not host.first_process():
            plug_in(host)
        if (host.files / "var/lib/mesh").exists() or any((host.files / "etc/wireguard").glob("*.conf")):
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
