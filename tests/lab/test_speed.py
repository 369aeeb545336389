"""`python -m mesh speed` and `bundle` on booted hosts: what they tell, and that nothing of them is left there."""

import json
import subprocess
import tarfile
from pathlib import Path

from tests.lab.conftest import PREFIX
from tests.lab.hosts import Host, HostSpec
from tests.lab.lab import Lab
from tests.lab.rehearsed import RehearsedStack
from tests.lab.snapshot import difference, snapshot
from tests.lab.stack import Stack, mesh_address, wait_until

_HOSTS = ["bernard", "carol", "edgeworth"]
_NO_TCP = """table inet own { chain own_input { type filter hook input priority 0;
iifname testwg meta l4proto tcp drop; }
}
"""
_MESH = {"testwg": {"hosts": _HOSTS, "port": 51825}}


def _streams(host: Host) -> str:
    """Return what sends or counts on a host."""
    return host.run("pgrep -f '[d]ev/udp|[r]x_bytes'", check=False)


def test_streams_are_measured_both_ways_and_nothing_is_left_of_them(stack: Stack, lab: Lab) -> None:
    """Inside the tunnel and beside it, where there is a way; also where the firewall drops, and after a kill."""
    stack.write(_MESH, {name: stack.describe(lab.hosts[name]) for name in _HOSTS})
    stack.up()
    before = {name: snapshot(lab.hosts[name]) for name in _HOSTS}
    told = stack.companion("speed", "bernard", "carol", "--json", "--seconds", "2").output
    streams = json.loads(told)["meshes"]["testwg"]["streams"]
    ways = [(each["host"], each["peer"], each["way"]) for each in streams]
    both = (("bernard", "carol"), ("carol", "bernard"))
    assert ways == [(*pair, way) for way in ("tunnel", "direct") for pair in both]
    assert all(each["fault"] == "" and each["bitsPerSecond"] > 1e6 for each in streams)
    assert all(each["received"] <= each["sent"] * 1.05 for each in streams)
    roaming = json.loads(stack.companion("speed", "edgeworth", "bernard", "--json", "--seconds", "1").output)
    found = [(each["host"], each["way"]) for each in roaming["meshes"]["testwg"]["streams"]]
    assert found == [("edgeworth", "tunnel"), ("bernard", "tunnel"), ("edgeworth", "direct")]
    lab.network.block_udp(1, 2, 51825)
    try:
        silent = stack.companion("speed", "bernard", "carol", "--seconds", "1", succeeds=False).output
    finally:
        lab.network.unblock()
    assert "! bernard → carol, tunnel: nothing of what bernard sent arrived at carol" in silent
    assert "! bernard → carol, direct: nothing of what bernard sent arrived at carol" in silent
    words = lab.command(str(stack.project / ".venv/bin/python"), "-m", "mesh", "speed", "bernard", "carol")
    with subprocess.Popen(words, cwd=stack.project, env=stack.environment, stdout=subprocess.DEVNULL) as measuring:
        wait_until(lambda: bool(_streams(lab.hosts["bernard"])) and bool(_streams(lab.hosts["carol"])), 30)
        measuring.kill()
    wait_until(lambda: not any(_streams(lab.hosts[name]) for name in _HOSTS), 20)
    wait_until(lambda: stack.silent("testwg") == [], 40)
    assert {name: difference(before[name], snapshot(lab.hosts[name])) for name in _HOSTS} == dict.fromkeys(_HOSTS, "")


