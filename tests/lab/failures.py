"""What the tests of failures share: one mesh that each of them finds running, and what must hold after each."""

import json
from typing import Any

from tests.lab.hosts import Host
from tests.lab.stack import Stack, UnexpectedEndError, plug_in

__all__ = ["MEMBERS", "PORT", "ask_for_change", "check_consistent", "kernel", "kernels", "mend", "mesh_of", "rotated"]

PORT = 51825
# One that fails, one more, and one behind NAT: each further one costs every run of every test.
MEMBERS = ["bernard", "carol", "edgeworth"]


def mesh_of(stack: Stack, **changes: Any) -> dict[str, Any]:
    """Return the mesh of three hosts with its present rotation of keys, and `changes`."""
    rotation = stack.interfaces["testwg"]["rotation"] if stack.interfaces else 1
    return {"testwg": {"hosts": MEMBERS, "port": PORT, "deadline": 10, "rotation": rotation, **changes}}


def rotated(stack: Stack, **changes: Any) -> dict[str, Any]:
    """Return the mesh with the next rotation of all keys."""
    return mesh_of(stack, rotation=stack.interfaces["testwg"]["rotation"] + 1, **changes)


def ask_for_change(stack: Stack) -> None:
    """Let the mesh run that the stack file asks for, whatever the test before did, and ask for new keys and a port."""
    mesh = stack.interfaces["testwg"]
    if not stack.is_sound("testwg"):
        stack.up("--refresh")
    stack.write({"testwg": {**mesh, "port": 2 * PORT + 1 - mesh["port"], "rotation": mesh["rotation"] + 1}})


def kernels(stack: Stack, without: str = "") -> dict[str, str]:
    """Return what every member runs, boots and has pending, as text."""
    members = stack.interfaces["testwg"]["hosts"]
    return {name: kernel(stack.lab.hosts[name]) for name in members if name != without}


def kernel(host: Host) -> str:
    """Return what a host runs, boots and has pending, as text."""
    # Sorted, since wireguard-go lists peers in any order; a peer's learned endpoint is not ours to keep.
    return host.run(
        "wg showconf testwg | sed '/^Endpoint/d' | sort; ip -6 route show dev testwg | sort; "
        "cat /etc/wireguard/testwg.conf /sys/class/net/testwg/mtu; "
        "ls /var/lib/mesh/testwg | grep -E 'deadline|next|previous|watchdog|incoming'",
        check=False,
    )


def check_consistent(stack: Stack) -> None:
    """Check that no key that a host runs is missing from the state, and that the keys of the state run."""
    exported = json.dumps(stack.state())
    running = stack.running_keys("testwg")
    assert [name for name, key in running.items() if key not in exported] == []
    public = stack.running_public_keys("testwg")
    assert {f"testwg/{name}/key": key for name, key in public.items()} == stack.public_keys()
    assert stack.silent("testwg", 10) == []


def mend(stack: Stack) -> None:
    """Let the mesh run, whatever the test before did to it; that costs no run where it is as it should be."""
    if stack.interfaces == mesh_of(stack) and stack.is_sound("testwg"):
        return
    for host in stack.lab.hosts.values():
        if not host.first_process():
            plug_in(host)
    stack.write(mesh_of(stack))
    try:
        stack.up("--refresh")
    except UnexpectedEndError:
        stack.heal()
