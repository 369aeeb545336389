"""Hosts of every kind are in one mesh: firewalls, init systems, a user with sudo, one without WireGuard."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.documents import ROOT, blocks
from tests.lab.conftest import PREFIX
from tests.lab.hosts import HostSpec
from tests.lab.lab import Lab
from tests.lab.rehearsed import RehearsedStack
from tests.lab.snapshot import difference, snapshot
from tests.lab.stack import Stack, mesh_address, wait_until

_SPECS = [
    HostSpec("plain", 1, default_max_startups=True),
    HostSpec("filtered", 2, firewall="nftables"),
    HostSpec("uncomplicated", 3, root="trixie-ufw", firewall="ufw"),
    HostSpec("zoned", 4, root="bookworm-firewalld"),
    HostSpec("busybox", 5, root="bookworm-busybox"),
    HostSpec("operated", 6, root="bookworm", sudo_user="steward", nat=True),
    HostSpec("bare", 7, root="trixie-bare"),
]
_FILTERED = {
    "filtered": "nft list ruleset | grep 'policy drop'",
    "uncomplicated": "ufw status | grep '^Status: active'",
    "zoned": "firewall-cmd --state 2>&1 | grep '^running'",
}


# Another tunnel of the host, which somebody made with wg-quick.
_OTHERS = """
umask 077
cat >/etc/wireguard/wg9.conf <<END
[Interface]
PrivateKey = $(wg genkey)
ListenPort = 51999
Address = fd77::1/64
END
systemctl enable --now wg-quick@wg9 2>&1
"""


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack whose mesh runs on seven hosts that are as different as the lab has them."""
    with Lab(_SPECS, prefix=f"{PREFIX}z") as lab:
        stack = RehearsedStack(lab, tmp_path_factory.mktemp("zoo"))
        wait_until(lambda: all(lab.hosts[name].run(command, check=False) for name, command in _FILTERED.items()))
        lab.hosts["plain"].run(_OTHERS)
        stack.before = {name: snapshot(host) for name, host in lab.hosts.items()}
        stack.write({"testwg": {"hosts": list(lab.hosts), "port": 51825}})
        stack.up()
        yield stack


def test_hosts_of_every_kind_are_in_one_mesh(zoo: Stack) -> None:
    """Every pair answers, WireGuard was installed where it was missing, and a second run finds nothing to do."""
    assert zoo.silent("testwg") == []
    assert zoo.lab.hosts["bare"].run("dpkg-query -W -f '${Status}' wireguard-tools").endswith("installed")
    zoo.up("--refresh", "--expect-no-changes")


def test_hosts_of_every_kind_are_meshed_again_after_a_reboot(zoo: Stack) -> None:
    """Nobody helps: systemd, OpenRC and each firewall bring back what is theirs."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda host: host.reboot(), zoo.lab.hosts.values()))
    wait_until(lambda: not zoo.silent("testwg"), 120)
    for name, command in _FILTERED.items():
        assert zoo.lab.hosts[name].run(command)


def test_a_filtering_host_can_be_reached_first_after_a_reboot(zoo: Stack) -> None:
    """A host that sends nothing has no state in its firewall that would let packets in, so its port must be open."""
    for name in _FILTERED:
        zoo.lab.hosts[name].reboot()
    for name in _FILTERED:
        # Until the sender gives its old session up, which takes 15 seconds, it sends what nobody can read.
        zoo.lab.hosts["plain"].run(f"ping -6 -q -i 0.5 -c 1 -w 60 {mesh_address(name, 'testwg')}")


def _changed(zoo: Stack) -> dict[str, str]:
    """Return how hosts differ from what they were before; packages may stay, and bare had none."""
    after = {name: snapshot(host) for name, host in zoo.lab.hosts.items() if name != "bare"}
    return {name: text for name in after if (text := difference(zoo.before[name], after[name]))}


def test_hosts_of_every_kind_remove_by_themselves_what_a_lost_stack_left(zoo: Stack, tmp_path: Path) -> None:
    """By the command of the message with which another stack is refused; as they were, and free for that stack."""
    hosts = zoo.lab.hosts
    zoo.swap_state(tmp_path / "lost")
    # The program that boots is of a version that knows no such command.
    hosts["plain"].run(
        "cd /var/lib/mesh; echo exit >program-0123456789abcdef; ln -sfn program-0123456789abcdef program"
    )
    refused = zoo.fail()
    told = dict(re.findall(r"host '(\w+)': .* on this host, as root: (.*); then pulumi up --refresh", refused))
    assert told.keys() == hosts.keys(), refused
    page = list(blocks(ROOT / "docs/tasks/remove-a-host.md", "sh"))
    assert {name for name, command in told.items() if f"{command}\n" not in page} == {"plain"}
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(lambda name: hosts[name].run(told[name]), hosts))
    assert set(said) == {"nothing of interface testwg is left on this host\n"}
    assert _changed(zoo) == {}
    zoo.up("--refresh")
    assert zoo.silent("testwg") == []


def test_destroying_leaves_hosts_of_every_kind_as_they_were(zoo: Stack) -> None:
    """Files byte for byte, firewall rules, interfaces, also those of others, and processes; packages may stay."""
    assert zoo.lab.hosts["plain"].run("wg show wg9 listen-port") == "51999\n"
    zoo.destroy()
    assert _changed(zoo) == {}
    assert (
        zoo.lab.hosts["bare"].run("ls -A /etc/wireguard; ls -d /var/lib/mesh; wg show interfaces", check=False).strip()
        == ""
    )
