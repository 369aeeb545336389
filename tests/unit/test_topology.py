"""What `mesh.topology` makes of a configuration."""

from datetime import timedelta
from ipaddress import IPv6Interface, IPv6Network
from typing import Any

import pytest

from mesh.config.reader import read_configuration
from mesh.errors import ConfigurationError
from mesh.plan.pairs import Pairs
from mesh.plan.roster_builder import build_roster
from mesh.plan.topology import MeshPlan, PlannedParticipant, plan_meshes

Section = dict[str, Any]


def plan(hosts: Section, interfaces: Section, interface: str = "testwg") -> MeshPlan:
    """Return the plan of one interface."""
    return plan_meshes(read_configuration(hosts, interfaces))[interface]


def test_the_seed_gives_the_plan_of_the_seed(hosts: Section, interfaces: Section) -> None:
    """Addresses, endpoint, port and the roaming host are those of the system before this one."""
    assert plan(hosts, interfaces) == MeshPlan(
        interface="testwg",
        port=51825,
        mtu=1420,
        deadline=60,
        unreachable="stop",
        rotation="1",
        max_key_age=None,
        members=(
            PlannedParticipant(
                "bernard",
                IPv6Interface("fd00:1c86:78d4:dcef::1/64"),
                "78.11.11.11:51825",
                0,
                "1.1",
                IPv6Network("fd00:1c86:78d4:dcef::/64"),
            ),
            PlannedParticipant(
                "edgeworth",
                IPv6Interface("fd00:cac2:10cb:6ee9::1/64"),
                None,
                25,
                "1.1",
                IPv6Network("fd00:cac2:10cb:6ee9::/64"),
            ),
        ),
    )


def test_an_ipv6_endpoint_is_in_brackets(hosts: Section, interfaces: Section) -> None:
    """The wg tool cuts at the last colon, so an address without brackets would be another one."""
    hosts["bernard"]["externalIps"] = ["2001:DB8:0::1", "78.11.11.11"]
    assert plan(hosts, interfaces).member("bernard").endpoint == "[2001:db8::1]:51825"


def test_an_endpoint_has_the_port_that_is_forwarded_to_the_host(hosts: Section, interfaces: Section) -> None:
    """It listens on the port of the mesh all the same."""
    interfaces["testwg"]["members"] = {"bernard": {"externalPort": 40000}}
    found = plan(hosts, interfaces)
    assert found.member("bernard").endpoint == "78.11.11.11:40000"
    assert found.port == 51825


def test_an_endpoint_can_be_a_name(hosts: Section, interfaces: Section) -> None:
    """So it is not roaming; a router may forward a port to it, and its own site has a shorter way."""
    hosts["edgeworth"] |= {"externalName": "Edgeworth.example.org", "site": "home", "localIps": ["192.168.1.5"]}
    interfaces["testwg"]["members"] = {"edgeworth": {"externalPort": 40000}}
    found = plan(hosts, interfaces)
    assert found.member("edgeworth").endpoint == "edgeworth.example.org:40000"
    assert found.member("edgeworth").persistent_keepalive == 0
    assert pairs(found).endpoint("bernard", "edgeworth") == "edgeworth.example.org:40000"
    assert pairs(found).name("bernard", "edgeworth") == "edgeworth.example.org"
    assert pairs(found).name("edgeworth", "bernard") == ""
    hosts["bernard"]["site"] = "home"
    assert pairs(plan(hosts, interfaces)).endpoint("bernard", "edgeworth") == "192.168.1.5:51825"
    assert pairs(plan(hosts, interfaces)).name("bernard", "edgeworth") == ""


def test_a_relay_that_is_chosen_is_the_first_listed_host_with_an_endpoint(hosts: Section, interfaces: Section) -> None:
    """Names and kinds of addresses decide nothing, so that a host that is added behind it never takes over."""
    hosts["athena"] = {
        "externalName": "athena.example.org",
        "ssh": {**hosts["edgeworth"]["ssh"], "address": "10.0.0.7"},
    }
    interfaces["testwg"] |= {"hosts": ["edgeworth", "bernard", "athena"], "relay": "auto"}
    assert plan(hosts, interfaces).relay == "bernard"
    interfaces["testwg"]["hosts"] = ["edgeworth", "athena", "bernard"]
    assert plan(hosts, interfaces).relay == "athena"


