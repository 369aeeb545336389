"""Where peers seek a host."""

from tests.lab.lab import Lab
from tests.lab.stack import Stack


def test_a_host_behind_a_router_is_sought_at_the_port_that_is_forwarded_to_it(stack: Stack, lab: Lab) -> None:
    """Then it is not roaming: a peer opens the tunnel to it, and no keepalive is needed."""
    mesh = {"hosts": ["bernard", "edgeworth"], "port": 51825, "members": {"edgeworth": {"externalPort": 40000}}}
    hosts = {name: stack.describe(lab.hosts[name]) for name in ("bernard", "edgeworth")}
    hosts["edgeworth"]["externalIps"] = ["203.0.113.4"]
    lab.network.forward("edgeworth", 40000, 51825)
    try:
        stack.write({"testwg": mesh}, hosts)
        stack.up()
        assert stack.silent("testwg") == []
        seen = lab.hosts["bernard"].run("wg show testwg endpoints; wg show testwg persistent-keepalive")
        assert "203.0.113.4:40000" in seen
        assert "25" not in seen.split()
        # The proof lets bernard speak first, and that is the way in.
        assert lab.network.forwarded("edgeworth") == 1
        stack.up("--expect-no-changes")
        assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
        stack.destroy()
    finally:
        lab.network.stop_forwarding("edgeworth")
