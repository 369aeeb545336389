"""Endpoints in the stack file: each leads to one machine, outside of the mesh."""

from typing import Any

import pytest

from mesh.config.models import Configuration
from mesh.config.reader import read_configuration
from mesh.errors import ConfigurationError
from mesh.wireguard.keys import generate_key_pair

Section = dict[str, Any]
KEYS = [generate_key_pair().public_key for _ in range(2)]


def told(hosts: Section, interfaces: Section) -> list[str]:
    """Return the faults of a stack file without their advice; none if it is taken."""
    try:
        assert isinstance(read_configuration(hosts, interfaces), Configuration)
    except ConfigurationError as error:
        return [fault.rpartition("; ")[0] for fault in error.faults]
    return []


@pytest.mark.parametrize(
    ("place", "field"),
    [("mesh:hosts.edgeworth", "externalIps"), ("mesh:hosts.edgeworth", "localIps"), ("peers.router", "endpoint")],
)
@pytest.mark.parametrize("length", [64, 112])
def test_an_endpoint_in_a_subnet_that_hosts_share_is_refused(
    hosts: Section, interfaces: Section, place: str, field: str, length: int
) -> None:
    """Each host owns its address only, and the tunnel has the route to all of the subnet."""
    mesh = interfaces["testwg"]
    mesh["members"] = {
        "bernard": {"address": f"fd00:1::1/{length}"},
        "edgeworth": {"address": f"fd00:1::2/{length}"},
    }
    if field == "endpoint":
        place = f"mesh:interfaces.testwg.{place}"
        mesh["peers"] = {"router": {"endpoint": "[fd00:1::9]:51820"}}
    else:
        hosts["edgeworth"] |= {field: ["fd00:1::9"], "site": "home"}
    assert told(hosts, interfaces) == [
        f"{place}.{field}: fd00:1::9 is inside the mesh, in the subnet of host 'bernard' on interface 'testwg'"
    ]


def test_an_endpoint_beside_a_fixed_address_is_taken(hosts: Section, interfaces: Section) -> None:
    """As long as it is in no subnet of the mesh."""
    interfaces["testwg"]["members"] = {"bernard": {"address": "2001:db8::1/128"}}
    hosts["edgeworth"]["externalIps"] = ["2001:db8::2"]
    assert told(hosts, interfaces) == []


def peers(interfaces: Section, **named: Section) -> None:
    """Give the interface these peers."""
    interfaces["testwg"]["peers"] = named


@pytest.mark.parametrize("name", ["router.example.org", "Router.example.org", "router.example.org.", "192.0.2.9"])
def test_two_peers_do_not_answer_at_one_endpoint(hosts: Section, interfaces: Section, name: str) -> None:
    """Which of two machines would get the packets, nobody could say; another port is another place."""
    first = "192.0.2.9:1" if name == "192.0.2.9" else "router.example.org:1"
    peers(interfaces, one={"endpoint": first}, two={"endpoint": f"{name}:1"})
    [fault] = told(hosts, interfaces)
    assert fault.startswith("mesh:interfaces.testwg.peers.two.endpoint: ")
    assert fault.endswith(" is the endpoint of peer 'one' too")
    peers(interfaces, one={"endpoint": first}, two={"endpoint": f"{name}:2"})
    assert told(hosts, interfaces) == []


def test_a_peer_does_not_answer_where_a_host_does(hosts: Section, interfaces: Section) -> None:
    """With the port that peers send to, by any of its addresses or its name."""
    hosts["bernard"]["externalIps"] = ["78.11.11.11", "2001:db8::1"]
    hosts["edgeworth"]["externalName"] = "home.example.org"
    interfaces["testwg"]["members"] = {"edgeworth": {"externalPort": 40000}}
    peers(
        interfaces,
        four={"endpoint": "78.11.11.11:51825"},
        six={"endpoint": "[2001:db8::1]:51825"},
        name={"endpoint": "home.example.org:40000"},
        apart={"endpoint": "home.example.org:51825"},
        beside={"endpoint": "78.11.11.11:51820"},
    )
    place = "mesh:interfaces.testwg.peers"
    assert told(hosts, interfaces) == [
        f"{place}.four.endpoint: 78.11.11.11:51825 is the endpoint of host 'bernard' too",
        f"{place}.six.endpoint: [2001:db8::1]:51825 is the endpoint of host 'bernard' too",
        f"{place}.name.endpoint: home.example.org:40000 is the endpoint of host 'edgeworth' too",
    ]


@pytest.mark.parametrize(
    ("one", "other", "is_taken"),
    [
        (("router", KEYS[0]), ("router", KEYS[0]), True),
        (("router", None), ("router", None), True),
        (("router", KEYS[0]), ("gateway", KEYS[0]), True),
        (("router", KEYS[0]), ("gateway", KEYS[1]), False),
        (("router", None), ("gateway", None), False),
    ],
)
def test_one_machine_may_be_a_peer_of_two_interfaces(
    hosts: Section, interfaces: Section, one: tuple[str, str], other: tuple[str, str], is_taken: bool
) -> None:
    """It is one by its name, or by its key."""
    interfaces["second"] = {"hosts": ["bernard"], "port": 51900}
    for mesh, (name, key) in (("testwg", one), ("second", other)):
        entry = {"endpoint": "192.0.2.9:1", **({"publicKey": key} if key else {})}
        interfaces[mesh]["peers"] = {name: entry}
    assert (told(hosts, interfaces) == []) == is_taken


