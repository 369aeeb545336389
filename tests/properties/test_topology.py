"""What holds of the plan of every valid stack file."""

from collections.abc import Mapping
from ipaddress import ip_address
from itertools import combinations
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mesh.config import read_configuration
from mesh.topology import MeshPlan, plan_meshes
from tests.strategies import HOST_KEY, stack_files

StackFile = tuple[dict[str, Any], dict[str, Any]]


def plans(stack_file: StackFile) -> Mapping[str, MeshPlan]:
    """Return the plans of a stack file."""
    return plan_meshes(read_configuration(*stack_file))


@given(stack_files())
def test_peering_is_symmetric_and_never_with_oneself(stack_file: StackFile) -> None:
    """A host that has another as its peer is a peer of that one."""
    for plan in plans(stack_file).values():
        peers = {member.host: {peer.host for peer in plan.peers_of(member.host)} for member in plan.members}
        for host, others in peers.items():
            assert others == peers.keys() - {host}
            assert all(host in peers[other] for other in others)


@given(stack_files())
def test_no_prefix_of_a_mesh_overlaps_another(stack_file: StackFile) -> None:
    """Each packet has one owner."""
    for plan in plans(stack_file).values():
        for one, other in combinations(plan.members, 2):
            assert not one.address.network.overlaps(other.address.network)


@given(stack_files(), st.randoms())
def test_the_order_of_the_file_does_not_matter(stack_file: StackFile, random: Random) -> None:
    """Moving lines changes no plan, and so no resource."""
    hosts, interfaces = stack_file
    shuffled = [random.sample(list(section.items()), len(section)) for section in (hosts, interfaces)]
    moved = {
        name: interface | {"hosts": random.sample(interface["hosts"], len(interface["hosts"]))}
        for name, interface in shuffled[1]
    }
    assert plans((dict(shuffled[0]), moved)) == plans(stack_file)
    assert list(plans((dict(shuffled[0]), moved))) == list(plans(stack_file))


@given(stack_files(), st.booleans())
def test_a_new_host_changes_nothing_about_the_others(stack_file: StackFile, is_roaming: bool) -> None:
    """Whoever joins is added to the plan; no member is renumbered, rekeyed or sought elsewhere."""
    hosts, interfaces = stack_file
    before = plans(stack_file)
    # Longer than any label that the strategy makes.
    new = "a-newcomer-of-this-mesh"
    hosts[new] = {"ssh": {"address": "10.1.0.1", "hostKey": HOST_KEY}}
    if not is_roaming:
        hosts[new]["externalIps"] = ["78.11.11.11"]
    for interface in interfaces.values():
        interface["hosts"].append(new)
    for name, plan in plans(stack_file).items():
        assert tuple(member for member in plan.members if member.host != new) == before[name].members


@given(stack_files())
def test_an_endpoint_reads_back_as_the_address_and_the_port(stack_file: StackFile) -> None:
    """What wg makes of the text, cutting at the last colon, is what the file says."""
    hosts, _ = stack_file
    for plan in plans(stack_file).values():
        for member in plan.members:
            external = hosts[member.host].get("externalIps", [])
            assert member.is_roaming == (not external)
            if member.endpoint is not None:
                address, _, port = member.endpoint.rpartition(":")
                assert int(port) == plan.port
                assert ip_address(address.strip("[]")) == ip_address(external[0])
                assert address.startswith("[") == (":" in external[0])


@given(stack_files())
def test_every_pair_can_talk_or_is_named(stack_file: StackFile) -> None:
    """No pair is forgotten, none is in both lists, and the lower name comes first."""
    for plan in plans(stack_file).values():
        names = [member.host for member in plan.members]
        assert sorted(plan.pairs() + plan.pairs_that_cannot_meet()) == sorted(combinations(sorted(names), 2))
        roaming = {member.host for member in plan.members if member.is_roaming}
        assert all(set(pair) <= roaming for pair in plan.pairs_that_cannot_meet())
        assert not any(set(pair) <= roaming for pair in plan.pairs())


@given(stack_files())
def test_whoever_cannot_be_sought_keeps_its_tunnels_open(stack_file: StackFile) -> None:
    """By default a roaming host sends keepalives, and no other does."""
    for plan in plans(stack_file).values():
        assert all((member.persistent_keepalive > 0) == member.is_roaming for member in plan.members)
