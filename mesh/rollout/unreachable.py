"""Decide what a host that does not answer means for a run: the end of it, or a change that waits for the host's return.

Finding such hosts belongs to `look` and `fanout`.
"""

import os

__all__ = ["SKIP_VARIABLE", "may_skip"]

# For one run, so it is neither in the stack file nor in the state, where it would be a difference afterwards.
SKIP_VARIABLE = "MESH_SKIP_UNREACHABLE"


def may_skip(unreachable: str) -> bool:
    """Tell whether a run goes on without hosts of an interface that do not answer, by its setting or for this run."""
    # The words that Pulumi's own variables take; another one stops the run, which harms nobody.
    return unreachable == "skip" or os.environ.get(SKIP_VARIABLE, "").lower() in {"1", "true"}
