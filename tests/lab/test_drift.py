"""What somebody changed on a host is told in words, repaired on that host, and on no other."""

from collections.abc import Iterator

import pytest

from tests.lab.conftest import PREFIX
from tests.lab.hosts import Host, HostSpec
from tests.lab.keeping import nothing_is_repaired
from tests.lab.lab import Lab
from tests.lab.rehearsed import RehearsedStack
from tests.lab.stack import Stack, mesh_address, wait_until

_SPECS = [
    HostSpec("bernard", 1, firewall="nftables"),
    HostSpec("carol", 2),
    HostSpec("edgeworth", 3, nat=True),
    HostSpec("openrc", 4, root="bookworm-openrc"),
    HostSpec("uncomplicated", 5, root="trixie-ufw", firewall="ufw"),
    HostSpec("zoned", 6, root="bookworm-firewalld"),
]
_ALARM = ("--refresh", "--expect-no-changes")
_FIRST = "$(wg show testwg peers | sort | head -n 1)"
_PREFIX = "$(wg show testwg allowed-ips | sort | awk 'NR == 1 { print $2 }')"
_STRANGER = "peer $(wg genkey | wg pubkey) endpoint 203.0.113.99:1"
_RICH_RULE = 'rule priority="5182" port port="51825" protocol="udp" accept'
_CONFIGURATION = "/etc/wireguard/testwg.conf"
_UNIT = "/etc/systemd/system/mesh-boot@.service"
_PROGRAM = "/var/lib/mesh/program"

