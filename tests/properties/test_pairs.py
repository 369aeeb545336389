"""What holds between the hosts of every mesh, with relays, rules, sites and peers that are not managed here."""

from ipaddress import ip_address, ip_network
from itertools import combinations
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mesh.config.reader import read_configuration
from mesh.plan.host_payload import payload
from mesh.plan.pair_keys import keys_of, pair_key
from mesh.plan.pairs import EVERYWHERE, Pairs
from mesh.plan.roster_builder import build_roster
from mesh.plan.topology import plan_meshes
from mesh.wireguard.endpoint import ip_version
from mesh.wireguard.keys import generate_preshared_key
from tests.strategies import HOST_KEY

_MESH_KEY = generate_preshared_key()
_NAMES = [f"host-{number}" for number in range(6)]


@st.composite
def meshes(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return `mesh:hosts` and one interface that has whatever the stack file offers."""
    names = draw(st.lists(st.sampled_from(_NAMES), min_size=2, unique=True))
    hosts: dict[str, Any] = {}
    for number, name in enumerate(names, 1):
        hosts[name] = {"ssh": {"address": f"10.0.0.{number}", "hostKey": HOST_KEY}}
        versions = draw(st.sampled_from([(), ("5.0.0.{}",), ("2001:db8::{}",), ("5.0.0.{}", "2001:db8::{}")]))
        if draw(st.integers(0, 3)) == 0:
            hosts[name]["externalName"] = f"{name}.example.org"
        elif versions:
            hosts[name]["externalIps"] = [version.format(number) for version in versions]
        if draw(st.booleans()):
            site = draw(st.sampled_from(["cellar", "attic"]))
            hosts[name] |= {"site": site, "localIps": [f"192.168.1.{number}"]}
    interface: dict[str, Any] = {"hosts": names, "port": 51825}
    if draw(st.booleans()):
        interface |= {"ipv4": "10.20.0.0/24", "members": {n: {"ipv4": f"10.20.0.{i}"} for i, n in enumerate(names, 1)}}
    if draw(st.booleans()):
        ipv4 = {"ipv4": "10.20.0.99"} if "ipv4" in interface else {}
        interface["peers"] = {"laptop": ipv4}
    public = [name for name in names if "externalIps" in hosts[name] or "externalName" in hosts[name]]
    if draw(st.booleans()) and public:
        interface["relay"] = draw(st.sampled_from([*public, "auto"]))
    if draw(st.booleans()):
        hub = draw(st.sampled_from(names))
        interface["peering"] = [{"hub": [hub], "spokes": ["all"]}]
    interface["presharedKeys"] = draw(st.sampled_from(["shared", "pairwise"]))
    _add_routes(draw, interface, hosts)
    if draw(st.booleans()) and public and "ipv4" in interface:
        interface["exitNode"] = draw(st.sampled_from(public))
        if "peering" in interface:
            interface["peering"][0]["hub"] = [interface["exitNode"]]
    return hosts, {"testwg": interface}


def _add_routes(draw: st.DrawFn, interface: dict[str, Any], hosts: dict[str, Any]) -> None:
    """Give some participants networks behind them, but a roaming one in the relay's own site, which is refused."""
    sections = dict.fromkeys(interface["hosts"], "members") | dict.fromkeys(interface.get("peers", {}), "peers")
    public = [name for name in interface["hosts"] if "externalIps" in hosts[name] or "externalName" in hosts[name]]
    named = interface.get("relay", "")
    relay = hosts.get(public[0] if named == "auto" else named, {})
    for number, (name, section) in enumerate(sections.items(), 1):
        own = hosts.get(name, {})
        if not draw(st.booleans()) or (name not in public and own.get("site") and own["site"] == relay.get("site")):
            continue
        routes = [f"2001:db8:{number:x}a::/48", f"2001:db8:{number:x}b:1::/64"]
        if "ipv4" in interface:
            routes += [f"172.16.{number}.0/24"]
        interface.setdefault(section, {}).setdefault(name, {})["routes"] = draw(st.permutations(routes))


def roster_of(mesh: tuple[dict[str, Any], dict[str, Any]]) -> Any:
    """Return the roster of a mesh, in which names stand for public keys."""
    plan = plan_meshes(read_configuration(*mesh))["testwg"]
    names = [participant.name for participant in plan.participants]
    return build_roster(plan, {name: name for name in names}, {name: {"system": "", "ssh": {}} for name in names})


@given(meshes())
def test_each_prefix_has_one_owner_on_every_host(mesh: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """WireGuard would let the last of two peers have it, without a word; those behind a relay count as the relay's."""
    pairs = Pairs(roster_of(mesh))
    for host in pairs.participants:
        owned = [ip_network(text) for peer in pairs.links_of(host) for text in pairs.allowed_ips(host, peer)]
        # Everywhere is what nobody else owns.
        everywhere = [network for network in owned if not network.prefixlen]
        assert len(everywhere) in (0, 2)
        for one, other in combinations([network for network in owned if network.prefixlen], 2):
            assert one.version != other.version or not one.overlaps(other)


@given(meshes(), st.randoms(use_true_random=False))
def test_the_order_of_the_stack_file_decides_nothing(
    mesh: tuple[dict[str, Any], dict[str, Any]], random: Random
) -> None:
    """Neither that of hosts nor that of routes, but for a relay that is left to the program."""
    before = roster_of(mesh)
    interface = mesh[1]["testwg"]
    if interface.get("relay") == "auto":
        interface["relay"] = before["relay"]
    random.shuffle(interface["hosts"])
    for section in ("members", "peers"):
        entries = list(interface.get(section, {}).items())
        random.shuffle(entries)
        interface[section] = dict(entries)
        for _, own in entries:
            random.shuffle(own.get("routes", []))
    assert roster_of(mesh) == before


@given(meshes())
def test_a_network_behind_a_host_is_reached_by_all_its_peers_elsewhere(
    mesh: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    """By one way each, over the relay where that is the way to the host; who is in its site is there already."""
    pairs = Pairs(roster_of(mesh))
    for router, own in pairs.participants.items():
        for host in pairs.peers_of(router):
            site = own.get("site")
            is_near = site is not None and site == pairs.participants[host].get("site")
            for route in own.get("routes", []):
                ways = [peer for peer in pairs.links_of(host) if route in pairs.allowed_ips(host, peer)]
                assert ways == ([] if is_near else [pairs.relay_between(host, router) or router])


@given(meshes())
def test_an_endpoint_is_of_an_ip_version_that_both_hosts_have(mesh: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Where there is one, and else by one that the peer has; within a site they have other addresses."""
    hosts, pairs = mesh[0], Pairs(roster_of(mesh))
    addresses = {name: entry.get("externalIps", []) for name, entry in hosts.items()}
    versions = {name: {ip_address(text).version for text in texts} for name, texts in addresses.items()}
    for host in hosts:
        for peer in set(pairs.peers_of(host)) & set(hosts):
            near = hosts[host].get("site") and hosts[host].get("site") == hosts[peer].get("site")
            if near or not versions[peer]:
                continue
            assert ip_version(pairs.endpoint(host, peer)) in (versions[host] & versions[peer] or versions[peer])


@given(meshes())
def test_all_but_the_exit_node_send_everything_else_there(mesh: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """To it alone, and it knows of each that it forwards for."""
    node = mesh[1]["testwg"].get("exitNode")
    pairs = Pairs(roster_of(mesh))
    for host in pairs.participants:
        ways = [peer for peer in pairs.links_of(host) if set(EVERYWHERE) & set(pairs.allowed_ips(host, peer))]
        assert ways == ([node] if node and host != node else [])
        assert bool(pairs.exit_users(host)) == (host == node)


@given(meshes())
def test_a_host_knows_what_it_seeks_by_name(mesh: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Those that have a name, but for hosts of its own site; and no address is taken for a name."""
    hosts, _ = mesh
    pairs = Pairs(roster_of(mesh))
    for host in hosts:
        for peer in pairs.peers_of(host):
            name = hosts.get(peer, {}).get("externalName", "")
            near = peer in hosts and hosts[host].get("site") and hosts[host].get("site") == hosts[peer].get("site")
            assert pairs.name(host, peer) == ("" if near else name)


@given(meshes())
def test_a_host_sends_to_each_peer_by_one_way(mesh: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """By itself, over the relay, or not at all, and the other end says the same."""
    pairs = Pairs(roster_of(mesh))
    apart = set(pairs.cannot_meet())
    for one, other in pairs:
        ways = [pairs.can_meet(one, other), bool(pairs.relay_between(one, other)), (one, other) in apart]
        assert ways.count(True) == 1
        assert pairs.relay_between(one, other) == pairs.relay_between(other, one)
        assert pairs.can_meet(one, other) == pairs.can_meet(other, one)


@given(meshes())
def test_both_ends_of_a_relayed_pair_reach_the_relay(mesh: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """It has an open way to either, and each sends to it what is for the other."""
    pairs = Pairs(roster_of(mesh))
    for one, other in pairs.relayed_pairs():
        relay = pairs.relay_between(one, other)
        assert pairs.is_relay(relay)
        for end, far in ((one, other), (other, one)):
            assert end in pairs.links_of(relay)
            assert pairs.can_meet(relay, end)
            assert far not in pairs.links_of(end)
            assert set(pairs.allowed_ips(relay, far)) <= set(pairs.allowed_ips(end, relay))


@given(meshes())
def test_of_two_hosts_that_meet_one_speaks_first(mesh: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """And it is one that knows where the other is."""
    roster = roster_of(mesh)
    pairs = Pairs(roster)
    for one, other in pairs:
        turns = {pairs.turn(one, other), pairs.turn(other, one)}
        if not {one, other} <= set(roster["members"]):
            assert turns == {"never"}
        elif pairs.can_meet(one, other):
            assert turns == {"first", "second"}
            speaker, listener = (one, other) if pairs.turn(one, other) == "first" else (other, one)
            assert pairs.endpoint(speaker, listener)
        else:
            assert turns == ({"second", "never"} if pairs.relay_between(one, other) else {"never"})


@given(
    meshes(), st.sampled_from(["a-newcomer", "host-2b", "z-newcomer"]), st.sampled_from(["externalIps", "externalName"])
)
def test_a_newcomer_changes_nothing_between_the_others(
    mesh: tuple[dict[str, Any], dict[str, Any]], name: str, sought: str
) -> None:
    """Whatever its name: no endpoint, relay or prefix changes, but for its own."""
    hosts, interfaces = mesh
    before = Pairs(roster_of(mesh))
    way = {"externalIps": ["5.0.0.9"]} if sought == "externalIps" else {"externalName": "new.example.org"}
    hosts[name] = {"ssh": {"address": "10.0.0.9", "hostKey": HOST_KEY}, **way}
    interfaces["testwg"]["hosts"].append(name)
    if "ipv4" in interfaces["testwg"]:
        interfaces["testwg"]["members"][name] = {"ipv4": "10.20.0.50"}
    after = Pairs(roster_of(mesh))
    assert set(before) <= set(after)
    new = set(after.allowed_ips(name, name))
    for one, other in before:
        for host, peer in ((one, other), (other, one)):
            assert after.endpoint(host, peer) == before.endpoint(host, peer)
            assert after.relay_between(host, peer) == before.relay_between(host, peer)
            assert set(after.allowed_ips(host, peer)) - new == set(before.allowed_ips(host, peer))


@given(meshes())
def test_both_ends_of_a_pair_have_its_key_and_a_third_host_has_not(
    mesh: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    """Where each pair has its own; elsewhere all have one."""
    roster = roster_of(mesh)
    pairs = Pairs(roster)
    held = {host: keys_of(roster, pairs, _MESH_KEY, host) for host in roster["members"]}
    is_pairwise = roster.get("presharedKeys") == "pairwise"
    for one, other in pairs:
        key = pair_key(roster, _MESH_KEY, one, other)
        assert key == pair_key(roster, _MESH_KEY, other, one)
        assert (key != _MESH_KEY) == is_pairwise
        if is_pairwise:
            assert {host for host, keys in held.items() if key in keys} <= {one, other}
    told = {host: payload(roster, host, _MESH_KEY, mesh="m", roster_id="r", digest="p") for host in held}
    assert all((_MESH_KEY in text) != is_pairwise for text in told.values())
