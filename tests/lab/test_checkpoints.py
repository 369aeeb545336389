"""`python -m mesh up` without checkpoints, and an engine that is killed: what the state lacks, the hosts give back."""

import json
from contextlib import nullcontext

import pytest

from tests.documents import shell_of
from tests.lab.conftest import leave_nothing
from tests.lab.failures import PORT, check_consistent
from tests.lab.lab import Lab
from tests.lab.stack import Stack
from tests.lab.typed import TypedStack

CONFIRMED = "confirmed on"
UP = ("up", "--no-checkpoints", "--", "--yes", "--skip-preview")


def plan(lab: Lab, rotation: int = 1) -> dict[str, object]:
    """Return the mesh of all hosts."""
    return {"testwg": {"hosts": list(lab.hosts), "port": PORT, "deadline": 10, "rotation": rotation}}


def kill_at(stack: Stack, phase: str) -> dict[str, str]:
    """Kill the engine of such an up as soon as it prints `phase`; return what hosts run once they have settled."""
    run = stack.start_companion(*UP)
    run.wait_for("up: the state is written once")
    with stack.held_at(run, phase) if phase != CONFIRMED else nullcontext(run.wait_for(phase)):
        run.kill_engine()
    run.wait_for_remains(stack.is_served)
    stack.wait_until_settled(90)
    return stack.running_public_keys("testwg")


@pytest.mark.parametrize("phase", ["testwg/bernard/enrol", "bringing up", "verifying"])
def test_a_first_up_that_was_killed_before_it_confirmed_leaves_nothing_and_comes_again(
    engine_stack: Stack, lab: Lab, phase: str
) -> None:
    """There is nothing to bring back then, and the command says so."""
    engine_stack.write(plan(lab))
    assert kill_at(engine_stack, phase) == {}
    engine_stack.cancel()
    said = engine_stack.companion("adopt", str(engine_stack.file), "--yes", succeeds=False).output
    assert "there is nothing to adopt, so run pulumi up" in said
    engine_stack.up()
    check_consistent(engine_stack)
    engine_stack.destroy()
    leave_nothing(lab)


def test_keys_of_an_up_that_was_killed_after_it_confirmed_come_back_by_what_the_page_says(
    office: TypedStack, lab: Lab
) -> None:
    """Of a first up, whose state has nothing, and of a rotation, whose state has the keys before; none changes."""
    office.type_in("pulumi stack init office\n")
    for rotation in (1, 2):
        office.write(plan(lab, rotation))
        made = kill_at(office, CONFIRMED)
        assert set(made) == set(lab.hosts)
        exported = json.dumps(office.state())
        assert not [key for key in made.values() if key in exported]
        office.type_in(shell_of("docs/tasks/large-meshes.md", "What it risks"))
        assert office.running_public_keys("testwg") == made
        check_consistent(office)
        office.up("--expect-no-changes")
