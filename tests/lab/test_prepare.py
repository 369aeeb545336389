"""What a host lacks for a change is found before anything switches, and told as the cause with what to do."""

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.lab.hosts import Host
from tests.lab.keeping import nothing_is_repaired, repairs_again
from tests.lab.lab import Lab
from tests.lab.stack import Stack

_PORT = 51825
_CONFIGURATION = "/etc/wireguard/testwg.conf"
_IPV6 = "sysctl -q -w net.ipv6.conf.{}.disable_ipv6={}"

_UNMASK = "systemctl unmask wg-quick@.service"

# What is faulty on carol: what makes it so, what ends it, and what is said of it.
_FAULTY: dict[str, tuple[str, str, str]] = {
    "IPv6 off": (
        _IPV6.format("default", 1),
        _IPV6.format("default", 0),
        "IPv6 is turned off on this host (net/ipv6/conf/default/disable_ipv6 is 1), and a mesh is IPv6 inside; set it",
    ),
    "IPv6 of the interface off": (
        _IPV6.format("testwg", 1),
        # The addresses went with it; the next `up` gives them again.
        _IPV6.format("testwg", 0),
        "IPv6 is turned off on this host (net/ipv6/conf/testwg/disable_ipv6 is 1)",
    ),
    "read-only /etc": (
        "mount --bind /etc /etc; mount -o remount,bind,ro /etc",
        "umount /etc",
        f"cannot write {_CONFIGURATION}: Read-only file system; mount it so that it can be written",
    ),
    "read-only /var": (
        "mount --bind /var /var; mount -o remount,bind,ro /var",
        "umount /var",
        "cannot write /var/lib/mesh/testwg/session: Read-only file system; mount it so that it can be written",
    ),
    "immutable configuration": (
        f"+i {_CONFIGURATION}",
        f"-i {_CONFIGURATION}",
        f"cannot write {_CONFIGURATION}: Operation not permitted; see by lsattr whether it or its folder is immutable",
    ),
    "immutable folder": (
        "+i /etc/wireguard",
        "-i /etc/wireguard",
        f"cannot write {_CONFIGURATION}: Operation not permitted; see by lsattr whether it or its folder is immutable",
    ),
    "no /dev/net/tun": (
        "mount -t tmpfs none /dev/net",
        "umount /dev/net",
        "this kernel has no WireGuard, and wireguard-go cannot open /dev/net/tun (No such file or directory); load",
    ),
    "full /run": (
        "mount -o remount,size=$(($(df -k --output=used /run | tail -n 1)))k /run",
        "mount -o remount,size=500m /run",
        "cannot write /run/mesh: No space left on device; make room on its disk",
    ),
    "immutable /etc/systemd": (
        "+i /etc/systemd/system/multi-user.target.wants",
        "-i /etc/systemd/system/multi-user.target.wants",
        "cannot write /etc/systemd/system/multi-user.target.wants/mesh-boot@testwg.service: Operation not permitted; ",
    ),
    "something else over /etc/wireguard": (
        "mount -t tmpfs -o ro none /etc/wireguard",
        "umount /etc/wireguard",
        f"cannot write {_CONFIGURATION}: Read-only file system; mount it so that it can be written",
    ),
    "no ping": (
        "mv /usr/bin/ping /usr/bin/ping.away",
        "mv /usr/bin/ping.away /usr/bin/ping",
        "packages: iputils-ping is installed, but there is no command ping, which it brings; reinstall iputils-ping by",
    ),
    # Ended by what the message says to run.
    "all tunnels masked": (
        "systemctl mask wg-quick@.service",
        _UNMASK,
        f"service: wg-quick@.service is masked on this host, so no tunnel comes up at boot; run {_UNMASK}",
    ),
}


@pytest.fixture
def mesh(stack: Stack, lab: Lab) -> Iterator[Stack]:
    """Return a stack whose mesh runs on three hosts."""
    stack.write({"testwg": {"hosts": ["bernard", "carol", "edgeworth"], "port": _PORT, "deadline": 20}})
    stack.up()
    yield stack
    stack.destroy()
    assert lab.hosts["carol"].run(f"ls -d {_CONFIGURATION} /var/lib/mesh", check=False) == ""


