"""What is said of a change of any stack file to any other: all of it, and nothing that is not so."""

import re
from collections import Counter

from hypothesis import given, note

from mesh.plan.impact import find_impact
from mesh.plan.pairs import Pairs
from mesh.plan.roster import roster_digest
from mesh.plan.roster_diff import describe_changes
from tests.properties.test_network import rosters
from tests.whole_files import StackFile, whole_files


@given(whole_files(), whole_files())
def test_a_change_of_what_hosts_run_is_said_and_no_other(one: StackFile, other: StackFile) -> None:
    """Each way; and nothing is said of a file that is the same."""
    note((one, other))
    for old, new in ((one, other), (other, one), (one, one)):
        was, now = rosters(old)["wg"], rosters(new)["wg"]
        is_same = roster_digest(was, "", "m") == roster_digest(now, "", "m")
        assert bool(describe_changes(was, now)) != is_same


@given(whole_files(), whole_files())
def test_pairs_that_come_and_go_are_said_and_counted(one: StackFile, other: StackFile) -> None:
    """Of those that stay, by name; of those that join and leave, by how many hosts gain or lose how many peers."""
    note((one, other))
    was, now = rosters(one)["wg"], rosters(other)["wg"]
    lines = describe_changes(was, now)
    before, after = Pairs(was), Pairs(now)
    stay = before.participants.keys() & after.participants.keys()
    has_rules = any("peers" in member for roster in (was, now) for member in roster["members"].values())
    if has_rules and not any("more pairs" in line for line in lines):
        for verb, pairs in (
            ("become peers", set(after) - set(before)),
            ("are no longer peers", set(before) - set(after)),
        ):
            said = {tuple(line[2:].removesuffix(f" {verb}").split(" and ")) for line in lines if line.endswith(verb)}
            assert said == {pair for pair in pairs if {*pair} <= stay}
    impact = find_impact(was, now, (), preshared=False)
    for verb, changed in (("gain", impact.gains), ("lose", impact.losses)):
        hosts = was["members"].keys() & now["members"].keys()
        counts = Counter(len({*changed.get(host, ())} - stay) for host in hosts)
        found = (re.fullmatch(rf"  (\d+) hosts? {verb}s? (\d+) peers?", line) for line in lines)
        told = {int(match[2]): int(match[1]) for match in found if match}
        assert told == {peers: number for peers, number in counts.items() if peers}
