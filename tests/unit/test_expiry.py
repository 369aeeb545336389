"""Expiry as people read it."""

from datetime import UTC, datetime, timedelta

import pytest

from mesh.keyring.expiry import describe_expiry, expires_at, has_expired


def made(days: float) -> str:
    """Return the creation date of a key that is so many days old."""
    return (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")


def test_without_an_age_nothing_expires() -> None:
    """The default."""
    assert expires_at("2020-01-01T00:00:00Z", 0) == ""
    assert not has_expired("2020-01-01T00:00:00Z", 0)
    assert describe_expiry("bernard key", "2020-01-01T00:00:00Z", 0) == []


def test_the_end_is_a_date_of_its_own() -> None:
    """In the form of createdAt."""
    assert expires_at("2026-01-31T10:20:30Z", 30) == "2026-03-02T10:20:30Z"


@pytest.mark.parametrize(
    ("age", "words"),
    [(15.5, []), (16.5, ["in 14 days"]), (29.5, ["in 1 day;"]), (30.1, ["expired on", "is regenerated"])],
)
def test_the_warning_begins_14_days_before(age: float, words: list[str]) -> None:
    """With the date, and what to do."""
    lines = describe_expiry("bernard key", made(age), 30)
    assert bool(lines) == bool(words)
    assert all(word in lines[0] for word in words)