def _do(host: Host, command: str) -> None:
    if command[1:3] == "i ":
        # The hosts of the lab have no chattr; it works from outside as well.
        attribute, path = command.split()
        subprocess.run(["chattr", attribute, str(host.files / path[1:])], check=True)
    else:
        host.run(command)


def _kernels(stack: Stack) -> dict[str, str]:
    hosts = stack.interfaces["testwg"]["hosts"]
    # Where peers are is learned anew at any time, and wireguard-go lists them in any order.
    shown = "wg showconf testwg | grep -v ^Endpoint | sort; ip link show testwg"
    return {name: stack.lab.hosts[name].run(shown) for name in hosts}


def test_what_a_host_lacks_is_told_before_anything_switches(mesh: Stack, lab: Lab) -> None:
    """Each is one line, without a line number of ours, and nothing changes on any host."""
    carol = lab.hosts["carol"]
    wanted = {**mesh.interfaces["testwg"], "mtu": 1400}
    mesh.write({"testwg": wanted})
    before = _kernels(mesh)
    said = {}
    for name, (spoil, mend, _) in _FAULTY.items():
        _do(carol, spoil)
        try:
            said[name] = mesh.fail()
        finally:
            _do(carol, mend)
        assert _kernels(mesh) == before, name
    for name, (_, _, cause) in _FAULTY.items():
        assert f"host 'carol': {cause}" in said[name], said[name]
        assert "testwg: nothing was changed" in said[name]
        assert not re.search(r"program-\w+: (line )?\d+:", said[name]), said[name]
    mesh.up()
    assert carol.run("cat /sys/class/net/testwg/mtu") == "1400\n"
    mesh.run("preview", "--refresh", "--expect-no-changes")


def test_a_new_version_of_the_host_program_that_cannot_be_written_is_told_as_that(
    engine_stack: Stack, lab: Lab
) -> None:
    """The disk is not full there."""
    carol = lab.hosts["carol"]
    mesh = {"hosts": ["bernard", "carol"], "port": _PORT, "deadline": 20}
    engine_stack.write({"testwg": mesh})
    engine_stack.up()
    with (engine_stack.own_checkout() / "host/core/main.sh").open("a") as program:
        program.write(": a later version\n")
    engine_stack.write({"testwg": {**mesh, "mtu": 1400}})
    carol.run("mount --bind /var /var; mount -o remount,bind,ro /var")
    try:
        output = engine_stack.fail()
    finally:
        carol.run("umount /var")
    assert "host 'carol': the host program cannot be written below /var/lib/mesh: Read-only file system;" in output
    assert "testwg: nothing was changed" in output
    engine_stack.up()


def test_a_first_run_finds_it_too(stack: Stack, lab: Lab) -> None:
    """Nothing runs anywhere, and destroy leaves nothing."""
    carol = lab.hosts["carol"]
    stack.write({"testwg": {"hosts": ["bernard", "carol"], "port": _PORT, "deadline": 20, "names": True}})
    for name in ("IPv6 off", "read-only /etc", "no /dev/net/tun"):
        spoil, mend, cause = _FAULTY[name]
        carol.run(spoil)
        try:
            output = stack.fail()
        finally:
            carol.run(mend)
        assert f"host 'carol': {cause}" in output
        assert "testwg: nothing was changed" in output
        assert stack.running_keys("testwg") == {}
    stack.destroy()
    for host in lab.hosts.values():
        assert host.run("ls -d /var/lib/mesh /etc/wireguard/* /etc/systemd/system/mesh*", check=False) == ""


def test_a_host_that_only_helps_to_prove_and_has_no_ping_is_told_as_that(mesh: Stack, lab: Lab) -> None:
    """A silence would be blamed on ports and paths."""
    bernard, carol = lab.hosts["bernard"], lab.hosts["carol"]
    nothing_is_repaired(carol)
    carol.run("ip link set testwg mtu 1300")
    bernard.run("mv /usr/bin/ping /usr/bin/ping.away")
    try:
        output = mesh.fail("--refresh")
    finally:
        bernard.run("mv /usr/bin/ping.away /usr/bin/ping")
    assert "host 'bernard': ping is missing" in output
    mesh.up("--refresh")
    repairs_again(carol)
