"""The count of a host's installations; a survey raises it for a host that lost its private key."""

from collections.abc import Mapping

__all__ = ["installation_of"]


def installation_of(host: str, former: str | None, counts: Mapping[str, int]) -> int:
    """Return which installation of a host this is; a renamed one is counted by its former name until the next survey.

    A host that is not counted is in its first.
    """
    return counts.get(host) or counts.get(former or "") or 1
