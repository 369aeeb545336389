"""When the engine writes the state: after every step of a run, or once at its end.

A file backend writes all of it after each step, so that what a run costs grows with the square of the resources.
"""

from collections.abc import Mapping

__all__ = ["CHECKPOINTS_VARIABLE", "WAY_BACK", "skips_checkpoints"]

CHECKPOINTS_VARIABLE = "PULUMI_SKIP_CHECKPOINTS"
WAY_BACK = (
    "up: the state is written once, when the run has ended; if pulumi is killed before, run pulumi cancel, then "
    "python -m mesh adopt {stack}, which brings keys back from the hosts, then pulumi up"
)
# Members, each counted in every mesh that it is in: where half of what a first up costs is checkpoints.
_MANY = 100


def skips_checkpoints(members: int, wanted: bool | None, environment: Mapping[str, str]) -> bool:
    """Tell whether a run of that number of `members` goes without checkpoints.

    `wanted` is whether the user asks for them, None for what fits the size. Whoever has set Pulumi's own variable has
    chosen already.
    """
    if wanted is None:
        return members >= _MANY and CHECKPOINTS_VARIABLE not in environment
    return not wanted
