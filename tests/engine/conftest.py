"""Stacks for this level; hosts and engine are told in `ssh_hosts` and `stack`."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from tests.engine.ssh_hosts import Hosts
from tests.engine.stack import Stack

S = TypeVar("S", bound=Stack)
Maker = Callable[[int], Stack]


@contextmanager
def maker_of(kind: type[S], folders: pytest.TempPathFactory) -> Iterator[Callable[[int], S]]:
    """Yield what makes such a stack and so many hosts, h1 and on; all end with this context."""
    with ExitStack() as stack:

        def make(count: int) -> S:
            folder: Path = folders.mktemp("stack")
            key = folder / "operator-key"
            hosts = stack.enter_context(Hosts([f"h{number}" for number in range(1, count + 1)], key))
            return kind(folder, hosts, key)

        yield make


@pytest.fixture(scope="module")
def make_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Maker]:
    """Return what makes a stack and so many hosts, h1 and on; all end with the module.

    That pip works for the engine is shown where a stack is made otherwise: by the README's first steps among others.
    """
    with maker_of(Stack, tmp_path_factory) as make:

        def make_and_spare(count: int) -> Stack:
            made = make(count)
            made.spare_pip()
            return made

        yield make_and_spare
