"""A fault of a mesh that runs: where it shows, and its cause in words."""

from dataclasses import dataclass

__all__ = ["Fault"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong on `host`, or from there to a `peer`; `cause` also says what to do, and holds no secret.

    Of a whole mesh, `host` is empty, and the cause names the interface.
    """

    host: str
    cause: str
    peer: str = ""

    def __str__(self) -> str:
        """Return the fault as a line."""
        place = f"{self.host} → {self.peer}" if self.peer else self.host
        return f"{place}: {self.cause}" if place else self.cause
