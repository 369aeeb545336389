"""The lab itself: hosts boot, reboot and lose power as real ones do, and nothing of them is left."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import lab as lab_module
from tests.lab.hosts import Host, HostSpec
from tests.lab.lab import Lab, LabUnavailableError

PREFIX = "labtest"
PORT = 51825
PING = ("ping", "-c1", "-W1")
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")

# Prints who sent it each datagram, so that a test sees what a NAT made of the sender.
LISTEN = (
    "import socket,sys; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('0.0.0.0',int(sys.argv[1])));"
    "print('ready',flush=True); s.settimeout(float(sys.argv[2])); print(*s.recvfrom(99)[1],flush=True)"
)
SEND = (
    "import socket,sys; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('0.0.0.0',int(sys.argv[1])));"
    "[s.sendto(b'x',(to,int(sys.argv[1]))) for to in sys.argv[2:]]"
)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Boot two public hosts, one behind NAT and one with every option."""
    specs = [
        HostSpec("bernard", 1),
        HostSpec("carol", 2),
        HostSpec("edgeworth", 3, nat=True),
        HostSpec("dora", 4, firewall="nftables", sudo_user="operator", disk_megabytes=48, default_max_startups=True),
    ]
    with Lab(specs, prefix=PREFIX) as made:
        yield made


def ssh(lab: Lab, host: Host, command: str, user: str = "root") -> subprocess.CompletedProcess[str]:
    """Log in as a user would, trusting only the host key that the lab names."""
    known = lab.directory / "known_hosts"
    known.write_text("".join(f"{each.ssh_address} {each.host_key}\n" for each in lab.hosts.values()))
    options = [f"UserKnownHostsFile={known}", "StrictHostKeyChecking=yes", "BatchMode=yes", "ConnectTimeout=3"]
    arguments = [part for option in options for part in ("-o", option)]
    line = lab.command("ssh", "-i", str(lab.ssh_key), *arguments, f"{user}@{host.ssh_address}", command)
    return subprocess.run(line, check=False, capture_output=True, text=True)


def in_namespace(host: Host, *command: str) -> list[str]:
    """Return a command that runs with the host's network and this machine's programs: guests have no Python."""
    return ["nsenter", f"--net=/run/netns/{host.network.space(host.name)}", *command]


