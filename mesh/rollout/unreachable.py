"""Decide whether a host that does not answer ends a run, or is left out and gets its change after its return.

`reachability` and `sessions` find such hosts.
"""

import os

__all__ = ["SKIP_VARIABLE", "may_skip"]

# For one run, so it is neither in the stack file nor in the state, where it would be a difference afterwards.
SKIP_VARIABLE = "MESH_SKIP_UNREACHABLE"


def may_skip(unreachable: str) -> bool:
    """Tell whether a run goes on without hosts of an interface that do not answer, by its setting or for this run."""
    # The values that Pulumi's own variables take; with another one the run stops, which is safe.
    return unreachable == "skip" or os.environ.get(SKIP_VARIABLE, "").lower() in {"1", "true"}