WORDS = [
    ("all", {"peering": [{"group": ["all"]}]}, "peering[0].group: all means everyone, and is the name of one here too"),
    (
        "all",
        {"peering": [{"hub": ["bernard"], "spokes": ["all"]}]},
        "peering[0].spokes: all means everyone, and is the name of one here too",
    ),
    (
        "auto",
        {"relay": "auto"},
        "relay: auto means the first host with an endpoint, and is the name of a host too",
    ),
    ("off", {"exitNode": "off"}, "exitNode: off means none, and is the name of a host here too"),
    ("off", {"exitNode": False}, "exitNode: off means none, and is the name of a host here too"),
    (
        "off",
        {"members": {"bernard": {"exitNode": "off"}}},
        "members.bernard.exitNode: off means none, and is the name of a host here too",
    ),
    (
        "off",
        {"peers": {"phone": {"exitNode": "off"}}},
        "peers.phone.exitNode: off means none, and is the name of a host here too",
    ),
]


@pytest.mark.parametrize(("name", "settings", "fault"), WORDS)
def test_a_host_that_is_named_as_a_word_of_the_file_is_refused_where_that_is_used(
    hosts: Section, interfaces: Section, name: str, settings: Section, fault: str
) -> None:
    """Nobody could say which is meant; where the word is not used, it is a name as any other."""
    hosts[name] = {"ssh": {**hosts["bernard"]["ssh"], "port": 2222}}
    interfaces["testwg"] |= {"hosts": [*hosts], **settings}
    assert told(hosts, interfaces) == [f"mesh:interfaces.testwg.{fault}"]
    interfaces["testwg"]["hosts"].remove(name)
    assert told(hosts, interfaces) == []
    interfaces["testwg"] = {"hosts": [*hosts]}
    assert told(hosts, interfaces) == []


def test_a_peer_is_not_everyone_either(hosts: Section, interfaces: Section) -> None:
    """A rule of peering may name it."""
    interfaces["testwg"] |= {"peers": {"all": {}}, "peering": [{"group": ["all"]}]}
    assert len(told(hosts, interfaces)) == 1


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("hosts", ["bernard", 5], "hosts[1]: not a text; give the name of a host, in quotes if it is a number"),
        ("forgotten", [True], "forgotten[0]: not a text; give the name of a host, in quotes if it is a number"),
        (
            "peering",
            [{"group": [5, "bernard"]}],
            "peering[0].group[0]: not a text; give a host, tag:NAME or all, in quotes if it is a number",
        ),
        ("peering", [5], "peering[0]: not usable; give a mapping of group, hub, spokes"),
        (
            "peers",
            {"phone": {"tags": [5]}},
            "peers.phone.tags[0]: not a text; give a text of 1 to 64 characters, in quotes if it is a number",
        ),
        ("peers", {"phone": {"tags": [""]}}, "peers.phone.tags[0]: not usable; give a text of 1 to 64 characters"),
        ("peers", {"phone": {"tags": {"x": None}}}, "peers.phone.tags: not usable; give a list of texts"),
    ],
)
def test_an_item_of_a_list_gets_the_advice_of_an_item(
    hosts: Section, interfaces: Section, field: str, value: object, fault: str
) -> None:
    """And not of what is around it."""
    interfaces["testwg"][field] = value
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(hosts, interfaces)
    assert caught.value.faults == (f"mesh:interfaces.testwg.{fault}",)


def test_a_name_alone_is_an_entry_in_which_nothing_differs(hosts: Section, interfaces: Section) -> None:
    """Where no field is required; a host without its ssh is told what to do."""
    interfaces["testwg"] |= {"peers": {"phone": None}, "members": {"bernard": None}}
    assert list(read_configuration(hosts, interfaces).interfaces["testwg"].peers) == ["phone"]
    hosts["bernard"] = None
    assert told(hosts, interfaces) == ["mesh:hosts.bernard.ssh: missing"]


@pytest.mark.parametrize("first", ["one", "two"])
def test_two_interfaces_of_a_host_are_not_found_at_one_place(hosts: Section, first: str) -> None:
    """A router forwards a port to one of them; a roaming host has no endpoint to begin with."""
    moved = {"port": 51900, "members": {"bernard": {"externalPort": 51824}}}
    meshes: Section = {"one": {"hosts": ["bernard"]}, "two": {"hosts": ["bernard"], **moved}}
    in_order = {name: meshes[name] for name in sorted(meshes, key=lambda name: name != first)}
    assert told(hosts, in_order) == [
        (
            "mesh:interfaces.two.members.bernard.externalPort: 51824 is where peers of interface 'one' find 'bernard', "
            "and a router forwards a port to one place"
        )
    ]
    meshes["two"]["members"]["bernard"]["externalPort"] = 40000
    assert told(hosts, meshes) == []


def test_an_endpoint_is_no_address_of_another_host_in_a_site(hosts: Section, interfaces: Section) -> None:
    """Who is there would send to that host; another port, or a local endpoint that takes its place, is no matter."""
    hosts["bernard"]["externalIps"] = ["10.0.0.5"]
    hosts["edgeworth"] |= {"site": "home", "localIps": ["10.0.0.5", "10.0.0.6"]}
    peers(interfaces, router={"endpoint": "10.0.0.5:51825"}, other={"endpoint": "10.0.0.6:51825"})
    words = "10.0.0.5 is the local address of host 'edgeworth' too, with one port on interface 'testwg', so hosts of"
    [_, *found] = told(hosts, interfaces)
    assert found == [
        f"mesh:hosts.bernard.externalIps: {words} site 'home' would send to that one",
        f"mesh:interfaces.testwg.peers.router.endpoint: {words} site 'home' would send to that one",
    ]
    del interfaces["testwg"]["peers"]["router"]
    interfaces["testwg"]["members"] = {"bernard": {"externalPort": 40000}}
    assert told(hosts, interfaces) == []
    interfaces["testwg"]["members"] = {}
    hosts["bernard"] |= {"site": "home", "localIps": ["10.0.0.7"]}
    assert told(hosts, interfaces) == []
