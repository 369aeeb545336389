"""Two roaming hosts talk over a public one."""

import re
from typing import Any

import pytest

from tests.documents import ROOT, read
from tests.lab.hosts import Host, HostSpec
from tests.lab.keeping import nothing_is_repaired
from tests.lab.lab import Lab
from tests.lab.snapshot import difference, snapshot
from tests.lab.stack import Stack, mesh_address, wait_until

_RULES = "nft list table ip6 mesh_forward 2>/dev/null"


def _reaches(host: Host, name: str) -> bool:
    return host.run(f"ping -6 -q -c 1 -W 6 {mesh_address(name, 'testwg')} && echo yes", check=False).endswith("yes\n")


@pytest.mark.parametrize("firewall", ["", "nftables"], ids=["then firewalld", "nftables"])
def test_two_hosts_behind_nat_talk_over_a_relay_and_nothing_else_is_forwarded(
    stack: Stack, lab: Lab, firewall: str
) -> None:
    """The proof covers them, a reboot of the relay does not end it, and afterwards the relay is as before."""
    root = "trixie" if firewall else "bookworm-firewalld"
    lab.add([HostSpec("frank", 10, nat=True), HostSpec("grace", 11, root=root, firewall=firewall)])
    grace, frank = lab.hosts["grace"], lab.hosts["frank"]
    try:
        if not firewall:
            # One that is stopped while it starts leaves its rules.
            wait_until(lambda: "running" in grace.run("firewall-cmd --state 2>&1", check=False).split(), 30)
            grace.run("systemctl disable -q --now firewalld")
            assert grace.run("nft list ruleset") == ""
        before = snapshot(grace)
        mesh: dict[str, Any] = {"hosts": ["grace", "edgeworth", "frank"], "port": 51825, "deadline": 20}
        stack.write({"testwg": mesh})
        assert "1 pair cannot meet, since both are roaming: edgeworth and frank; name a relay" in stack.up().output
        assert not _reaches(frank, "edgeworth")
        stack.write({"testwg": mesh | {"relay": "auto"}})
        preview = stack.run("preview").output
        assert "~ relay: none becomes grace" in preview
        assert "edgeworth and frank talk over grace" in preview
        assert "1 pair can meet over grace only, since both are roaming" in stack.up().output
        assert _reaches(frank, "edgeworth")
        assert _reaches(lab.hosts["edgeworth"], "frank")
        assert "relayed" in stack.companion("status", "--pairs").output
        assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
        assert "drop" in grace.run(_RULES)
        grace.reboot()
        # Only they know where the relay is, and notice within 20 seconds of having something to send.
        for host in (frank, lab.hosts["edgeworth"]):
            wait_until(lambda host=host: _reaches(host, "grace"), 60)  # type: ignore[misc]
        assert _reaches(frank, "edgeworth")
        # Somebody turns forwarding off, and an alarm tells.
        nothing_is_repaired(grace)
        grace.run("echo 0 >/proc/sys/net/ipv6/conf/all/forwarding")
        assert "no longer relays" in stack.run("preview", "--refresh").output
        stack.up("--refresh")
        assert _reaches(frank, "edgeworth")
        stack.write({"testwg": mesh})
        stack.up()
        assert not _reaches(frank, "edgeworth")
        assert grace.run("cat /proc/sys/net/ipv6/conf/all/forwarding") == "0\n"
        stack.destroy()
        assert difference(before, snapshot(grace)) == ""
        if not firewall:
            _firewalld_lets_a_relay_forward_as_the_page_tells(stack, grace, mesh | {"relay": "auto"})
            assert _reaches(frank, "edgeworth")
    finally:
        for name in ("frank", "grace"):
            lab.hosts.pop(name).remove()


def _firewalld_lets_a_relay_forward_as_the_page_tells(stack: Stack, grace: Host, mesh: dict[str, Any]) -> None:
    """The run stops before anything changes, until the commands of the page were run on the relay."""
    grace.run("systemctl start firewalld")
    stack.write({"testwg": mesh})
    assert "host 'grace': forwarding: firewalld on this host lets nothing of testwg pass (relay)" in stack.fail()
    told = re.findall(r"`(firewall-cmd [^`]*)`", read(ROOT / "docs/tasks/relay.md"))
    assert len(told) == 2
    for command in told:
        grace.run(command.replace("IF", "testwg"))
    stack.up()
