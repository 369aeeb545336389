"""Stacks for this level; hosts and engine are told in `ssh_hosts` and `stack`."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.engine.ssh_hosts import Hosts
from tests.engine.stack import Stack

Maker = Callable[[int], Stack]


@pytest.fixture(scope="module")
def make_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Maker]:
    """Return what makes a stack and so many hosts, h1 and on; all end with the module."""
    with ExitStack() as stack:

        def make(count: int) -> Stack:
            folder: Path = tmp_path_factory.mktemp("stack")
            key = folder / "operator-key"
            hosts = stack.enter_context(Hosts([f"h{number}" for number in range(1, count + 1)], key))
            return Stack(folder, hosts, key)

        yield make
