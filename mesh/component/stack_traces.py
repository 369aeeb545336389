"""What the SDK records of the program with each resource, and what a state can do without.

It writes the whole call stack of every registration into the state: a quarter of it, with paths of the operator's
machine. There is no switch for that; but it takes the stack from `traceback`, which heeds `sys.tracebacklimit`.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["no_stack_traces"]


@contextmanager
def no_stack_traces() -> Iterator[None]:
    """Let resources that are registered in the block, or in the decorated function, record no call stack.

    A traceback that is shown after the block is whole.
    """
    before = getattr(sys, "tracebacklimit", None)
    # One frame, the SDK's own, in which it finds no constructor. Without any, it fails.
    sys.tracebacklimit = 1
    try:
        yield
    finally:
        if before is None:
            del sys.tracebacklimit
        else:
            sys.tracebacklimit = before
