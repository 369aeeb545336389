"""An engine that is killed, in any phase: all old or all new, and healed as its messages say."""

from collections.abc import Iterator

import pytest

from tests.lab.conftest import leave_nothing
from tests.lab.failures import check_consistent, mend, rotated
from tests.lab.lab import Lab
from tests.lab.stack import Stack


@pytest.fixture(scope="module")
def shared(engine: str, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return the one stack of these tests, since each of them leaves its mesh running."""
    assert engine
    stack = Stack(lab, tmp_path_factory.mktemp("kills"))
    yield stack
    leave_nothing(lab)


@pytest.fixture
def mesh(shared: Stack) -> Stack:
    """Return a stack whose mesh runs, mended if the test before it broke it."""
    mend(shared)
    return shared


@pytest.mark.parametrize("phase", ["creating", "connecting", "staging", "switching key 1", "verifying"])
def test_an_engine_killed_in_any_phase_leaves_all_old_or_all_new(mesh: Stack, phase: str) -> None:
    """What it started ends by itself, hosts agree after the deadline, and cancel and up heal the stack."""
    old = mesh.public_keys()
    mesh.write(rotated(mesh))
    run = mesh.start("up")
    run.wait_for("testwg/bernard/key" if phase == "creating" else phase)
    run.kill_engine()
    run.wait_for_remains(mesh.is_served)
    mesh.wait_until_settled(90)
    new = mesh.public_keys()
    running = {f"testwg/{name}/key": key for name, key in mesh.running_public_keys("testwg").items()}
    # Keys whose making was not yet recorded run nowhere.
    assert running in (old, new)
    assert mesh.silent("testwg", 10) == []
    mesh.heal()
    check_consistent(mesh)
