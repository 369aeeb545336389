"""Users of one exit node reach each other over it, until what the page says keeps them apart."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.documents import ROOT, blocks
from tests.lab.hosts import Host, HostSpec
from tests.lab.lab import Lab
from tests.lab.stack import Stack, mesh_address, wait_until
from tests.lab.whoami import asks, tells_who_asks

_SITE, _SITE6 = "192.0.2.80", "2001:db8:80::80"
_HOSTS = ("bernard", "carol", "dora", "edgeworth", "frank")
_IPV4 = {name: f"10.20.0.{number}" for number, name in enumerate(_HOSTS, 1)}
# The commands of the page, in its order: what shows the rules, and what keeps users apart, now and at boot.
_, _APART, _FOR_GOOD = blocks(ROOT / "docs/tasks/exit-node.md", "sh")
_FORWARDS = "net.ipv4.ip_forward = 1\nnet.ipv6.conf.all.forwarding = 1\n"
_OWN = "/etc/sysctl.d/90-router.conf"


@pytest.fixture
def gate(lab: Lab) -> Iterator[Host]:
    """Return the exit node, beside one more host behind NAT; what a test set there for good is gone afterwards."""
    bernard = lab.hosts["bernard"]
    before = bernard.run("cat /etc/nftables.conf")
    lab.add([HostSpec("frank", 10, nat=True)])
    yield bernard
    lab.hosts.pop("frank").remove()
    bernard.run("cat >/etc/nftables.conf", text=before)
    bernard.run(
        f"rm -f {_OWN}; systemctl disable -q --now nftables 2>/dev/null; nft delete table inet apart; "
        "echo 0 >/proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv6/conf/all/forwarding",
        check=False,
    )


def _mesh(relay: str) -> dict[str, Any]:
    """Return a mesh in which carol and edgeworth are no peers, and use bernard as exit node.

    Edgeworth and frank, both roaming, meet over the relay.
    """
    return {
        "hosts": list(_HOSTS), "port": 51825, "deadline": 20, "ipv4": "10.20.0.0/24", "relay": relay,
        "members": {name: {"ipv4": address} for name, address in _IPV4.items()} | {
            "dora": {"ipv4": _IPV4["dora"], "exitNode": "off"}},
        "exitNode": "bernard",
        "peering": [{"hub": ["bernard", "dora"], "spokes": ["all"]}, {"group": ["edgeworth", "frank"]}],
    }  # fmt: skip


def _answers(host: Host, name: str) -> list[bool]:
    """Return whether one host answers another, by IPv4 and by IPv6."""
    addresses = (_IPV4[name], mesh_address(name, "testwg"))
    said = host.run("".join(f"ping -q -c 1 -W 1 {each} >/dev/null && echo {each}; " for each in addresses), check=False)
    return [address in said.split() for address in addresses]


def test_two_users_of_an_exit_node_are_kept_apart_by_what_the_page_says(stack: Stack, lab: Lab, gate: Host) -> None:
    """Where it was the relay too, and where it forwards anyway; also after a boot, and nothing else is cut."""
    carol, edgeworth = lab.hosts["carol"], lab.hosts["edgeworth"]
    stack.write({"testwg": _mesh("bernard")})
    stack.up()
    wait_until(lambda: _answers(carol, "edgeworth") == [True, True], 30)
    stack.write({"testwg": _mesh("dora")})
    stack.up()
    assert _answers(carol, "edgeworth") == [False, False]

    # A host that forwarded before goes on with it, whatever it relays.
    stack.destroy()
    gate.run(f"cat >{_OWN}; sysctl -q -p {_OWN}", text=_FORWARDS)
    stack.up()
    wait_until(lambda: _answers(carol, "edgeworth") == [True, True], 30)
    gate.run(f"set -e\n{_APART}")
    assert _answers(carol, "edgeworth") == _answers(edgeworth, "carol") == [False, False]
    gate.run(f"set -e\n{_FOR_GOOD}")
    gate.reboot()
    wait_until(lambda: all(_answers(host, "bernard") == [True, True] for host in (carol, edgeworth)), 60, every=1)
    # A look of the mesh's own sets again what others took away, and has nothing against it.
    gate.run("systemctl start mesh-keep@testwg.service")
    assert _answers(carol, "edgeworth") == _answers(edgeworth, "carol") == [False, False]
    with tells_who_asks(lab.network, "inet", f"{_SITE}/32", f"{_SITE6}/128"):
        for host in (carol, edgeworth):
            assert (asks(host, _SITE), asks(host, _SITE6)) == ("203.0.113.1", "2001:db8:1::1")
    assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
