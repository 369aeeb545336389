"""Networks behind hosts and exit nodes: what is refused, what hosts are told, and how it reads."""

import time
from typing import Any

import pytest

from mesh.config.reader import read_configuration
from mesh.errors import ConfigurationError
from mesh.plan.host_payload import payload
from mesh.plan.pairs import EVERYWHERE, Pairs
from mesh.plan.peer_config import peer_file
from mesh.plan.roster_builder import build_roster
from mesh.plan.roster_diff import describe_changes
from mesh.plan.topology import plan_meshes
from mesh.remote.reports import Difference, Facts
from mesh.rollout.verification import find_faults
from tests.strategies import HOST_KEY

_LAN, _LAN6 = "192.168.10.0/24", "2001:db8:5::/64"
_KEY = "K" * 43 + "="


def _hosts() -> dict[str, Any]:
    """Return two public hosts, two roaming ones, and one that is in the network behind bernard."""
    hosts: dict[str, Any] = {
        "bernard": {"externalIps": ["192.0.2.1"], "site": "berlin", "localIps": ["192.168.10.1"]},
        "carol": {"externalIps": ["192.0.2.2"]},
        "edgeworth": {},
        "frank": {},
        "files": {"site": "berlin", "localIps": ["192.168.10.7"]},
    }
    for number, host in enumerate(hosts.values(), 1):
        host["ssh"] = {"address": f"10.0.0.{number}", "hostKey": HOST_KEY}
    return hosts


def _interface(**settings: Any) -> dict[str, Any]:
    members: dict[str, Any] = {name: {"ipv4": f"10.20.0.{number}"} for number, name in enumerate(_hosts(), 1)}
    for host, own in settings.pop("members", {}).items():
        members.setdefault(host, {}).update(own)
    return {"hosts": list(_hosts()), "ipv4": "10.20.0.0/24", "members": members, **settings}


def _faults(*interfaces: dict[str, Any], hosts: dict[str, Any] | None = None) -> list[str]:
    named = dict(zip(("testwg", "backwg"), interfaces, strict=False))
    try:
        read_configuration(hosts or _hosts(), named)
    except ConfigurationError as error:
        return [fault.removeprefix("mesh:interfaces.") for fault in error.faults]
    return []


def _roster(hosts: dict[str, Any] | None = None, **settings: Any) -> Any:
    plan = plan_meshes(read_configuration(hosts or _hosts(), {"testwg": _interface(**settings)}))["testwg"]
    names = [participant.name for participant in plan.participants]
    login = {"system": "", "ssh": {"address": "a", "port": 22}}
    return build_roster(plan, {name: name.ljust(43, "x") + "=" for name in names}, dict.fromkeys(names, login))


def _told(roster: Any, host: str) -> list[str]:
    lines = payload(roster, host, _KEY, mesh="m", roster_id="r", digest="p").splitlines()
    return [line for line in lines if line.split()[0] in ("behind", "exit", "forward", "forward-ipv4")]


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        (
            {"bernard": {"routes": [_LAN]}, "carol": {"routes": ["192.168.10.128/25"]}},
            (
                "testwg.members.carol.routes: 192.168.10.128/25 and 192.168.10.0/24, behind 'bernard', overlap; leave "
                "each address to the one that gets the packets"
            ),
        ),
        (
            {"bernard": {"routes": [_LAN6, "2001:db8:5:0:1::/80"]}},
            (
                "testwg.members.bernard.routes: 2001:db8:5:0:1::/80 is in another prefix of the list, or there twice; "
                "leave one of the two out"
            ),
        ),
        (
            {"carol": {"routes": ["10.0.0.0/8"]}},
            (
                "testwg.members.carol.routes: 10.0.0.0/8 and 10.20.0.0/24, the ipv4 of interface 'testwg', overlap; "
                "choose another one there"
            ),
        ),
        (
            {"carol": {"routes": ["fd00:aaaa::/32"]}, "edgeworth": {"address": "fd00:aaaa:0:1::1/64"}},
            (
                "testwg.members.carol.routes: fd00:aaaa::/32 and fd00:aaaa:0:1::/64, of 'edgeworth' inside the mesh, "
                "overlap; route to networks outside the mesh only"
            ),
        ),
        (
            {"bernard": {"routes": ["192.0.2.0/28"]}},
            (
                "testwg.members.bernard.routes: 192.0.2.1, an external address of host 'bernard', is in 192.0.2.0/28; "
                "a tunnel cannot carry itself, so route to narrower prefixes without that address"
            ),
        ),
        (
            {"carol": {"routes": ["192.168.10.0/29"]}},
            (
                "testwg.members.carol.routes: 192.168.10.1, a local address of host 'bernard', is in 192.168.10.0/29; "
                "if that is one network, give both one site, else give one of the two networks another prefix"
            ),
        ),
        (
            {"carol": {"routes": ["192.168.10.1"]}},
            (
                "testwg.members.carol.routes[0]: not a prefix; give one such as 192.168.10.0/24 or 2001:db8:5::/64, "
                "without host bits"
            ),
        ),
        (
            {"carol": {"routes": ["0.0.0.0/0"]}},
            (
                "testwg.members.carol.routes[0]: wider than /8 (IPv4) or /16 (IPv6); for a default "
                "route, name this host as exitNode"
            ),
        ),
        (
            {"carol": {"routes": ["fe80::/64"]}},
            (
                "testwg.members.carol.routes[0]: not a network that can be routed to; give the prefix that machines "
                "behind the host have"
            ),
        ),
        (
            {"carol": {"masquerade": True}},
            (
                "testwg.members.carol.masquerade: nothing is behind 'carol'; give it routes, name it as exitNode, or "
                "remove this line"
            ),
        ),
    ],
    ids=lambda value: value.split(": ", 1)[1][:40] if isinstance(value, str) else "",
)
def test_a_route_that_cannot_be_is_refused_with_both_sides(members: dict[str, Any], fault: str) -> None:
    """WireGuard would let the last one win, and nobody would notice."""
    assert fault in _faults(_interface(members=members))


