"""What holds of the plan of every valid stack file."""

from collections.abc import Mapping
from ipaddress import ip_address
from itertools import combinations
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mesh.config.models import Peering
from mesh.config.peering import resolve
from mesh.config.reader import read_configuration
from mesh.plan.pairs import Pairs
from mesh.plan.roster import Roster
from mesh.plan.roster_builder import build_roster
from mesh.plan.topology import MeshPlan, plan_meshes
from mesh.wireguard.endpoint import ip_version
from tests.strategies import HOST_KEY, host_names, stack_files

StackFile = tuple[dict[str, Any], dict[str, Any]]


def plans(stack_file: StackFile) -> Mapping[str, MeshPlan]:
    """Return the plans of a stack file."""
    return plan_meshes(read_configuration(*stack_file))


def roster_of(plan: MeshPlan) -> Roster:
    """Return the roster of a plan whose keys are the hosts' names."""
    names = [participant.name for participant in plan.participants]
    return build_roster(plan, {name: name for name in names}, {name: {"system": "", "ssh": {}} for name in names})


@given(stack_files())
def test_peering_is_symmetric_and_never_with_oneself(stack_file: StackFile) -> None:
    """A host that has another as its peer is a peer of that one."""
    for plan in plans(stack_file).values():
        pairs = Pairs(roster_of(plan))
        peers = {name: set(pairs.peers_of(name)) for name in pairs.participants}
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
    """A host that joins is added to the plan; no member is renumbered, rekeyed or gets another endpoint."""
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
        assert tuple(member for member in plan.members if member.name != new) == before[name].members


@given(stack_files())
def test_an_endpoint_reads_back_as_the_address_and_the_port(stack_file: StackFile) -> None:
    """What wg makes of the text, cutting at the last colon, is what the file says; names are told from addresses."""
    hosts, _ = stack_file
    for plan in plans(stack_file).values():
        for member in plan.members:
            name, addresses = hosts[member.name].get("externalName"), hosts[member.name].get("externalIps", [])
            assert member.is_roaming == (not name and not addresses)
            if member.endpoint is None:
                continue
            host, _, port = member.endpoint.rpartition(":")
            assert int(port) == plan.port
            assert (ip_version(member.endpoint) is None) == bool(name)
            if name:
                assert host == name
            else:
                assert ip_address(host.strip("[]")) == ip_address(addresses[0])
                assert ip_version(member.endpoint) == ip_address(addresses[0]).version
                assert host.startswith("[") == (":" in addresses[0])


@given(stack_files())
def test_every_pair_can_talk_or_is_named(stack_file: StackFile) -> None:
    """No pair is forgotten, none is in both lists, and the lower name comes first."""
    for plan in plans(stack_file).values():
        names = [member.name for member in plan.members]
        pairs = Pairs(roster_of(plan))
        assert sorted(pairs) == sorted(combinations(sorted(names), 2))
        roaming = {member.name for member in plan.members if member.is_roaming}
        assert sorted(pairs.cannot_meet()) == sorted(pair for pair in pairs if set(pair) <= roaming)


@given(stack_files())
def test_whoever_has_no_endpoint_keeps_its_tunnels_open(stack_file: StackFile) -> None:
    """By default a roaming host sends keepalives, and no other does."""
    for plan in plans(stack_file).values():
        assert all((member.persistent_keepalive > 0) == member.is_roaming for member in plan.members)


@st.composite
def peered(draw: st.DrawFn) -> tuple[list[Peering], dict[str, list[str]]]:
    """Return rules, and the tags of each participant."""
    names = draw(st.lists(host_names, min_size=1, max_size=6, unique=True))
    tags = {name: draw(st.lists(st.sampled_from(["db", "web"]), max_size=2, unique=True)) for name in names}
    words = st.lists(st.sampled_from([*names, "tag:db", "tag:web", "all"]), min_size=1, max_size=3)
    rules = st.one_of(
        st.builds(lambda group: Peering.model_validate({"group": group}), words),
        st.builds(lambda hub, spokes: Peering.model_validate({"hub": hub, "spokes": spokes}), words, words),
    )
    return draw(st.lists(rules, min_size=1, max_size=4)), tags


@given(peered(), st.randoms())
def test_peering_rules_join_both_ways_in_any_order(
    given_rules: tuple[list[Peering], dict[str, list[str]]], random: Random
) -> None:
    """Nobody is a peer of itself, and the rules add up."""
    rules, tags = given_rules
    peers = resolve(rules, tags)
    for name, own in peers.items():
        assert name not in own
        assert all(name in peers[other] for other in own)
    assert resolve(random.sample(rules, len(rules)), tags) == peers
    fewer = resolve(rules[1:], tags)
    assert all(set(fewer[name]) <= set(own) for name, own in peers.items())


@given(peered())
def test_a_newcomer_that_no_rule_names_joins_no_two_others(
    given_rules: tuple[list[Peering], dict[str, list[str]]],
) -> None:
    """Growth of a mesh leaves the pairs that there are."""
    rules, tags = given_rules
    grown = resolve(rules, {**tags, "a-newcomer-of-this-mesh": []})
    without = {name: tuple(p for p in own if p in tags) for name, own in grown.items() if name in tags}
    assert without == resolve(rules, tags)
