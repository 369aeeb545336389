"""What is set for each process that has keys in memory, or what hosts report: the program, the providers, a command."""

import gc
import resource

__all__ = ["set_up_process"]

# Objects that are new, and the rounds of the younger ones, before Python looks for garbage among them. By default it
# looks after 700, and again and again at what hosts have reported: of a thousand hosts there are millions of objects,
# all of which stay.
_RARELY = (200_000, 50, 50)


def set_up_process() -> None:
    """Keep core dumps off the disk, also those of what this process starts, and look for garbage rarely.

    Whoever has reason to may raise the limit of core dumps again.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    gc.set_threshold(*_RARELY)
