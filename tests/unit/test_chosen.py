"""Which meshes of a stack a command is about."""

from typing import Any

import pytest

from mesh.cli.chosen import check_hosts, choose_meshes
from mesh.cli.pulumi_cli import RecordedMesh
from mesh.errors import MeshError


def test_a_stack_in_which_nothing_was_rolled_out_is_told_as_that() -> None:
    """Whoever watches it would take silence for a mesh that is well."""
    with pytest.raises(MeshError, match="status: nothing was rolled out in this stack; run pulumi up first"):
        choose_meshes({}, "status", None)


def test_an_interface_that_was_not_rolled_out_is_told_with_those_that_were() -> None:
    """It may be mistyped, or not be up yet."""
    rollout: Any = {}
    recorded = {name: RecordedMesh(frozenset(), frozenset(), rollout) for name in ("testwg", "backwg")}
    assert list(choose_meshes(recorded, "ping", None)) == ["backwg", "testwg"]
    assert list(choose_meshes(recorded, "ping", ["testwg"])) == ["testwg"]
    with pytest.raises(
        MeshError, match="ping: 'testwgg' was never rolled out in this stack; give backwg or testwg, or"
    ):
        choose_meshes(recorded, "ping", ["testwgg"])


def test_of_many_hosts_those_are_told_that_may_be_meant() -> None:
    """A line with all names of a large mesh is not read."""
    known = {f"berlin-{number:03}" for number in range(300)} | {"gateway"}
    with pytest.raises(MeshError) as caught:
        check_hosts(["gatway"], known, "status")
    said = str(caught.value)
    assert said.startswith("status: gatway is no host of any mesh; give some of gateway, berlin-")
    assert said.endswith(" and 289 more")
    assert said.count(",") == 11
