"""A long walk in a lab of its own; one that fails is made as short as it can be and still fails."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.lab.edits import random_walk
from tests.lab.lab import Lab, default_hosts
from tests.lab.stack import Stack
from tests.lab.walk import Walk, WalkError, shortened, walk_on
from tests.lab.walk_back import WalkBack

__all__ = ["walk_far"]


def walk_far(seed: int, steps: int, *, back: bool = False) -> Iterator[str]:
    """Yield what a walk did and lost, in words; with `back`, each step fails first.

    Raises:
        WalkError: With the seed, the step that failed, and the shortest step that fails by itself.
    """
    prefix = os.environ.get("MESH_LAB_PREFIX", "walk")

    def begin(lab: Lab, scratch: str) -> Walk:
        stack = Stack(lab, Path(scratch) / "stack")
        return WalkBack(lab, stack, seed) if back else Walk(lab, stack)

    with Lab(default_hosts(4), prefix=prefix) as lab, TemporaryDirectory() as scratch, begin(lab, scratch) as walk:
        try:
            walk_on(walk, random_walk(walk.draft, seed, steps))
        except WalkError as error:
            raise WalkError(f"seed {seed}, {error}\nshort: {shortened(walk)}") from None
        finally:
            yield from walk.summary.lines()
