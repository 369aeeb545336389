"""Any edits of the stack file, in any order and several at a time, break no tunnel that stays."""

from collections.abc import Callable

import pytest

from tests.lab.edits import random_walk
from tests.lab.lab import Lab
from tests.lab.snapshot import difference, snapshot
from tests.lab.stack import Stack
from tests.lab.walk import Walk, WalkError, walk_on


@pytest.mark.parametrize("seed", [1])
def test_a_walk_over_the_fields_of_the_stack_file_breaks_no_tunnel_that_stays(
    seed: int, stack: Stack, lab: Lab, record_property: Callable[[str, object], None]
) -> None:
    """A short one; `python -m tests.bench walk` goes farther. What fails prints its seed."""
    before = {name: snapshot(host) for name, host in lab.hosts.items()}
    with Walk(lab, stack) as walk:
        try:
            walk_on(walk, random_walk(walk.draft, seed, 6))
        except WalkError as error:
            raise WalkError(f"seed {seed}, {error}") from None
        finally:
            for line in walk.summary.lines():
                record_property("loss", line)
    assert {name: difference(before[name], snapshot(host)) for name, host in lab.hosts.items()} == dict.fromkeys(
        lab.hosts, ""
    )
