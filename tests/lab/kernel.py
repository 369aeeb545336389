"""Changes of a mesh of three hosts, two of them with WireGuard in the kernel or none, and what each change loses."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.lab.hosts import HostSpec
from tests.lab.loss import Loss, pinging
from tests.lab.snapshot import snapshot
from tests.lab.stack import Stack, wait_until

__all__ = ["ALARM", "CHANGES", "bring_up", "kernel_hosts", "losses", "see_nothing_to_do", "userspace_hosts"]

ALARM = ("--refresh", "--expect-no-changes")

# Each goes on from the one before.
CHANGES: dict[str, dict[str, Any]] = {
    "all keys": {"rotation": 2},
    "port and all keys": {"port": 51827, "rotation": 3},
    "one key": {"members": {"bernard": {"rotation": 4}}},
    "the key behind NAT": {"members": {"bernard": {"rotation": 4}, "edgeworth": {"rotation": 4}}},
    "port": {"port": 51828},
    "MTU, keepalive, keys of pairs and IPv4": {
        "mtu": 1380,
        "persistentKeepalive": 20,
        "presharedKeys": "pairwise",
        "ipv4": "10.20.0.0/24",
        "members": {
            "bernard": {"rotation": 4, "ipv4": "10.20.0.1"},
            "edgeworth": {"rotation": 4, "ipv4": "10.20.0.2"},
            "carol": {"ipv4": "10.20.0.3"},
        },
    },
}


def userspace_hosts() -> list[HostSpec]:
    """Return three containers, edgeworth behind NAT."""
    return [HostSpec("bernard", 1), HostSpec("edgeworth", 2, nat=True), HostSpec("carol", 3)]


def kernel_hosts() -> list[HostSpec]:
    """Return the same hosts, of which bernard and edgeworth are virtual machines."""
    *machines, carol = userspace_hosts()
    return [*(replace(spec, root="trixie-kernel", kind="machine") for spec in machines), carol]


def bring_up(stack: Stack) -> None:
    """Bring up a mesh of all hosts, as `scan` and `up` make it; what they are like without it is kept in `before`."""
    stack.before = {name: snapshot(host) for name, host in stack.lab.hosts.items()}
    stack.write({"testwg": {"hosts": list(stack.lab.hosts), "port": 51825, "deadline": 90}})
    stack.companion("scan", str(stack.file), "--yes")
    stack.up()


def see_nothing_to_do(stack: Stack) -> None:
    """See that a preview with a refresh finds every host as planned, where an emulated one answers SSH in time."""
    wait_until(lambda: stack.start("preview", *ALARM).end().code == 0, 120)


def losses(stack: Stack, act: Callable[[], object]) -> Loss:
    """Return what pings in all directions of `testwg`, 20 a second, lost meanwhile; the gap is the longest of any."""
    each: dict[tuple[str, str], Loss] = {}
    with pinging(stack, "testwg", list(stack.lab.hosts), each):
        act()
    found = each.values()
    return Loss(sum(loss.sent for loss in found), sum(loss.lost for loss in found), max(loss.gap for loss in found))
