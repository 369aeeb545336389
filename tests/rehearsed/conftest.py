"""Stacks for this level: the whole program without an engine, against hosts on loopback."""

from collections.abc import Callable, Iterator

import pytest

from tests.engine.conftest import maker_of
from tests.rehearsed.stack import RehearsedStack

Maker = Callable[[int], RehearsedStack]


@pytest.fixture(scope="module")
def make_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Maker]:
    """Return what makes a stack and so many hosts, h1 and on; all end with the module."""
    with maker_of(RehearsedStack, tmp_path_factory) as make:
        yield make