def test_two_meshes_that_share_a_host_share_its_routing_table() -> None:
    """Elsewhere both may route to the same network."""
    one = _interface(members={"bernard": {"routes": [_LAN]}})
    other = {"hosts": ["carol", "frank"], "port": 51826, "ipv4": "10.30.0.0/24"}
    other["members"] = {"carol": {"ipv4": "10.30.0.1", "routes": [_LAN]}, "frank": {"ipv4": "10.30.0.2"}}
    assert [fault for fault in _faults(one, other) if "behind 'bernard' on interface 'testwg'" in fault]
    one["hosts"] = ["bernard", "edgeworth", "files"]
    one["members"] = {name: one["members"][name] for name in one["hosts"]}
    assert _faults(one, other) == []


def test_a_peer_that_is_not_managed_may_route_and_counts_as_an_owner() -> None:
    """Its endpoint must not be behind anybody, and its network only behind itself."""
    router = {"ipv4": "10.20.0.9", "endpoint": "203.0.113.9:51820", "routes": ["192.168.30.0/24"]}
    assert _faults(_interface(peers={"router": router})) == []
    members = {"carol": {"routes": ["192.168.30.0/25", "203.0.113.0/24"]}}
    first, second = sorted(_faults(_interface(peers={"router": router}, members=members)))
    assert "203.0.113.9:51820, the endpoint of peer 'router', is in 203.0.113.0/24" in first
    assert "192.168.30.0/24 and 192.168.30.0/25, behind 'carol', overlap" in second


def test_ipv4_needs_addresses_inside_the_mesh() -> None:
    """A network of IPv4 has nobody to answer to otherwise, and an exit node would let IPv4 go by another way."""
    bare: dict[str, Any] = {"hosts": list(_hosts()), "members": {"bernard": {"routes": [_LAN]}}}
    assert [
        fault for fault in _faults(bare) if "192.168.10.0/24 is IPv4, and the interface has no ipv4 prefix" in fault
    ]
    assert [
        fault for fault in _faults({"hosts": list(_hosts()), "exitNode": "bernard"}) if "IPv4 would not go" in fault
    ]
    bare["members"]["bernard"]["routes"] = [_LAN6]
    assert _faults(bare) == []


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"exitNode": "nobody"}, "testwg.exitNode: 'nobody' is no host of this interface; name one that is, or off"),
        (
            {"members": {"carol": {"exitNode": "carol"}}},
            "testwg.members.carol.exitNode: 'carol' itself; name another host, or off",
        ),
        (
            {"exitNode": "carol", "members": {"carol": {"exitNode": "bernard"}, "bernard": {"exitNode": "off"}}},
            (
                "testwg.exitNode: 'carol' uses an exit node too, 'bernard', and packets would not leave there; name "
                "'bernard' here, or let 'carol' have it off"
            ),
        ),
        (
            {"members": {name: {"exitNode": "carol"} for name in ("bernard", "carol")}},
            "testwg.members.carol.exitNode: 'carol' itself; name another host, or off",
        ),
        (
            {"exitNode": "phone", "peers": {"phone": {"ipv4": "10.20.0.9"}}},
            "testwg.exitNode: 'phone' is not managed here, so nothing can be set up there; name a host, or off",
        ),
        (
            {"members": {"frank": {"exitNode": "edgeworth"}}},
            (
                "testwg.members.frank.exitNode: 'frank' and 'edgeworth' are both roaming and cannot meet, and over a "
                "relay there is no default route; give testwg.members.frank.exitNode another one, or off"
            ),
        ),
        (
            {"exitNode": "bernard", "peering": [{"hub": ["carol"], "spokes": ["all"]}]},
            (
                "testwg.exitNode: no rule of peering makes 'frank' a peer of 'bernard'; add one, or give "
                "testwg.members.frank.exitNode another one, or off"
            ),
        ),
        (
            {"members": {"bernard": {"exitNode": "carol"}, "carol": {"exitNode": "bernard"}}},
            (
                "testwg.members.bernard.exitNode: 'carol' uses an exit node too, 'bernard', and packets would not "
                "leave there; let 'carol' have it off"
            ),
        ),
        (
            {
                "members": {
                    "frank": {"exitNode": "edgeworth"},
                    "edgeworth": {"exitNode": "carol"},
                    "carol": {"exitNode": "bernard"},
                }
            },
            (
                "testwg.members.frank.exitNode: 'edgeworth' uses an exit node too, 'carol', and packets would not "
                "leave there; name 'bernard' here, or let 'edgeworth' have it off"
            ),
        ),
        ({"exitNode": 5}, "testwg.exitNode: not an exit node; give the name of a host of this interface, or off"),
    ],
)
def test_an_exit_node_that_cannot_be_used_is_refused(settings: dict[str, Any], fault: str) -> None:
    """Else packets would go nowhere, or another way than the file says."""
    assert fault in [told.replace("mesh:interfaces.", "") for told in _faults(_interface(**settings))]


