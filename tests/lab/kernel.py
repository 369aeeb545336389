"""Changes of a mesh of three hosts, two of them with WireGuard in the kernel or none, and what each change loses."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.lab.hosts import HostSpec
from tests.lab.loss import Loss, pinging
from tests.lab.stack import Stack

__all__ = ["CHANGES", "kernel_hosts", "losses", "userspace_hosts"]

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


def losses(stack: Stack, act: Callable[[], object]) -> Loss:
    """Return what pings in all directions of `testwg`, 20 a second, lost meanwhile; the gap is the longest of any."""
    each: dict[tuple[str, str], Loss] = {}
    with pinging(stack, "testwg", list(stack.lab.hosts), each):
        act()
    found = each.values()
    return Loss(sum(loss.sent for loss in found), sum(loss.lost for loss in found), max(loss.gap for loss in found))
