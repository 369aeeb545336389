"""The walk of the lab, as far as it goes without a lab: which edits it makes."""

from collections import Counter

from tests.lab.edits import EDITS, edited, random_walk
from tests.strategies import first_draft


def test_a_walk_edits_every_field_and_a_seed_walks_the_same_way_again() -> None:
    """Each file is one without a fault."""
    walk = random_walk(first_draft(), 1, 120)
    assert walk[:10] == random_walk(first_draft(), 1, 10)
    assert walk[:10] != random_walk(first_draft(), 2, 10)
    times = Counter(edit.name for edits in walk for edit in edits)
    assert set(times) == set(EDITS)
    assert min(times.values()) >= 3
    assert {len(edits) for edits in walk} == {1, 2, 3, 4}
    draft = first_draft()
    for edits in walk:
        draft = edited(draft, edits)
        assert len(draft.mesh["hosts"]) >= 2


def test_an_edit_names_the_hosts_that_are_found_elsewhere_by_it() -> None:
    """Only with those may anything be lost."""
    walk = random_walk(first_draft(), 5, 60)
    draft, moved = first_draft(), 0
    for edits in walk:
        after = edited(draft, edits)
        for name in set(draft.mesh["hosts"]) & set(after.mesh["hosts"]):
            if draft.hosts[name].get("externalIps") != after.hosts[name].get("externalIps"):
                assert name in after.touched
                moved += 1
        draft = after
    assert moved