def test_a_bundle_has_what_hosts_logged_and_no_name_of_theirs(stack: Stack, lab: Lab, tmp_path: Path) -> None:
    """With the journal of each host that answers; a dead one is told."""
    stack.write(_MESH, {name: stack.describe(lab.hosts[name]) for name in _HOSTS})
    stack.up()
    lab.network.refuse_ssh("bernard")
    try:
        texts = [bundle(stack, tmp_path, *options) for options in (["--keep-names"], [])]
    finally:
        lab.network.accept_ssh("bernard")
    named, replaced = texts
    assert "host 'carol'" not in named["doctor.json"]
    assert "wg-quick" in named["hosts/carol/journal.txt"]
    assert "wireguard-tools" in named["hosts/carol/system.txt"]
    assert "hosts/bernard/journal.txt" not in named
    assert "hosts/bernard: " in named["README.txt"]
    members = json.loads(named["plan.json"])["testwg"]["roster"]["members"]
    known = {"testwg", *lab.hosts, *(lab.hosts[name].run("uname -n").strip() for name in _HOSTS)}
    for member in members.values():
        known |= {member["publicKey"], member["ssh"]["address"], member["address"].partition("::")[0]}
        # Not the endpoint: that of the lab is of a documentation range, as what stands for addresses is.
        known.add(member["ssh"]["hostKey"].split()[1])
    text = "\n".join(replaced.values())
    assert [value for value in known if value in text] == []
    assert len(replaced) == len(named)
    assert "wg-quick" in replaced["hosts/host-2/journal.txt"]


def test_tcp_is_measured_by_iperf3_inside_the_tunnel_alone(tmp_path: Path) -> None:
    """It listens on the address in the mesh alone, and not after a kill; a host without it says so."""
    specs = [HostSpec("bernard", 1, root="trixie-iperf3"), HostSpec("carol", 2, root="trixie-iperf3")]
    with Lab([*specs, HostSpec("dora", 3)], prefix=f"{PREFIX}i") as lab:
        stack = RehearsedStack(lab, tmp_path / "stack")
        hosts = {name: stack.describe(host) for name, host in lab.hosts.items()}
        stack.write({"testwg": {"hosts": list(hosts), "port": 51825}}, hosts)
        stack.up()
        told = stack.companion("speed", "bernard", "carol", "--tcp", "--seconds", "1", "--json").output
        streams = json.loads(told)["meshes"]["testwg"]["streams"]
        assert [(each["host"], each["way"], each["protocol"]) for each in streams] == [
            ("bernard", "tunnel", "tcp"),
            ("carol", "tunnel", "tcp"),
        ]
        assert all(each["fault"] == "" and each["bitsPerSecond"] > 1e6 for each in streams)
        lacking = stack.companion("speed", "dora", "carol", "--tcp", "--seconds", "1", succeeds=False).output
        assert "dora: could not tell how fast it is (no iperf3, which --tcp takes)" in lacking
        carol = lab.hosts["carol"]
        carol.run("nft -f -", text=_NO_TCP)
        dropped = stack.companion("speed", "bernard", "carol", "--tcp", "--seconds", "1", succeeds=False).output
        carol.run("nft delete table inet own")
        assert "! bernard → carol, tunnel: iperf3 on bernard says: unable to connect to server" in dropped
        words = lab.command(str(stack.project / ".venv/bin/python"), "-m", "mesh", "speed", "bernard", "carol", "--tcp")
        with subprocess.Popen(words, cwd=stack.project, env=stack.environment, stdout=subprocess.DEVNULL) as measuring:
            wait_until(lambda: bool(carol.run("ss -Hltnp | grep iperf3", check=False)), 30)
            listening = carol.run("ss -Hltnp | grep iperf3")
            measuring.kill()
        assert [line.split()[3].rpartition(":")[0] for line in listening.splitlines()] == [
            f"[{mesh_address('carol', 'testwg')}]"
        ]
        wait_until(lambda: not any(host.run("pgrep iperf3", check=False) for host in lab.hosts.values()), 30)


def bundle(stack: Stack, folder: Path, *options: str) -> dict[str, str]:
    """Return the files of a bundle."""
    path = folder / f"bundle{len(options)}.tar.gz"
    stack.companion("bundle", "--output", str(path), *options)
    with tarfile.open(path) as archive:
        files = {entry.name: archive.extractfile(entry) for entry in archive.getmembers()}
        return {name.removeprefix("mesh-bundle/"): file.read().decode() for name, file in files.items() if file}
