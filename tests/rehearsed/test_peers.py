"""Peers that no run reaches, and meshes in which not everyone is a peer of everyone."""

import pytest

from mesh.wireguard.addressing import derive_subnet, host_address
from mesh.wireguard.keys import generate_key_pair
from tests.engine.test_peers import peers_of, write
from tests.rehearsed.conftest import Maker
from tests.rehearsed.stack import RehearsedStack


@pytest.fixture
def stack(make_stack: Maker) -> RehearsedStack:
    """Return a running mesh of h1, h2 and h3."""
    stack = make_stack(3)
    write(stack)
    stack.up()
    return stack


def test_a_router_brings_its_own_key_and_endpoint(stack: RehearsedStack) -> None:
    """Its file takes the private key from where it is; hosts have that endpoint."""
    key = generate_key_pair().public_key
    write(stack, peers={"router": {"publicKey": key, "endpoint": "198.51.100.7:51820"}})
    stack.up()
    file = stack.companion("peer", "router").output
    assert "PostUp = wg set %i private-key /etc/wireguard/%i.key\n" in file
    assert "ListenPort = 51820" in file
    assert "PersistentKeepalive" not in file
    kernel = stack.hosts["h1"].interfaces["testwg"].kernel
    assert kernel is not None
    assert kernel["peers"]["router"][:3] == (
        key,
        str(host_address(derive_subnet("router", "testwg")).ip),
        "198.51.100.7:51820",
    )


def test_a_lost_phone_leaves_with_what_it_knew(stack: RehearsedStack) -> None:
    """The preshared key is regenerated, and no host has it any more; its own key can be regenerated too."""
    write(stack, peers={"phone": {}, "tablet": {}})
    stack.up()
    before = stack.companion("peer", "tablet").output
    keys = stack.public_keys()
    write(stack, peers={"tablet": {"rotation": 2}})
    told = stack.must("preview").text
    assert "- phone leaves, and was not managed here: its peers drop it; the preshared key is regenerated" in told
    assert "preshared key is regenerated: phone knew it and is no longer an owner" in told
    run = stack.up().text
    assert "tablet needs its new file: python -m mesh peer tablet" in run
    after = stack.companion("peer", "tablet").output
    assert stack.public_keys()["tablet"] != keys["tablet"]
    assert {line for line in before.splitlines() if line.startswith("PresharedKey")}.isdisjoint(after.splitlines())
    assert peers_of(stack, "h1") == {"h2", "h3", "tablet"}


def test_roaming_hosts_that_cannot_meet_are_counted_in_one_line(stack: RehearsedStack) -> None:
    """Their pairs grow with the square of the hosts, so some are named; and it says what joins them."""
    hosts = ["h1", "h2", "h3"]
    mesh = {"testwg": {"hosts": hosts, "deadline": 10, "peers": {"phone": {}}}}
    stack.write(mesh, entries={host: {"externalIps": []} for host in hosts})
    lines = [line for line in stack.up().text.splitlines() if "cannot meet" in line]
    named = "h1 and h2, h1 and h3, h1 and phone, h2 and h3, h2 and phone, and 1 more"
    remedy = "name a relay, or give hosts of one network a site and localIps"
    assert [line.strip() for line in lines] == [
        f"testwg: 6 pairs cannot meet, since both are roaming: {named}; {remedy}"
    ]


def test_a_hub_and_its_spokes(stack: RehearsedStack) -> None:
    """Spokes have one peer; a change reads as pairs that come and go."""
    write(stack, peering=[{"hub": ["h1"], "spokes": ["all"]}])
    assert "- h2 and h3 are no longer peers" in stack.must("preview").text
    stack.up()
    assert {host: peers_of(stack, host) for host in ("h1", "h2", "h3")} == {
        "h1": {"h2", "h3"},
        "h2": {"h1"},
        "h3": {"h1"},
    }
    assert stack.changed() == {}
    write(stack, peering=[{"hub": ["h1"], "spokes": ["h2"]}, {"group": ["h2", "h3"]}])
    told = stack.must("preview").text
    assert "+ h2 and h3 become peers" in told
    assert "- h1 and h3 are no longer peers" in told
    stack.up()
    assert peers_of(stack, "h3") == {"h2"}
