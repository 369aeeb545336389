"""What the tests of failures share: one mesh that each of them finds running, and what must hold after each."""

import json
from typing import Any

from tests.lab.stack import Stack, UnexpectedEndError, plug_in, wait_until

__all__ = ["PORT", "check_consistent", "kernels", "mend", "mesh_of", "rotated", "wait_until_settled"]

PORT = 51825


def mesh_of(stack: Stack, **changes: Any) -> dict[str, Any]:
    """Return the mesh of all hosts with its present rotation of keys, and `changes`."""
    rotation = stack.interfaces["testwg"]["rotation"] if stack.interfaces else 1
    return {"testwg": {"hosts": list(stack.lab.hosts), "port": PORT, "deadline": 10, "rotation": rotation, **changes}}


def rotated(stack: Stack, **changes: Any) -> dict[str, Any]:
    """Return the mesh with the next rotation of all keys."""
    return mesh_of(stack, rotation=stack.interfaces["testwg"]["rotation"] + 1, **changes)


def kernels(stack: Stack, without: str = "") -> dict[str, str]:
    """Return what every host runs, boots and has pending, as text."""
    # Sorted, since wireguard-go lists peers in any order; a peer's learned endpoint is not ours to keep.
    command = (
        "wg showconf testwg | sed '/^Endpoint/d' | sort; ip -6 route show dev testwg | sort; "
        "cat /etc/wireguard/testwg.conf /sys/class/net/testwg/mtu; "
        "ls /var/lib/mesh/testwg | grep -E 'deadline|next|previous|watchdog|incoming'"
    )
    return {name: host.run(command, check=False) for name, host in stack.lab.hosts.items() if name != without}


def check_consistent(stack: Stack) -> None:
    """Check that no key that a host runs is missing from the state, and that the keys of the state run."""
    exported = json.dumps(stack.state())
    running = stack.running_keys("testwg")
    assert [name for name, key in running.items() if key not in exported] == []
    public = stack.running_public_keys("testwg")
    assert {f"testwg/{name}/key": key for name, key in public.items()} == stack.public_keys()
    assert stack.silent("testwg", 10) == []


def mend(stack: Stack) -> None:
    """Let the mesh of all hosts run, whatever the test before did to it."""
    for host in stack.lab.hosts.values():
        if not host.first_process():
            plug_in(host)
    stack.write(mesh_of(stack))
    try:
        stack.up("--refresh")
    except UnexpectedEndError:
        stack.heal()


def wait_until_settled(stack: Stack) -> None:
    """Wait until no host has a deadline running any more."""
    wait_until(
        lambda: (
            not any(
                host.run("cat /var/lib/mesh/testwg/deadline 2>/dev/null", check=False)
                for host in stack.lab.hosts.values()
            )
        ),
        90,
    )
