"""Who the stack file says can talk can, and nobody else, in a model of WireGuard and of the network between hosts."""

from ipaddress import ip_address, ip_network
from itertools import combinations
from typing import Any

from hypothesis import given, note

from mesh.config.reader import read_configuration
from mesh.plan.host_payload import payload
from mesh.plan.pairs import Pairs
from mesh.plan.peer_config import peer_file
from mesh.plan.roster import Roster
from mesh.plan.roster_builder import build_roster
from mesh.plan.topology import plan_meshes
from mesh.wireguard.keys import generate_preshared_key
from tests.network import INTERNET, Arrival, Tunnel, World
from tests.told_network import machines_of, read_peer_file, read_plan
from tests.whole_files import Spec, StackFile, whole_files

_MESH_KEY = generate_preshared_key()
_FAR = {4: "198.18.0.9", 6: "2001:db8:ffff::9"}


def rosters(file: StackFile) -> dict[str, Roster]:
    """Return the roster of each mesh; names stand for public keys."""
    found = {}
    for interface, plan in plan_meshes(read_configuration(*file)).items():
        names = [participant.name for participant in plan.participants]
        logins = {name: {"system": "", "ssh": {"address": name, "port": 22}} for name in names}
        found[interface] = build_roster(plan, {name: name for name in names}, logins)
    return found


def told(file: StackFile) -> dict[tuple[str, str], Tunnel]:
    """Return what everyone is told, by interface and name."""
    found: dict[tuple[str, str], Tunnel] = {}
    for interface, roster in rosters(file).items():
        for name in roster["members"]:
            text = payload(roster, name, _MESH_KEY, mesh="m", roster_id="r", digest="d")
            found[interface, name] = read_plan(text)
        for name in roster.get("peers", {}):
            found[interface, name] = read_peer_file(peer_file(roster, name, "k", _MESH_KEY), name)
    return found


def _ends(tunnels: dict[tuple[str, str], Tunnel], interface: str, one: str, other: str) -> list[tuple[Any, Any]]:
    pairs = zip(tunnels[interface, one].addresses, tunnels[interface, other].addresses, strict=True)
    return [(mine.ip, theirs.ip) for mine, theirs in pairs]


def _machine(spec: Spec, interface: str, name: str) -> str:
    return name if name in spec.members else f"{interface}/{name}"


@given(whole_files())
def test_two_talk_if_and_only_if_the_file_says_so(file: StackFile) -> None:
    """By every IP version that the mesh has, packet and answer, and at the machine that has the address."""
    hosts, interfaces = file
    note(file)
    tunnels = told(file)
    world = World(machines_of(*file, tunnels))
    for interface, mesh in interfaces.items():
        spec = Spec(hosts, mesh)
        for one, other in combinations(spec.everyone, 2):
            for start, end in ((one, other), (other, one)):
                for source, target in _ends(tunnels, interface, start, end):
                    there = world.exchange(_machine(spec, interface, start), source, target)
                    arrived = there is not None and there.place == _machine(spec, interface, end)
                    # An exit node that relays cannot tell them apart, as docs/tasks/exit-node.md says.
                    is_right = arrived if spec.talks(one, other) else not arrived or spec.may_leak(one, other)
                    assert is_right, (interface, start, end, source, target, there)


def _check_networks(world: World, spec: Spec, interface: str, name: str, sources: dict[int, Any]) -> None:
    """Fail unless a participant reaches the networks behind those that it talks with, and no others."""
    start = _machine(spec, interface, name)
    for router in spec.everyone:
        if router == name or spec.same_site(name, router):
            continue
        by = _machine(spec, interface, router)
        for network in map(ip_network, spec.entry(router).get("routes", [])):
            there = world.exchange(start, sources[network.version], network[9])
            if spec.talks(name, router):
                hides = spec.entry(router).get("masquerade") is True
                assert there == Arrival(str(network), by, hides, interface), (name, router, network, there)
            else:
                assert there is None or there.by != by or by == spec.exit_node(name), (name, router, network, there)


@given(whole_files())
def test_networks_and_everything_else_are_reached_over_whom_the_file_names(file: StackFile) -> None:
    """And answers come back, from a network that knows the way or by masquerading."""
    note(file)
    hosts, interfaces = file
    tunnels = told(file)
    world = World(machines_of(*file, tunnels))
    for interface, mesh in interfaces.items():
        spec = Spec(hosts, mesh)
        for name in spec.everyone:
            sources = {address.version: address.ip for address in tunnels[interface, name].addresses}
            _check_networks(world, spec, interface, name, sources)
            start, node = _machine(spec, interface, name), spec.exit_node(name)
            hides = bool(node) and spec.entry(node or "").get("masquerade") is not False
            for version, source in sources.items():
                there = world.send(start, source, ip_address(_FAR[version]))
                assert there == Arrival(INTERNET, node or start, hides, interface if node else ""), (name, node, there)


@given(whole_files())
def test_what_is_said_of_pairs_that_cannot_meet_is_true_and_complete(file: StackFile) -> None:
    """And nobody is a peer twice, or has one prefix for two peers."""
    hosts, interfaces = file
    tunnels = told(file)
    for interface, roster in rosters(file).items():
        spec = Spec(hosts, interfaces[interface])
        apart = [tuple(sorted(p)) for p in combinations(spec.everyone, 2) if spec.joined(*p) and not spec.talks(*p)]
        assert sorted(Pairs(roster).cannot_meet()) == sorted(apart)
        assert all(spec.is_roaming(name) for pair in apart for name in pair)
        for name in spec.everyone:
            owned = [net for peer in tunnels[interface, name].peers.values() for net in peer.allowed]
            assert len(owned) == len(set(owned))
