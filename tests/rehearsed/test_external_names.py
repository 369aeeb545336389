"""Hosts whose endpoint is a name: what the state, the outputs, the peers and the files of others hold of it."""

from tests.rehearsed.conftest import Maker


def test_the_name_is_what_the_state_the_peers_and_the_outputs_have(make_stack: Maker) -> None:
    """So an answer that changes is no change; a name instead of an address changes roster and rollout, and no key."""
    stack = make_stack(3)
    interfaces = {"testwg": {"hosts": ["h1", "h2", "h3"], "port": 51825, "deadline": 10, "peers": {"phone": {}}}}
    stack.write(interfaces)
    stack.up()
    stack.write(interfaces, entries={"h2": {"externalIps": [], "externalName": "H2.example.org"}})
    preview = stack.must("preview")
    assert "~ h2 endpoint: 198.18.0.2:51825 becomes h2.example.org:51825" in preview.text
    assert stack.updated(preview) == {"testwg/roster", "testwg/rollout"}
    assert "phone needs its new file" in stack.up().text
    kernel = stack.hosts["h1"].interfaces["testwg"].kernel
    assert kernel is not None
    assert kernel["peers"]["h2"][2] == "h2.example.org:51825"
    assert stack.plan()["hosts"]["h2"]["endpoint"] == "h2.example.org:51825"
    assert "Endpoint = h2.example.org:51825" in stack.companion("peer", "phone").output
    assert "h2.example.org:51825" in stack.companion("status").output
    assert stack.changed() == {}
