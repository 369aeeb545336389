"""Keys that have served their time, with the real engine: warned of, regenerated when due, and never before."""

from datetime import datetime, timedelta

import pytest

from tests.engine.conftest import Maker
from tests.engine.stack import Stack

HOSTS = ["h1", "h2", "h3"]


@pytest.fixture(scope="module")
def running(make_stack: Maker) -> Stack:
    """Return a stack whose keys serve for 30 days."""
    stack = make_stack(3)
    stack.write({"testwg": {"hosts": HOSTS, "deadline": 10, "maxKeyAge": "30d"}})
    stack.up()
    return stack


def test_the_outputs_tell_when_each_key_expires(running: Stack) -> None:
    """As many days after its creation as the stack file says."""
    plan = running.plan()
    dates = [(host["createdAt"], host["expiresAt"]) for host in plan["hosts"].values()]
    dates.append((plan["presharedKeyCreatedAt"], plan["presharedKeyExpiresAt"]))
    for made, end in dates:
        assert datetime.fromisoformat(end) - datetime.fromisoformat(made) == timedelta(days=30)


def test_a_preview_warns_in_the_last_two_weeks_and_changes_nothing(running: Stack) -> None:
    """With the date, and without rotating early."""
    running.age_keys(20, "h1")
    outcome = running.must("preview", "--expect-no-changes")
    assert "! h1 key expires on" in outcome.text
    assert "in 10 days; pulumi up regenerates it from then on" in outcome.text
    assert "h2 key expires" not in outcome.text


def test_up_renews_what_has_expired_and_only_that(running: Stack) -> None:
    """Seen in the preview, proven like any rotation, and done with afterwards."""
    before = running.public_keys()
    running.age_keys(10, "h1")
    assert "~ h1 key expired on" in running.must("preview").text
    running.up()
    after = running.public_keys()
    assert {host for host in HOSTS if before[host] != after[host]} == {"h1"}
    assert {host: running.hosts[host].public_key("testwg") for host in HOSTS} == after
    running.must("preview", "--expect-no-changes")


def test_another_age_alone_changes_no_key(running: Stack) -> None:
    """It is a rule for the future, and the outputs follow it."""
    running.write({"testwg": {"hosts": HOSTS, "deadline": 10, "maxKeyAge": "90d"}})
    before = running.public_keys()
    assert running.changed() == {}
    assert running.public_keys() == before