def test_a_host_has_one_way_to_everywhere() -> None:
    """Two interfaces that share a host cannot both be it."""
    other = {"hosts": ["carol", "frank"], "port": 51826, "ipv4": "10.30.0.0/24", "exitNode": "carol"}
    other["members"] = {"carol": {"ipv4": "10.30.0.1"}, "frank": {"ipv4": "10.30.0.2"}}
    assert _faults(_interface(exitNode="bernard"), other) == [
        (
            "backwg.members.frank.exitNode: host 'frank' uses 'carol' here and 'bernard' on interface 'testwg'; let "
            "one of the two be off"
        )
    ]


def test_a_range_around_a_hosts_own_address_is_sent_to_it_and_not_handed_on() -> None:
    """Some tools give each host a range of the mesh's addresses; whoever else has an address in it is in the way."""
    interface = _interface(ipv4="10.20.0.0/16", members={"carol": {"ipv4": "10.20.5.1", "routes": ["10.20.5.0/24"]}})
    assert _faults(interface) == []
    roster = _roster(ipv4="10.20.0.0/16", members=interface["members"])
    assert "10.20.5.0/24" in Pairs(roster).allowed_ips("bernard", "carol")
    assert _told(roster, "carol") == []
    assert Pairs(roster).tools("carol") == ()
    interface["members"]["frank"]["ipv4"] = "10.20.5.9"
    assert _faults(interface) == [
        (
            "testwg.members.carol.routes: 10.20.5.0/24 and 10.20.0.0/16, the ipv4 of interface 'testwg', overlap; "
            "choose another one there"
        )
    ]


def test_an_own_address_is_no_route() -> None:
    """Nor is what is inside an own subnet: it is sent there anyway."""
    own = {"ipv4": "10.20.0.2", "routes": ["10.20.0.2/32", "fd00:aaaa:0:1::/80"], "address": "fd00:aaaa:0:1::1/64"}
    assert len(_faults(_interface(members={"carol": own}))) == 2
    own["routes"] = ["fd00:aaaa::/48"]
    assert _faults(_interface(members={"carol": own})) == []


def test_who_is_in_the_network_already_takes_no_route_to_it() -> None:
    """Hosts of the router's site; all others send it there."""
    pairs = Pairs(_roster(members={"bernard": {"routes": [_LAN, _LAN6]}}))
    own = pairs.allowed_ips("files", "bernard")
    assert _LAN not in own
    for host in ("carol", "edgeworth", "frank"):
        assert pairs.allowed_ips(host, "bernard") == (*own, _LAN, _LAN6)


def test_routes_of_a_roaming_router_are_reached_over_the_relay() -> None:
    """The relay's entry owns them, and the relay itself hands on by both IP versions."""
    roster = _roster(relay="carol", members={"edgeworth": {"routes": ["192.168.40.0/24"]}})
    pairs = Pairs(roster)
    assert "192.168.40.0/24" in pairs.allowed_ips("frank", "carol")
    assert "192.168.40.0/24" in pairs.allowed_ips("carol", "edgeworth")
    assert _told(roster, "carol") == ["forward yes", "forward-ipv4 yes"]
    assert _told(roster, "edgeworth") == ["behind 192.168.40.0/24 plain"]


