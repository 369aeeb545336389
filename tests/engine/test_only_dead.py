"""`mesh up --only` while a host does not answer: it is left out and comes back in runs that are about other hosts."""

from typing import Any

import pytest

from tests.engine.conftest import Maker
from tests.engine.stack import Outcome, Stack

HOSTS = ["h1", "h2", "h3", "h4"]
YES = ("--", "--yes", "--skip-preview", "--color", "never")
# How the run is told that it may go on: options of `mesh up`, variables, settings of the stack file.
WAYS: dict[str, tuple[tuple[str, ...], dict[str, str], dict[str, Any]]] = {
    "option": (("--skip-unreachable",), {}, {}),
    "variable": ((), {"MESH_SKIP_UNREACHABLE": "1"}, {}),
    "setting": ((), {}, {"unreachable": "skip"}),
}


@pytest.fixture(scope="module")
def stack(make_stack: Maker) -> Stack:
    """Return a stack of four hosts; h4 dies in each test."""
    return make_stack(4)


def write(stack: Stack, setting: dict[str, Any], other: tuple[str, ...] = (), **rotation: int) -> None:
    """Write testwg of all hosts, and another mesh of some; `rotation` by host, in both."""
    members = {host: {"rotation": rotation[host]} for host in rotation}
    meshes: dict[str, Any] = {"testwg": {"hosts": HOSTS, "deadline": 10, "members": members, **setting}}
    if other:
        shared = {host: members[host] for host in members if host in other}
        meshes["other"] = {"hosts": list(other), "port": 51900, "deadline": 10, "members": shared, **setting}
    stack.write(meshes)


def kernels(stack: Stack) -> dict[tuple[str, str], str | None]:
    """Return the public key that each host runs, by interface."""
    return {
        (name, host): entry.public_key(name) for host, entry in stack.hosts.by_name.items() for name in entry.interfaces
    }


@pytest.mark.parametrize(
    ("way", "other"), [("option", ("h1", "h2", "h4")), ("variable", ("h1", "h4")), ("setting", ())], ids=str
)
def test_a_dead_host_is_left_out_of_other_hosts_changes_and_comes_back_in_one(
    stack: Stack, way: str, other: tuple[str, ...]
) -> None:
    """Also where it is in a mesh that the run is not about. No key changes but those of the hosts that were named."""
    options, variables, setting = WAYS[way]
    stack.environment.update(variables)
    if stack.hosts["h4"].mode != "well":
        stack.hosts.become("h4", "well")
    write(stack, setting, other)
    stack.settle()
    before = kernels(stack)
    told: list[Outcome] = []

    def only_h2(rotation: int) -> None:
        write(stack, setting, other, h2=rotation, h3=rotation)
        outcome = stack.companion("up", "--only", "h2", *options, *YES)
        told.append(outcome)
        assert outcome.code == 0, outcome.text
        after = kernels(stack)
        changed = {place for place in before if after[place] != before[place]}
        assert {host for _, host in changed} == {"h2"}
        before.update(after)

    stack.hosts.become("h4", "dead")
    only_h2(2)
    assert stack.plan()["pending"] == ["h4"]
    only_h2(3)
    assert stack.plan()["pending"] == ["h4"]
    stack.hosts.become("h4", "well")
    only_h2(4)
    assert stack.plan()["pending"] == []
    assert "testwg/h4/enrol" in stack.resources()
    for name in variables:
        del stack.environment[name]
    stack.up()
    assert stack.changed() == {}
    keys = {
        (mesh, host): key
        for mesh in ("testwg", *(["other"] if other else []))
        for host, key in stack.public_keys(mesh).items()
    }
    assert kernels(stack) == keys
