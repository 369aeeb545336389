"""A pair that answers no ping is told with the host whose firewall makes it silent, and not with the other one."""

from collections.abc import Iterator

import pytest

from tests.lab.conftest import leave_nothing
from tests.lab.lab import Lab
from tests.lab.rehearsed import RehearsedStack
from tests.lab.stack import Stack

# What carol's own firewall drops, and what is said of the pair that she opens, or that bernard does.
_UNSENT = "carol → bernard: no answer: a firewall of carol itself drops its pings on their way out; let ICMPv6 pass on"
_DROPS = {
    "all that she sends": (
        "output priority 0; policy accept; oifname testwg meta l4proto ipv6-icmp drop;",
        _UNSENT,
    ),
    "what she has no rule for": (
        "output priority 0; policy drop; ct state established,related accept; oif lo accept; tcp sport 22 accept;",
        _UNSENT,
    ),
    "all that leaves, after routing": (
        "postrouting priority 0; policy accept; oifname testwg drop;",
        _UNSENT,
    ),
    "the tunnel itself": (
        "output priority 0; policy accept; udp sport 51825 drop;",
        "carol → bernard: no answer: no handshake; see whether UDP port 51825 is open out of carol, on the way, and",
    ),
    "what is asked of her": (
        "input priority 0; policy accept; iifname testwg icmpv6 type echo-request drop;",
        "bernard → carol: no answer: handshake but no echo; see whether ICMPv6 is dropped inside the mesh on carol,",
    ),
    "answers to her": (
        "input priority 0; policy accept; iifname testwg icmpv6 type echo-reply drop;",
        "carol → bernard: no answer: the answers reach carol, and a firewall of carol itself drops them; let ICMPv6",
    ),
}


@pytest.fixture(scope="module")
def mesh(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack whose mesh runs."""
    stack = RehearsedStack(lab, tmp_path_factory.mktemp("silence"))
    stack.write({"testwg": {"hosts": ["bernard", "carol"], "port": 51825, "deadline": 20, "rotation": 1}})
    stack.up()
    yield stack
    leave_nothing(lab)


@pytest.mark.parametrize("what", _DROPS)
def test_the_host_whose_own_firewall_drops_pings_is_named(mesh: Stack, lab: Lab, what: str) -> None:
    """And the other one is not asked about."""
    rules, said = _DROPS[what]
    carol, wanted = lab.hosts["carol"], mesh.interfaces["testwg"]
    mesh.write({"testwg": {**wanted, "rotation": wanted["rotation"] + 1}})
    carol.run("nft -f -", text=f"table inet own {{ chain o {{ type filter hook {rules} }}\n}}\n")
    try:
        output = mesh.fail()
    finally:
        carol.run("nft delete table inet own")
    assert said in output
    assert "dropped inside the mesh on bernard" not in output
    assert mesh.silent("testwg", 10) == []
