"""Peers that no run reaches, and meshes in which not everyone is a peer of everyone."""

import json
import os
import stat
from typing import Any

import pytest

from mesh.wireguard.addressing import derive_subnet, host_address
from mesh.wireguard.keys import generate_key_pair, public_key_of
from tests.engine.conftest import Maker
from tests.engine.stack import Stack


@pytest.fixture
def stack(make_stack: Maker) -> Stack:
    """Return a running mesh of h1, h2 and h3."""
    stack = make_stack(3)
    write(stack)
    stack.up()
    return stack


def write(stack: Stack, **settings: Any) -> None:
    """Write the stack file of one mesh of all hosts."""
    stack.write({"testwg": {"hosts": ["h1", "h2", "h3"], "deadline": 10, **settings}})


def peers_of(stack: Stack, host: str) -> set[str]:
    """Return the names of the peers that a host was told."""
    kernel = stack.hosts[host].interfaces["testwg"].kernel
    assert kernel is not None
    return set(kernel["peers"])


def test_a_phone_gets_a_key_an_address_and_a_file_that_only_the_command_shows(stack: Stack) -> None:
    """Every host has it as a peer; its private key is a secret of the state."""
    write(stack, peers={"phone": {}})
    address = host_address(derive_subnet("phone", "testwg"))
    assert f"+ phone joins, not managed here: {address}, roaming" in stack.must("preview").text
    run = stack.up()
    assert all("phone" in peers_of(stack, host) for host in ("h1", "h2", "h3"))
    file = stack.companion("peer", "phone").output
    private_key = next(line.split()[2] for line in file.splitlines() if line.startswith("PrivateKey"))
    assert public_key_of(private_key) == stack.public_keys()["phone"] == stack.plan()["peers"]["phone"]["publicKey"]
    assert f"Address = {address}" in file
    assert [line for line in file.splitlines() if line.startswith("# h")] == ["# h1", "# h2", "# h3"]
    assert file.count("PersistentKeepalive = 25") == 3
    for told in (run.text, json.dumps(stack.export()), stack.must("stack", "output", "--json").text):
        assert private_key not in told
    assert stack.changed() == {}
    shown = stack.companion("peer", "phone", "--qr").output
    assert "▄" in shown
    target = stack.folder / "phone.conf"
    stack.companion("peer", "phone", "--output", str(target))
    assert target.read_text() == file
    assert stat.S_IMODE(os.stat(target).st_mode) == 0o600
    assert "is there already" in stack.companion("peer", "phone", "--output", str(target)).errors
    assert (
        "'tablet' is no peer of a verified mesh of this stack; there are phone"
        in stack.companion("peer", "tablet").errors
    )


def test_a_router_brings_its_own_key_and_endpoint(stack: Stack) -> None:
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
    assert kernel["peers"]["router"][:3] == [
        key,
        str(host_address(derive_subnet("router", "testwg")).ip),
        "198.51.100.7:51820",
    ]


def test_a_lost_phone_leaves_with_what_it_knew(stack: Stack) -> None:
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


def test_a_hub_and_its_spokes(stack: Stack) -> None:
    """Spokes have one peer; a change reads as pairs that come and go."""
    write(stack, peering=[{"hub": ["h1"], "spokes": ["all"]}])
    assert "- h2 and h3 are peers no more" in stack.must("preview").text
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
    assert "- h1 and h3 are peers no more" in told
    stack.up()
    assert peers_of(stack, "h3") == {"h2"}