def listen(host: Host, seconds: float) -> subprocess.Popen[str]:
    """Wait on a host for one datagram, and return when it can come."""
    listener = subprocess.Popen(
        in_namespace(host, "python3", "-c", LISTEN, str(PORT), str(seconds)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert listener.stdout is not None
    assert listener.stdout.readline() == "ready\n"
    return listener


def datagram_arrives(sender: Host, receiver: Host, address: str, seconds: float = 5) -> bool:
    """Tell whether a datagram from one host to an address of another gets there within seconds."""
    listener = listen(receiver, seconds)
    subprocess.run(in_namespace(sender, "python3", "-c", SEND, str(PORT), address), check=False)
    return bool(listener.communicate()[0])


def boot_id(host: Host) -> str:
    """Return what names this boot: the time at which the first process began, since containers share a boot id."""
    return host.run("cut -d' ' -f22 /proc/1/stat")


def test_hosts_boot_without_a_failed_unit(lab: Lab) -> None:
    """A host that is degraded from the start would blame the program for it."""
    states = {name: host.run("systemctl is-system-running --wait", check=False) for name, host in lab.hosts.items()}
    assert states == dict.fromkeys(lab.hosts, "running\n")


def test_the_key_of_the_lab_opens_every_host_by_its_named_host_key(lab: Lab) -> None:
    """What a stack file would say is true."""
    answers = {name: ssh(lab, host, "hostname").stdout.strip() for name, host in lab.hosts.items()}
    assert answers == {name: name for name in lab.hosts}


def test_a_user_called_operator_is_root_by_sudo_without_a_password(lab: Lab) -> None:
    """Debian has a group of this name already, which once ended the lab."""
    assert ssh(lab, lab.hosts["dora"], "id -u; sudo -n id -u", user="operator").stdout.split()[1:] == ["0"]


def test_the_disk_of_a_small_host_can_be_full(lab: Lab) -> None:
    """Filling it hurts this host only."""
    dora = lab.hosts["dora"]
    told = dora.run("head -c 60M /dev/zero 2>/dev/null >/root/filler || echo full")
    dora.run("rm -f /root/filler")
    assert "full" in told


def test_a_closed_firewall_is_closed_to_the_others_and_open_to_ssh(lab: Lab) -> None:
    """The nftables option drops what is not SSH."""
    bernard, dora = lab.hosts["bernard"], lab.hosts["dora"]
    assert not datagram_arrives(bernard, dora, "203.0.113.4", seconds=1)
    dora.run("nft insert rule inet filter input udp dport 51825 accept")
    assert datagram_arrives(bernard, dora, "203.0.113.4")


def test_nat_is_symmetric(lab: Lab) -> None:
    """One socket behind NAT has another public port for each destination, and never its own address."""
    bernard, carol, edgeworth = (lab.hosts[name] for name in ("bernard", "carol", "edgeworth"))
    listeners = [listen(bernard, 3), listen(carol, 3)]
    destinations = ["203.0.113.1", "203.0.113.2"]
    subprocess.run(in_namespace(edgeworth, "python3", "-c", SEND, str(PORT), *destinations), check=True)
    seen = [listener.communicate()[0].split() for listener in listeners]
    assert [address for address, _ in seen] == ["203.0.113.3"] * 2
    assert seen[0][1] != seen[1][1]


def test_nobody_reaches_a_host_behind_nat_that_has_not_spoken(lab: Lab) -> None:
    """Its router drops what nothing inside asked for."""
    assert not datagram_arrives(lab.hosts["carol"], lab.hosts["edgeworth"], "203.0.113.3", seconds=1)


def test_tunnels_cannot_take_the_management_wire(lab: Lab) -> None:
    """UDP crosses the wide area only, so that a proof of a NAT path is one."""
    bernard, carol = lab.hosts["bernard"], lab.hosts["carol"]
    assert datagram_arrives(bernard, carol, "203.0.113.2")
    assert not datagram_arrives(bernard, carol, carol.ssh_address, seconds=1)


def test_a_block_ends_with_unblock(lab: Lab) -> None:
    """Two hosts that lost each other find each other again."""
    bernard, carol = lab.hosts["bernard"], lab.hosts["carol"]
    lab.network.block_udp(1, 2, PORT)
    assert not datagram_arrives(bernard, carol, "203.0.113.2", seconds=1)
    lab.network.unblock()
    assert datagram_arrives(bernard, carol, "203.0.113.2")


def test_a_reboot_keeps_files_and_loses_what_only_ran(lab: Lab) -> None:
    """Rules in the kernel must not outlive it, or a test of persistence proves nothing."""
    bernard = lab.hosts["bernard"]
    before = boot_id(bernard)
    bernard.run("echo kept >/root/file; nft add table inet runtime")
    bernard.reboot()
    assert boot_id(bernard) != before
    assert bernard.run("cat /root/file") == "kept\n"
    assert "runtime" not in bernard.run("nft list tables")


def test_a_command_inside_does_not_hold_up_a_reboot(lab: Lab) -> None:
    """A guest waits for every process in it to be reaped, also for one that was put in from outside."""
    carol = lab.hosts["carol"]
    inside = threading.Thread(target=carol.run, args=("sleep 300",), kwargs={"check": False})
    inside.start()
    carol.reboot()
    inside.join(timeout=10)
    assert not inside.is_alive()


def test_a_host_without_power_is_silent_and_boots_as_new(lab: Lab) -> None:
    """Neither its addresses nor its rules stay behind."""
    bernard, carol = lab.hosts["bernard"], lab.hosts["carol"]
    bernard.run("nft add table inet runtime")
    bernard.power_cut()
    try:
        ping = subprocess.run(lab.command(*PING, bernard.ssh_address), check=False, capture_output=True)
        assert ping.returncode == 1
        wide = subprocess.run(in_namespace(carol, *PING, "203.0.113.1"), check=False, capture_output=True)
        assert wide.returncode == 1
        assert bernard.processes() == []
    finally:
        bernard.start()
        bernard.wait_until_ssh()
    assert "runtime" not in bernard.run("nft list tables")
    assert datagram_arrives(carol, bernard, "203.0.113.1")


def test_a_later_process_finds_the_hosts(lab: Lab) -> None:
    """The record on disk is enough to go on with a lab."""
    found = Lab.attach(prefix=PREFIX)
    assert found.hosts.keys() == lab.hosts.keys()
    assert found.hosts["carol"].run("hostname") == "carol\n"


def test_processes_of_a_host_are_seen_from_the_control_namespace(lab: Lab) -> None:
    """A check for what is left would otherwise find nothing and be content."""
    seen = subprocess.run(lab.command("ls", "/sys/fs/cgroup"), check=True, capture_output=True, text=True).stdout
    assert seen.split() == sorted(os.listdir("/sys/fs/cgroup"))


def test_teardown_leaves_nothing(tmp_path: Path) -> None:
    """No process, mount, namespace, control group or changed limit stays; another lab beside it does."""
    (tmp_path / "roots").symlink_to(lab_module.lab_directory() / "roots")
    # The limit is the machine's, so other labs may hold it raised; this one hands back what it found.
    limit = INOTIFY.read_text()
    short = Lab([HostSpec("bernard", 1), HostSpec("nomad", 2, nat=True)], prefix="labgone", directory=tmp_path)
    with short:
        processes = [pid for host in short.hosts.values() for pid in host.processes()]
        assert len(processes) > len(short.hosts)
    assert not [pid for pid in processes if Path(f"/proc/{pid}").exists()]
    assert not list(Path("/run/netns").glob("labgone-*"))
    assert not list(Path("/sys/fs/cgroup").glob("*/labgone-*"))
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["roots"]
    assert INOTIFY.read_text() == limit


def test_the_last_of_two_labs_restores_the_limit_of_before_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the second keeps what the first had raised."""
    (tmp_path / "roots").symlink_to(lab_module.lab_directory() / "roots")
    limit = tmp_path / "limit"
    limit.write_text("128")
    monkeypatch.setattr(lab_module, "_INOTIFY", limit)
    first, second = (Lab([], prefix=prefix, directory=tmp_path) for prefix in ("labone", "labtwo"))
    with second:
        with first:
            assert json.loads((first.directory / "lab.json").read_text())["inotify"] == 128
            assert limit.read_text() == "8192"
        assert limit.read_text() == "8192"
    assert limit.read_text() == "128"


def test_a_lab_never_takes_away_another_of_its_prefix(lab: Lab, tmp_path: Path) -> None:
    """Namespaces are the machine's, also when two labs keep their files in different directories."""
    (tmp_path / "roots").symlink_to(lab_module.lab_directory() / "roots")
    before = lab.network.names()
    with pytest.raises(RuntimeError, match="choose another prefix"), Lab([], prefix=PREFIX, directory=tmp_path):
        pass
    assert lab.network.names() == before


def test_a_lab_that_was_cut_off_in_another_checkout_does_not_stand_in_the_way(tmp_path: Path) -> None:
    """A machine that ends a run by force keeps its namespaces, mounts and control groups, and no process."""
    lost, found = tmp_path / "lost", tmp_path / "found"
    for directory in (lost, found):
        directory.mkdir()
        (directory / "roots").symlink_to(lab_module.lab_directory() / "roots")
    cut = Lab([HostSpec("nomad", 1, nat=True, disk_megabytes=48)], prefix="labcut", directory=lost).up()
    cut.hosts["nomad"].power_cut()
    with Lab([HostSpec("bernard", 1)], prefix="labcut", directory=found):
        pass
    assert not list(Path("/run/netns").glob("labcut-*"))
    assert not list(Path("/sys/fs/cgroup").glob("*/labcut-*"))
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_a_lab_that_was_cut_off_is_taken_away_with_the_hosts_that_it_added(tmp_path: Path) -> None:
    """As after Ctrl-C, by `python -m tests.lab down` or by the next run; hosts that had gone again are no obstacle."""
    (tmp_path / "roots").symlink_to(lab_module.lab_directory() / "roots")
    cut = Lab([HostSpec("bernard", 1)], prefix="labmore", directory=tmp_path).up()
    cut.add([HostSpec("nomad", 2, nat=True), HostSpec("grace", 3)])
    cut.hosts.pop("grace").remove()
    Lab.attach(prefix="labmore", directory=tmp_path).down()
    for host in cut.hosts.values():
        # What began them is this process, which has to hear of their end.
        host.stop()
    assert not list(Path("/run/netns").glob("labmore-*"))
    assert not list(Path("/sys/fs/cgroup").glob("*/labmore-*"))
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["roots"]


def test_a_machine_that_cannot_run_a_lab_says_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clearing up after a lab that never began must not hide the reason."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(LabUnavailableError, match="needs root"), Lab([], prefix="labnot", directory=tmp_path):
        pass
