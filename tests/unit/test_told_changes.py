"""What two resources of one mesh say of a change, once."""

from typing import Any

from mesh.rollout.told_changes import tell_roster_change, tell_unfinished
from mesh.stored.forms import NO_ROLLOUT


def roster(interface: str, mtu: int) -> Any:
    """Return a roster of nobody."""
    return {"interface": interface, "port": 51825, "mtu": mtu, "deadline": 60, "unreachable": "stop", "members": {}}


def properties(found: dict[str, Any]) -> Any:
    """Return what a rollout of that roster has in the state."""
    return {**NO_ROLLOUT, "roster": found, "leavers": {}}


def test_the_rollout_tells_what_the_roster_did_not_tell_in_this_run() -> None:
    """What an earlier run recorded and did not bring to the hosts; not what this run changes."""
    on_hosts, recorded, wanted = (roster("toldwg", mtu) for mtu in (1420, 1400, 1380))
    [told] = tell_roster_change(recorded, wanted)
    assert "1400 becomes 1380" in told
    before, line = tell_unfinished(properties(on_hosts), properties(wanted))
    assert before.startswith("an earlier run did not bring")
    assert "1420 becomes 1400" in line


def test_a_change_that_was_taken_back_is_not_told_forwards_too() -> None:
    """The hosts never had it, so what the roster told is all undone, and nothing comes to them."""
    on_hosts, recorded = roster("backwg", 1420), roster("backwg", 1400)
    [told] = tell_roster_change(recorded, on_hosts)
    assert "1400 becomes 1420" in told
    assert tell_unfinished(properties(on_hosts), properties(on_hosts)) == [
        "an earlier run did not bring that to the hosts, and this takes it back"
    ]


def test_without_a_change_of_the_roster_all_that_is_not_on_the_hosts_is_told() -> None:
    """As after a failed rollout, when nothing was edited since."""
    _, line = tell_unfinished(properties(roster("otherwg", 1420)), properties(roster("otherwg", 1400)))
    assert "1420 becomes 1400" in line
