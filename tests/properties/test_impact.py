"""What a change reaches, beside what hosts are told: who is told anything else runs otherwise."""

from typing import Any

from hypothesis import given

from mesh.plan.expected_loss import expected_loss
from mesh.plan.host_payload import payload
from mesh.plan.impact import find_impact
from mesh.plan.pairs import Pairs
from mesh.wireguard.keys import generate_preshared_key
from tests.properties.test_pairs import meshes, roster_of

_MESH_KEY = generate_preshared_key()
StackFile = tuple[dict[str, Any], dict[str, Any]]


def told(roster: Any, host: str) -> list[str]:
    """Return what a host is told of a roster, but for the names of the plan itself."""
    return sorted(payload(roster, host, _MESH_KEY, mesh="m", roster_id="r", digest="p").splitlines())


@given(meshes(), meshes())
def test_a_host_that_is_told_anything_else_is_reached(before: StackFile, after: StackFile) -> None:
    """Whatever changes at once: sites, relays, routes, exit nodes, rules of peering."""
    old, new = roster_of(before), roster_of(after)
    preshared = old.get("presharedKeys") != new.get("presharedKeys")
    impact = find_impact(old, new, (), preshared=preshared)
    stay = old["members"].keys() & new["members"].keys()
    assert impact.hosts >= old["members"].keys() ^ new["members"].keys()
    assert impact.hosts >= {host for host in stay if told(old, host) != told(new, host)}
    assert impact.pairs >= set(Pairs(old)) ^ set(Pairs(new))
    assert impact.gains.keys() | impact.losses.keys() <= old["members"].keys() | {"laptop"}
    assert all(expected_loss(old, new, impact))


@given(meshes())
def test_nothing_reaches_nobody_and_a_new_mesh_all(mesh: StackFile) -> None:
    """So that the counts of both ends are right."""
    roster = roster_of(mesh)
    nothing = find_impact(roster, roster, (), preshared=False)
    assert not nothing.hosts
    assert not nothing.pairs
    assert nothing.of_pairs == len(set(Pairs(roster)))
    everything = find_impact(None, roster, (), preshared=False)
    assert everything.hosts == roster["members"].keys()
    assert everything.pairs == set(Pairs(roster))
    assert find_impact(roster, roster, (), preshared=True).pairs == set(Pairs(roster))
