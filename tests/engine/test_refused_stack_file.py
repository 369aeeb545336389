"""One stack file that breaks rules of every kind at once, as the engine and the commands refuse it."""

from typing import Any

import pytest
from ruamel.yaml import YAML

from mesh.wireguard.keys import generate_key_pair
from tests.engine.conftest import Maker
from tests.engine.stack import Stack

SECRETS = [generate_key_pair().private_key for _ in range(5)]

# The beginning of each fault.
FAULTS = (
    "mesh:adopted: in clear, where whoever reads the file has it",
    "mesh:rotations: unknown section; did you mean mesh:rotation?",
    "mesh:hosts.h1.ssh.hostKey: not a public host key",
    "mesh:hosts.h2.ssh.port: not usable; give a whole number from 1 to 65535",
    "mesh:hosts.h2.sytem: unknown field; did you mean system?",
    "mesh:hosts.h2.formerly: 'h1' is a host of its own",
    "mesh:hosts.h3.externalName: host 'h3' has externalIps too",
    "mesh:hosts.h3.localIps: host 'h3' has no site",
    "mesh:hosts.h4.ssh.address: the same address and port as host 'h3'",
    "mesh:interfaces.testwg.mtu: not usable; give bytes from 1280 to 9000",
    "mesh:interfaces.testwg[<44 characters, not shown>]: unknown field; allowed here: ",
    "mesh:interfaces.testwg.presharedKey: unknown field; did you mean presharedKeys?",
    "mesh:interfaces.testwg.hosts: unknown host 'nobody'",
    "mesh:interfaces.testwg.hosts: host 'h3' is listed twice",
    "mesh:interfaces.testwg.peers.h3: 'h3' is a host of this interface too",
    "mesh:interfaces.testwg.peers.phone.rotation: the key of 'phone' is not made here",
    "mesh:interfaces.testwg.members.h9: no host of this interface",
    "mesh:interfaces.testwg.relay: host 'h2' is roaming, so it cannot relay",
    "mesh:interfaces.testwg.forgotten: 'h4' is a host of this interface again",
    "mesh:interfaces.testwg.port: 51824 is the port of interface 'backwg' too, on 'h3' and 'h4'",
    "mesh:interfaces.backwg.prefix: not an IPv6 prefix of 16 to 60 bits",
    "mesh:interfaces.backwg.ipv4: 10.0.0.3, an address of host 'h3' outside the mesh, is in 10.0.0.0/8",
    'mesh:interfaces["bad name"]: not an interface name',
)


@pytest.fixture(scope="module")
def stack(make_stack: Maker) -> Stack:
    """Return a stack whose file has all these faults, and keys where none belong."""
    stack = make_stack(1)
    key = stack.hosts.host_key
    way = {"address": "127.0.0.1", "port": stack.hosts["h1"].port, "hostKey": key}
    hosts: dict[str, Any] = {
        "h1": {"externalIps": ["198.18.0.1"], "ssh": {**way, "hostKey": SECRETS[0]}},
        "h2": {"ssh": {**way, "port": 99999}, "sytem": "x86_64-linux", "formerly": "h1"},
        "h3": {
            "externalIps": ["198.18.0.3"],
            "externalName": "h3.example.org",
            "localIps": ["10.0.0.3"],
            "ssh": {**way, "address": "127.0.0.3"},
        },
        "h4": {"externalIps": ["198.18.0.4"], "ssh": {**way, "address": "127.0.0.3"}},
    }
    testwg = {
        "hosts": ["h1", "h2", "h3", "h4", "nobody", "h3"],
        "port": 51824,
        "mtu": 100,
        SECRETS[1]: "of the mesh",
        "presharedKey": SECRETS[2],
        "members": {"h9": {}},
        "peers": {"phone": {"publicKey": SECRETS[3], "rotation": 2}, "h3": {}},
        "relay": "h2",
        "forgotten": ["h4"],
    }
    members = {name: {"ipv4": f"10.0.1.{number}"} for number, name in enumerate(("h3", "h4"), 1)}
    backwg = {"hosts": ["h3", "h4"], "port": 51824, "prefix": "fd00::/200", "ipv4": "10.0.0.0/8", "members": members}
    content = YAML().load(stack.stack_file)
    content["config"] = {
        "mesh:hosts": hosts,
        "mesh:interfaces": {"backwg": backwg, "testwg": testwg, "bad name": {"hosts": ["h1"]}},
        "mesh:adopted": {"testwg/h3": SECRETS[4]},
        "mesh:rotations": 2,
    }
    with stack.stack_file.open("w") as file:
        YAML().dump(content, file)
    return stack


@pytest.mark.parametrize("verb", [("preview",), ("up", "--yes", "--skip-preview")], ids=" ".join)
def test_every_fault_is_told_once_and_nothing_is_registered(stack: Stack, verb: tuple[str, ...]) -> None:
    """In one run, without a traceback, a key, or a word to any host."""
    outcome = stack.run(*verb)
    assert outcome.code != 0
    # The first line is in the engine's display of the run too.
    told = outcome.text.partition("Diagnostics:")[2]
    assert told.count(f"error: stack configuration: {len(FAULTS)} faults to correct\n") == 1, outcome.text
    assert {fault: outcome.text.count(fault) for fault in FAULTS} == dict.fromkeys(FAULTS, 1)
    assert "Traceback" not in outcome.text
    assert [secret for secret in SECRETS if secret in outcome.text] == []
    assert "mesh:index:Mesh" not in outcome.text
    assert stack.resources() == {}
    assert stack.hosts["h1"].connections == 0


def test_a_command_tells_the_same_faults(stack: Stack) -> None:
    """But for what only the engine knows: which values it keeps encrypted."""
    outcome = stack.companion("plan", "test")
    assert outcome.code == 1
    told = {fault: outcome.errors.count(fault) for fault in FAULTS if not fault.startswith("mesh:adopted")}
    assert told == dict.fromkeys(told, 1), outcome.text
    assert "Traceback" not in outcome.text
    assert [secret for secret in SECRETS if secret in outcome.text] == []
