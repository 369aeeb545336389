"""When a key has served its time: the `maxKeyAge` of the stack file, counted from the key's `createdAt`.

Days are whole, and 0 means that keys do not expire. `history` makes the new key.
"""

from datetime import UTC, datetime, timedelta

__all__ = ["describe_expiry", "expires_at", "has_expired", "show_moment"]

_WARNING = timedelta(days=14)


def show_moment(moment: datetime) -> str:
    """Return a moment of UTC, such as 2026-05-01T10:00:00Z."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _end(created_at: str, days: int) -> datetime:
    return datetime.fromisoformat(created_at) + timedelta(days=days)


def expires_at(created_at: str, days: int) -> str:
    """Return when a key expires, as `show_moment` does, or an empty text for never."""
    return show_moment(_end(created_at, days)) if days and created_at else ""


def has_expired(created_at: str, days: int) -> bool:
    """Tell whether a key is due to be regenerated."""
    return bool(days) and _end(created_at, days) <= datetime.now(UTC)


def describe_expiry(name: str, created_at: str, days: int) -> list[str]:
    """Return a line on a key that has expired or will within 14 days, and none on any other."""
    if not days:
        return []
    end = _end(created_at, days)
    left = end - datetime.now(UTC)
    if left <= timedelta():
        return [f"~ {name} expired on {end:%Y-%m-%d} (made on {created_at[:10]}, maxKeyAge {days}d) and is regenerated"]
    if left <= _WARNING:
        when = "1 day" if left.days == 0 else f"{left.days + 1} days"
        return [f"! {name} expires on {end:%Y-%m-%d}, in {when}; pulumi up regenerates it from then on"]
    return []