# Kind of drift, the host that it happens to, what somebody does there, and what is said of it.
_KINDS: dict[str, tuple[str, str, str]] = {
    "edited file": ("carol", f"echo '# mine' >>{_CONFIGURATION}", f"{_CONFIGURATION} was edited by hand"),
    "file saved by wg-quick": ("bernard", "wg-quick save testwg", f"{_CONFIGURATION} was edited by hand"),
    "deleted file": ("uncomplicated", f"rm {_CONFIGURATION}", f"{_CONFIGURATION} is missing"),
    "readable file": ("zoned", f"chmod 644 {_CONFIGURATION}", f"{_CONFIGURATION} can be read by others"),
    "removed peer": ("carol", f"wg set testwg peer {_FIRST} remove", "has no peer"),
    "peer removed behind NAT": ("edgeworth", f"wg set testwg peer {_FIRST} remove", "has no peer"),
    "added peer": (
        "bernard",
        f"wg set testwg {_STRANGER} allowed-ips fd00:dead::/64",
        "has a peer that the roster lacks",
    ),
    "peer replaced by a stranger": (
        "uncomplicated",
        f"ips={_PREFIX}; wg set testwg peer {_FIRST} remove {_STRANGER} allowed-ips $ips",
        "has a peer that the roster lacks",
    ),
    "changed allowed IPs": ("zoned", f"wg set testwg peer {_FIRST} allowed-ips fd00:dead::/64", "allowed IPs of"),
    "changed keepalive": ("edgeworth", f"wg set testwg peer {_FIRST} persistent-keepalive off", "is off, not 25"),
    "changed preshared key": (
        "carol",
        f"wg genpsk | wg set testwg peer {_FIRST} preshared-key /dev/stdin",
        "has another preshared key than the state",
    ),
    "changed private key": (
        "bernard",
        "wg genkey | wg set testwg private-key /dev/stdin",
        "runs another public key than the state has",
    ),
    "changed MTU": ("uncomplicated", "ip link set testwg mtu 1300", "has MTU 1300, not 1420"),
    "changed port": ("zoned", "wg set testwg listen-port 4444", "listens on UDP port 4444, not 51825"),
    "removed address": (
        "carol",
        f"ip address del {mesh_address('carol', 'testwg')}/64 dev testwg",
        "lacks its address",
    ),
    "added address": ("bernard", "ip address add 10.9.9.9/32 dev testwg", "has the address 10.9.9.9/32"),
    "removed route": (
        "uncomplicated",
        f"ip -6 route del {_PREFIX} dev testwg",
        "has no route to",
    ),
    "link set down": ("zoned", "ip link set testwg down", "interface testwg is set down"),
    "link set down behind NAT": ("edgeworth", "ip link set testwg down", "interface testwg is set down"),
    "tunnel stopped": ("carol", "systemctl stop wg-quick@testwg", "interface testwg is not there"),
    "interface deleted behind NAT": ("edgeworth", "ip link del testwg", "interface testwg is not there"),
    "tunnel stopped under OpenRC": ("openrc", "rc-service wg-quick.testwg stop", "interface testwg is not there"),
    "unit disabled": ("bernard", "systemctl disable wg-quick@testwg", "testwg does not come up at the next boot"),
    "unit masked": ("uncomplicated", "systemctl mask wg-quick@testwg", "testwg does not come up at the next boot"),
    "service deleted under OpenRC": (
        "openrc",
        "rc-update del wg-quick.testwg default",
        "testwg does not come up at the next boot",
    ),
    "edited unit": ("zoned", f"echo '# mine' >>{_UNIT}", f"{_UNIT} was edited by hand"),
    "deleted unit": ("carol", f"rm {_UNIT}", f"{_UNIT} is missing"),
    "edited script under OpenRC": (
        "openrc",
        "echo '# mine' >>/etc/init.d/mesh-boot",
        "/etc/init.d/mesh-boot was edited by hand",
    ),
    "timer that repairs stopped": (
        "uncomplicated",
        "systemctl stop mesh-keep@testwg.timer",
        "no longer repairs what others take away here",
    ),
    "timer that repairs disabled": (
        "zoned",
        "systemctl disable --now mesh-keep@testwg.timer",
        "no longer repairs what others take away here",
    ),
    "what repairs stopped under OpenRC": (
        "openrc",
        "rc-service mesh-keep.testwg stop",
        "no longer repairs what others take away here",
    ),
    "edited host program": ("carol", f"echo exit 1 | tee {_PROGRAM}", f"{_PROGRAM} was edited by hand"),
    "deleted host program": ("bernard", f"rm {_PROGRAM}", f"{_PROGRAM} is missing"),
    "deleted private key": ("uncomplicated", "rm /var/lib/mesh/testwg/run/private-key", "lost its private key"),
    "nftables rules flushed": ("bernard", "systemctl reload nftables", "the firewall no longer lets in UDP port 51825"),
    "ufw rule deleted": (
        "uncomplicated",
        "ufw delete allow 51825/udp",
        "the firewall no longer lets in UDP port 51825",
    ),
    "firewalld rule removed": (
        "zoned",
        f"firewall-cmd --zone=public --remove-rich-rule='{_RICH_RULE}'",
        "the firewall no longer lets in UDP port 51825",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack whose mesh runs on hosts with systemd and OpenRC, with every firewall and none, one behind NAT."""
    with Lab(_SPECS, prefix=f"{PREFIX}d") as lab:
        stack = RehearsedStack(lab, tmp_path_factory.mktemp("drift"))
        zoned = lab.hosts["zoned"]
        wait_until(lambda: zoned.run("firewall-cmd --state 2>&1 | grep '^running'", check=False))
        for name in lab.hosts.keys() - {"openrc"}:
            nothing_is_repaired(lab.hosts[name])
        stack.write({"testwg": {"hosts": list(lab.hosts), "port": 51825}})
        stack.up()
        yield stack


def _untouched(host: Host) -> tuple[str, dict[str, int]]:
    """Return what a repair elsewhere must leave alone: files by inode and time, the kernel's setup, and handshakes."""
    text = host.run(
        "find /etc/wireguard /etc/systemd/system /etc/init.d /etc/runlevels /var/lib/mesh ! -type d ! -name lock "
        "! -name session ! -name supervisor -printf '%p %i %T@\\n' | sort; "
        "wg showconf testwg | sed '/^Endpoint/d' | sort; "
        "ip -6 route show dev testwg | sort; ip -o address show dev testwg scope global | awk '{ print $4 }'; "
        "nft -s list ruleset 2>/dev/null || true"
    )
    handshakes = (line.split() for line in host.run("wg show testwg latest-handshakes").splitlines())
    return text, {key: int(seconds) for key, seconds in handshakes}


def _rounds(most: int) -> list[list[str]]:
    """Return the kinds in rounds, each with at most so many hosts and one kind for each of them."""
    rounds: list[list[str]] = []
    for kind, (host, _, _) in _KINDS.items():
        free = (each for each in rounds if len(each) < most and host not in {_KINDS[other][0] for other in each})
        if (found := next(free, None)) is None:
            rounds.append(found := [])
        found.append(kind)
    return rounds


# Two hosts are left alone, and so is the session between them.
@pytest.mark.parametrize("kinds", _rounds(4), ids=", ".join)
def test_drift_is_named_and_repaired_on_those_hosts_only(mesh: Stack, kinds: list[str]) -> None:
    """A preview says it and ends with 7; up --refresh repairs it; the others keep files, kernel and sessions."""
    drifts = {host: (command, words) for host, command, words in map(_KINDS.__getitem__, kinds)}
    others = {name: host for name, host in mesh.lab.hosts.items() if name not in drifts}
    before = {name: _untouched(host) for name, host in others.items()}
    own = {mesh.public_keys()[f"testwg/{name}/key"] for name in drifts}
    good = {name: _untouched(mesh.lab.hosts[name])[0].splitlines() for name in drifts}
    for name, (command, _) in drifts.items():
        mesh.lab.hosts[name].run(command)
    alarm = mesh.run("preview", *_ALARM, succeeds=False)
    assert alarm.code == 7, alarm.output
    advice = [line.strip() for line in alarm.output.splitlines() if "pulumi up" in line]
    for name, (_, words) in drifts.items():
        assert [line for line in advice if f"{name}: " in line and words in line], alarm.output
    assert not [name for name in others if f"{name}: " in alarm.output]
    output = mesh.up("--refresh").output
    assert f"testwg: changing {', '.join(sorted(drifts))} only" in output
    for name, host in others.items():
        text, handshakes = _untouched(host)
        assert text == before[name][0]
        # Only a session with a host that is repaired may have to be begun again.
        assert {key for key in handshakes.keys() - own if handshakes[key] < before[name][1][key]} == set()
    for name, lines in good.items():
        repaired = _untouched(mesh.lab.hosts[name])[0].splitlines()
        assert [line for line in lines if line not in repaired and not line.startswith("/")] == []
    assert mesh.silent("testwg") == []
    mesh.run("preview", *_ALARM)


def _forget_everything(host: Host) -> None:
    """Leave of a host what a new installation has: its address and its SSH host key, and nothing of a mesh."""
    host.run(
        "systemctl disable -q --now wg-quick@testwg mesh-boot@testwg mesh-keep@testwg.timer; ip link del testwg; "
        "rm -rf /var/lib/mesh /etc/wireguard /etc/systemd/system/mesh-*@.* "
        "/etc/systemd/system/*.wants/*@testwg.*; systemctl daemon-reload",
        check=False,
    )


def test_a_reinstalled_host_is_repaired_entirely(mesh: Stack) -> None:
    """The preview shows its enrolment and no other; one up --refresh brings it back, and the next has nothing to do."""
    carol = mesh.lab.hosts["carol"]
    others = {name: host for name, host in mesh.lab.hosts.items() if name != "carol"}
    before = {name: _untouched(host)[0] for name, host in others.items()}
    _forget_everything(carol)
    alarm = mesh.run("preview", *_ALARM, succeeds=False)
    assert alarm.code == 7
    assert "carol: was reinstalled, or has lost all of testwg" in alarm.output
    changes = {line.split()[-1] for line in alarm.output.splitlines() if line.startswith("rehearsal: update ")}
    assert changes == {"testwg/carol/enrol", "testwg/rollout"}, alarm.output
    mesh.up("--refresh")
    assert {name: _untouched(host)[0] for name, host in others.items()} == before
    assert mesh.silent("testwg") == []
    mesh.up("--expect-no-changes")
    mesh.run("preview", *_ALARM)
    carol.reboot()
    wait_until(lambda: not mesh.silent("testwg"))


def test_a_reinstalled_host_with_another_ssh_host_key_needs_no_refresh(mesh: Stack) -> None:
    """Who writes the new host key into the stack file has said that it is another installation."""
    carol = mesh.lab.hosts["carol"]
    _forget_everything(carol)
    carol.run("rm /etc/ssh/ssh_host_ed25519_key*; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key")
    carol.run("systemctl restart ssh", check=False)
    carol.wait_until_ssh()
    alarm = mesh.run("preview", *_ALARM, succeeds=False)
    assert alarm.code == 7
    assert "carol: has another SSH host key than the stack file says" in alarm.output
    mesh.write(mesh.interfaces)
    mesh.up()
    assert mesh.silent("testwg") == []
    mesh.run("preview", *_ALARM)


def test_an_unreachable_host_is_an_alarm_until_its_change_is_pending(mesh: Stack) -> None:
    """With `unreachable: skip` it is then said and no alarm; when it is back, it is, until its change is made."""
    carol = mesh.lab.hosts["carol"]
    everybody = {"hosts": list(mesh.lab.hosts), "port": 51825, "unreachable": "skip"}
    mesh.write({"testwg": everybody})
    mesh.up()
    mesh.lab.network.ip("ctl", "link set m-carol down")
    try:
        alarm = mesh.run("preview", *_ALARM, succeeds=False)
        assert alarm.code == 7
        assert "carol: does not answer SSH" in alarm.output or "carol: cannot be reached" in alarm.output
        mesh.write({"testwg": {**everybody, "mtu": 1400}})
        mesh.up()
        assert mesh.resources()["testwg/rollout"]["pending"] == ["carol"]
        quiet = mesh.run("preview", *_ALARM)
        assert "carol: its change is pending until it is back" in quiet.output
        mesh.run("preview", "--expect-no-changes")
        mesh.up("--expect-no-changes")
    finally:
        mesh.lab.network.ip("ctl", "link set m-carol up")
    back = mesh.run("preview", *_ALARM, succeeds=False)
    assert back.code == 7
    assert "carol: has MTU 1420, not 1400" in back.output
    assert "testwg: changing carol only" in mesh.up().output
    assert carol.run("cat /sys/class/net/testwg/mtu") == "1400\n"
    mesh.run("preview", *_ALARM)
