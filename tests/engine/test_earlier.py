"""A state that an earlier version of the program made goes on without a change."""

import shutil
from pathlib import Path

import pytest

from tests import earlier
from tests.engine.conftest import Maker

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("version", earlier.VERSIONS)
def test_a_state_of_an_earlier_version_needs_no_change(make_stack: Maker, version: str) -> None:
    """Keys, plan and hosts stay as they are; a later change and the end of the mesh are today's."""
    stack = make_stack(3)
    earlier.unpack(version, stack.folder)
    mesh = {"hosts": ["h1", "h2", "h3"], "names": True, "members": {"h2": {"rotation": 2}}}
    stack.write({"testwg": mesh, "backwg": {"hosts": ["h1", "h3"], "port": 51825, "presharedKeys": "pairwise"}})
    stack.up()
    keys = stack.public_keys() | stack.public_keys("backwg")
    shutil.rmtree(stack.folder / "mesh")
    (stack.folder / "mesh").symlink_to(ROOT / "mesh")
    for name in ("__main__.py", "Pulumi.yaml"):
        shutil.copy(ROOT / name, stack.folder / name)
    stack.must("preview", "--expect-no-changes")
    stack.must("preview", "--refresh", "--expect-no-changes")
    stack.up("--expect-no-changes")
    assert stack.public_keys() | stack.public_keys("backwg") == keys
    stack.write({"testwg": {**mesh, "rotation": 2}})
    stack.up()
    assert set(stack.public_keys().values()).isdisjoint(keys.values())
    stack.must("destroy", "--yes")
    assert all(host.interfaces == {} for host in stack.hosts.by_name.values())