def test_hosts_of_one_site_meet_though_both_are_roaming(hosts: Section, interfaces: Section) -> None:
    """One local endpoint is enough; elsewhere it is not used."""
    hosts["bernard"] |= {"externalIps": [], "site": "home", "localIps": ["192.168.1.5"]}
    hosts["edgeworth"]["site"] = "home"
    found = plan(hosts, interfaces)
    assert found.member("bernard").local_endpoint == "192.168.1.5:51825"
    assert pairs(found).cannot_meet() == []
    hosts["edgeworth"]["site"] = "office"
    assert pairs(plan(hosts, interfaces)).cannot_meet() == [("bernard", "edgeworth")]


def test_only_roaming_hosts_send_keepalives_unless_told(hosts: Section, interfaces: Section) -> None:
    """The side behind NAT keeps the mapping open; the other has nothing to keep."""
    members = plan(hosts, interfaces).members
    assert [(m.name, m.is_roaming, m.persistent_keepalive) for m in members] == [
        ("bernard", False, 0),
        ("edgeworth", True, 25),
    ]


@pytest.mark.parametrize(
    ("of_interface", "of_edgeworth", "expected"),
    [
        (None, None, {"bernard": 0, "edgeworth": 25}),
        (40, None, {"bernard": 40, "edgeworth": 40}),
        ("off", None, {"bernard": 0, "edgeworth": 0}),
        (40, "off", {"bernard": 40, "edgeworth": 0}),
        ("off", 15, {"bernard": 0, "edgeworth": 15}),
        (None, 15, {"bernard": 0, "edgeworth": 15}),
    ],
)
def test_the_keepalive_nearest_to_the_host_counts(
    hosts: Section, interfaces: Section, of_interface: object, of_edgeworth: object, expected: dict[str, int]
) -> None:
    """A member's own word comes before the interface's, and that before the default."""
    if of_interface is not None:
        interfaces["testwg"]["persistentKeepalive"] = of_interface
    if of_edgeworth is not None:
        interfaces["testwg"]["members"] = {"edgeworth": {"persistentKeepalive": of_edgeworth}}
    assert {m.name: m.persistent_keepalive for m in plan(hosts, interfaces).members} == expected


def test_either_rotation_renews_a_key(hosts: Section, interfaces: Section) -> None:
    """Raising the interface's rotation renews every key, raising a member's renews that one."""
    interfaces["testwg"] |= {"rotation": 4, "members": {"edgeworth": {"rotation": 2}}}
    planned = plan(hosts, interfaces)
    assert {m.name: m.rotation for m in planned.members} == {"bernard": "4.1", "edgeworth": "4.2"}
    assert planned.rotation == "4"


def test_the_rotation_of_all_interfaces_renews_every_key(hosts: Section, interfaces: Section) -> None:
    """Where it was never raised, nothing tells of it, so that states of before stay as they are."""
    interfaces["other"] = {"hosts": ["bernard"], "port": 51900}
    plans = plan_meshes(read_configuration(hosts, interfaces, "3"))
    assert {(name, each.rotation, each.member("bernard").rotation) for name, each in plans.items()} == {
        ("testwg", "1@3", "1.1@3"),
        ("other", "1@3", "1.1@3"),
    }
    assert plan_meshes(read_configuration(hosts, interfaces, "1")) == plan_meshes(read_configuration(hosts, interfaces))


@pytest.mark.parametrize("rotation", ["0", "-1", "two", "1.5", '{"a": 1}'])
def test_a_rotation_of_all_interfaces_that_is_no_number_is_a_fault(
    hosts: Section, interfaces: Section, rotation: str
) -> None:
    """Told with the other faults."""
    with pytest.raises(ConfigurationError, match="mesh:rotation: not usable; give a whole number from 1 up"):
        read_configuration(hosts, interfaces, rotation)


def test_the_smallest_link_decides_how_large_packets_are(hosts: Section, interfaces: Section) -> None:
    """Unless the interface says it; a link that carries more than others do changes nothing."""
    hosts["bernard"]["linkMtu"] = 9000
    assert plan(hosts, interfaces).mtu == 1420
    hosts["edgeworth"]["linkMtu"] = 1460
    assert plan(hosts, interfaces).mtu == 1380
    interfaces["testwg"]["mtu"] = 1400
    assert plan(hosts, interfaces).mtu == 1400


