"""Stacks for this level: the whole program without an engine, against hosts on loopback."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.engine.ssh_hosts import Hosts
from tests.rehearsed.stack import RehearsedStack

Maker = Callable[[int], RehearsedStack]


@pytest.fixture(scope="module")
def make_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Maker]:
    """Return what makes a stack and so many hosts, h1 and on; all end with the module."""
    with ExitStack() as stack:

        def make(count: int) -> RehearsedStack:
            folder: Path = tmp_path_factory.mktemp("stack")
            key = folder / "operator-key"
            hosts = stack.enter_context(Hosts([f"h{number}" for number in range(1, count + 1)], key))
            return RehearsedStack(folder, hosts, key)

        yield make
