"""Keep what a process has in memory off the disk: no core dump is written, by this process or what it starts."""

import resource

__all__ = ["forbid_core_dumps"]


def forbid_core_dumps() -> None:
    """Lower the limit; whoever has reason to may raise it again."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