def test_what_concerns_the_whole_mesh_is_carried_over(hosts: Section, interfaces: Section) -> None:
    """Size, deadline, age and what to do about silent hosts reach the plan."""
    interfaces["testwg"] |= {"mtu": 1280, "deadline": 90, "maxKeyAge": "180d", "unreachable": "skip"}
    planned = plan(hosts, interfaces)
    assert (planned.mtu, planned.deadline, planned.unreachable) == (1280, 90, "skip")
    assert planned.max_key_age == timedelta(days=180)


def pairs(plan: MeshPlan) -> Pairs:
    """Return the pairs of a plan."""
    names = [participant.name for participant in plan.participants]
    return Pairs(build_roster(plan, {name: name for name in names}, {name: {} for name in names}))


def test_two_roaming_hosts_are_named_as_a_pair_that_cannot_meet(hosts: Section, interfaces: Section) -> None:
    """Neither can send the first packet, and the plan says so."""
    hosts["cody"] = {"ssh": hosts["edgeworth"]["ssh"] | {"address": "10.0.0.7"}}
    interfaces["testwg"]["hosts"] = ["edgeworth", "cody", "bernard"]
    found = pairs(plan(hosts, interfaces))
    assert list(found) == [("bernard", "cody"), ("bernard", "edgeworth"), ("cody", "edgeworth")]
    assert found.cannot_meet() == [("cody", "edgeworth")]


def test_meshes_are_planned_apart_and_sorted(hosts: Section, interfaces: Section) -> None:
    """Each interface has its own port and its own subnets on the same hosts."""
    interfaces["backup"] = {"hosts": ["bernard", "edgeworth"]}
    plans = plan_meshes(read_configuration(hosts, interfaces))
    assert [(name, found.port) for name, found in plans.items()] == [("backup", 51824), ("testwg", 51825)]
    assert plans["backup"].member("bernard").address != plans["testwg"].member("bernard").address
    assert plans["backup"].member("bernard").endpoint == "78.11.11.11:51824"


def test_a_fixed_address_replaces_the_derived_one(hosts: Section, interfaces: Section) -> None:
    """In canonical form, with its own subnet; the other host keeps its place."""
    interfaces["testwg"]["members"] = {"bernard": {"address": "fd12:0:0::0a/80"}}
    bernard, edgeworth = plan(hosts, interfaces).members
    assert (str(bernard.address), str(bernard.subnet)) == ("fd12::a/80", "fd12::/80")
    assert str(edgeworth.address) == "fd00:cac2:10cb:6ee9::1/64"


def test_hosts_with_addresses_in_one_subnet_own_their_addresses(hosts: Section, interfaces: Section) -> None:
    """Peers would not know otherwise whom of them to send to."""
    interfaces["testwg"]["members"] = {"bernard": {"address": "fd12::1/64"}, "edgeworth": {"address": "fd12::2/64"}}
    assert [str(member.subnet) for member in plan(hosts, interfaces).members] == ["fd12::1/128", "fd12::2/128"]


def test_a_chosen_prefix_holds_the_mesh(hosts: Section, interfaces: Section) -> None:
    """Also the peers that are not managed, but no fixed address."""
    interfaces["testwg"] |= {
        "prefix": "2001:db8:77::/48",
        "peers": {"phone": {}},
        "members": {"edgeworth": {"address": "fd12::1/64"}},
    }
    found = {participant.name: participant.subnet for participant in plan(hosts, interfaces).participants}
    assert found["edgeworth"] == IPv6Network("fd12::/64")
    assert all(found[name].subnet_of(IPv6Network("2001:db8:77::/48")) for name in ("bernard", "phone"))


def test_the_second_ip_version_of_a_host_is_kept(hosts: Section, interfaces: Section) -> None:
    """For peers that have that one only; further addresses of one version are not used."""
    hosts["bernard"]["externalIps"] = ["78.11.11.11", "78.11.11.12", "2001:db8::1"]
    member = plan(hosts, interfaces).member("bernard")
    assert (member.endpoint, member.other_endpoint) == ("78.11.11.11:51825", "[2001:db8::1]:51825")
