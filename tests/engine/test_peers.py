"""Peers that no run reaches, and meshes in which not everyone is a peer of everyone."""

import json
import os
import stat
from typing import Any

import pytest

from mesh.wireguard.addressing import derive_subnet, host_address
from mesh.wireguard.keys import public_key_of
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
        "'tablet' is no peer of a verified mesh of this stack; there are testwg/phone"
        in stack.companion("peer", "tablet").errors
    )


def test_an_interface_may_be_called_as_the_files_of_peers_are(stack: Stack) -> None:
    """The files of a phone are found beside it."""
    meshes: dict[str, dict[str, Any]] = {"testwg": {"peers": {"phone": {}}}, "my-peers": {"port": 51900}}
    stack.write({name: {"hosts": ["h1", "h2", "h3"], "deadline": 10, **mesh} for name, mesh in meshes.items()})
    stack.up()
    file = stack.companion("peer", "phone")
    assert file.code == 0, file.text
    assert file.output.count("[Peer]") == 3
