"""A fixed address takes the place of the derived one, and goes again when the rollout fails."""

from tests.lab.hosts import HostSpec
from tests.lab.lab import Lab
from tests.lab.stack import Stack, wait_until

_PORT = 51825


def _addresses(lab: Lab) -> dict[str, str]:
    """Return the addresses and routes of every host."""
    # A link-local address and the number of a link may be others after each boot.
    addresses = "ip -6 -o address show dev testwg scope global | cut -d' ' -f 2-"
    script = f"{addresses}; ip -6 route show dev testwg | grep -v ^fe80 | sort"
    return {name: host.run(script) for name, host in lab.hosts.items()}


def test_a_running_host_takes_a_fixed_address_and_gives_it_back(stack: Stack, lab: Lab) -> None:
    """With a subnet of its own, then sharing one; after a failure every host has its old address and routes."""
    mesh = {"hosts": list(lab.hosts), "port": _PORT, "deadline": 20}
    stack.write({"testwg": mesh})
    stack.up()
    derived = _addresses(lab)
    fixed = {"carol": {"address": "fd12:1::1/64"}}
    stack.write({"testwg": {**mesh, "members": fixed}})
    lab.network.block_udp(1, 2, _PORT)
    try:
        stack.fail()
    finally:
        lab.network.unblock()
    assert _addresses(lab) == derived
    stack.up()
    assert "fd12:1::1/64" in _addresses(lab)["carol"]
    assert stack.silent("testwg") == []
    moved = {"carol": {"address": "fd12:2::1/64"}, "dora": {"address": "fd12:1::1/64"}}
    for members in (moved, {"carol": moved["dora"], "dora": moved["carol"]}):
        # What one host had the other takes, with the route to it.
        stack.write({"testwg": {**mesh, "members": members}})
        stack.up()
        assert stack.silent("testwg") == []
    shared = {name: {"address": f"fd12:1::{number}/64"} for number, name in enumerate(("carol", "dora"), 1)}
    stack.write({"testwg": {**mesh, "members": shared}})
    assert "~ carol allowed IPs: fd12:1::/64 becomes fd12:1::1/128" in stack.run("preview").output
    stack.up()
    assert stack.silent("testwg") == []
    stack.up("--expect-no-changes")
    assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
    lab.hosts["carol"].reboot()
    stack.write({"testwg": mesh})
    stack.up()
    assert _addresses(lab) == derived


def test_a_chosen_prefix_is_let_in_by_firewalld_and_goes_again(stack: Stack, lab: Lab) -> None:
    """The proof pings through that firewall; afterwards its rules are as before."""
    lab.add([HostSpec("wall", 10, root="bookworm-firewalld")])
    wall = lab.hosts["wall"]
    try:
        # A host that has just booted may answer SSH before its firewall runs.
        wait_until(lambda: wall.run("firewall-cmd --state 2>/dev/null", check=False) == "running\n")
        rules = "{ firewall-cmd --list-all-zones; firewall-cmd --permanent --list-all-zones; } | grep 'rule ' || true"
        assert wall.run(rules) == ""
        mesh = {"hosts": ["bernard", "edgeworth", "wall"], "port": 51825, "prefix": "fd12:3456:789a::/48"}
        stack.write({"testwg": mesh})
        stack.up()
        assert 'source address="fd12:3456::/32"' in wall.run(rules)
        assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
        assert "not wiped" not in stack.destroy().output
        assert wall.run(rules) == ""
    finally:
        lab.hosts.pop("wall").remove()