@pytest.mark.parametrize(
    ("masquerade", "told"),
    [
        (None, [f"behind {_LAN} plain", "exit masquerade"]),
        (True, [f"behind {_LAN} masquerade", "exit masquerade"]),
        (False, [f"behind {_LAN} plain", "exit plain"]),
    ],
)
def test_an_exit_node_masquerades_and_a_router_does_not_unless_told(masquerade: bool | None, told: list[str]) -> None:
    """Addresses inside a mesh are nobody's in the world; a network next door can have a route back."""
    own: dict[str, Any] = {"routes": [_LAN]}
    if masquerade is not None:
        own["masquerade"] = masquerade
    assert _told(_roster(exitNode="bernard", members={"bernard": own}), "bernard") == told


def test_everything_goes_to_the_exit_node_but_from_itself_and_who_has_it_off() -> None:
    """A phone has it in its file too."""
    roster = _roster(exitNode="bernard", members={"carol": {"exitNode": False}}, peers={"phone": {"ipv4": "10.20.0.9"}})
    pairs = Pairs(roster)
    assert pairs.exit_users("bernard") == ["edgeworth", "files", "frank", "phone"]
    assert pairs.allowed_ips("frank", "bernard")[-2:] == EVERYWHERE
    assert "0.0.0.0/0" not in pairs.allowed_ips("carol", "bernard")
    assert "0.0.0.0/0, ::/0" in peer_file(roster, "phone", None, _KEY)
    assert _told(roster, "carol") == []


def test_what_no_mesh_has_is_in_no_roster() -> None:
    """A newer version of mesh changes no stack that does not use it."""
    entries = _roster()["members"].values()
    assert not any({"routes", "masquerade", "exitNode"} & entry.keys() for entry in entries)


def test_a_change_reads_as_who_routes_and_who_uses_what() -> None:
    """In both directions."""
    before = _roster()
    after = _roster(exitNode="carol", members={"bernard": {"routes": [_LAN], "exitNode": "off", "masquerade": True}})
    lines = describe_changes(before, after)
    assert f"+ bernard routes {_LAN}" in lines
    assert "~ bernard masquerades: by default becomes always" in lines
    assert "+ frank uses carol as exit node" in lines
    back = describe_changes(after, before)
    assert f"- bernard no longer routes {_LAN}" in back
    assert "- frank no longer uses carol as exit node" in back
    other = _roster(exitNode="bernard", members={"carol": {"exitNode": "off"}})
    assert "+ frank uses bernard as exit node instead of carol" in describe_changes(after, other)


def test_the_verification_fails_where_a_host_does_not_forward() -> None:
    """Pings between hosts would not show it."""
    roster = _roster(members={"bernard": {"routes": [_LAN]}})
    said = [
        str(fault)
        for fault in find_faults(
            roster, {"bernard": Facts(differences=(Difference("forwarding"), Difference("masquerade")))}, ()
        )
        if "forward" in fault.cause
    ]
    assert said == [
        f"bernard: no longer routes {_LAN}, since forwarding is off or denied; pulumi up --refresh allows it again",
        "bernard: no longer masquerades what it forwards; pulumi up --refresh sets it up again",
    ]


@pytest.mark.parametrize("relay", ["bernard", "auto"])
def test_a_relay_in_the_site_of_a_roaming_router_takes_no_route_from_it(relay: str) -> None:
    """Named or left to the program: it is in that network already, and would drop what others send there."""
    members = {"files": {"routes": ["192.168.40.0/24"]}}
    [fault] = _faults(_interface(relay=relay, members=members))
    assert fault == (
        "testwg.members.files.routes: 'bernard', the relay, is in the same site and takes no route from 'files'; give "
        "these routes to the relay"
    )
    assert _faults(_interface(relay="carol", members=members)) == []


@pytest.mark.parametrize("form", ["10.{}.{}.0/24", "fd01:{}:{}::/64"])
def test_a_network_behind_every_host_costs_no_preview_its_patience(form: str) -> None:
    """What all are compared with is worked out once, and not for each of them."""
    names = [f"host-{number}" for number in range(400)]
    hosts: dict[str, Any] = {}
    members: dict[str, Any] = {}
    for number, name in enumerate(names):
        address = f"198.51.{number // 250}.{number % 250 + 1}"
        hosts[name] = {"externalIps": [address], "ssh": {"address": address, "hostKey": HOST_KEY}}
        own = f"172.20.{number // 250}.{number % 250 + 1}"
        members[name] = {"ipv4": own, "routes": [form.format(number // 250, number % 250)]}
    began = time.process_time()
    read_configuration(hosts, {"testwg": {"hosts": names, "ipv4": "172.20.0.0/16", "members": members}})
    assert time.process_time() - began < 5
