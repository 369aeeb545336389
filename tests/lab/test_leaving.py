"""Leaving: destroyed meshes and removed hosts leave nothing, dead ones are remembered until they are wiped."""

import re
from concurrent.futures import ThreadPoolExecutor

from tests.lab.hosts import Host
from tests.lab.lab import Lab
from tests.lab.snapshot import difference, snapshot
from tests.lab.stack import Stack, mesh_address, plug_in, wait_until

_PORT = 51825
_REMOVED = "nothing of interface testwg is left on this host\n"


def _snapshots(lab: Lab) -> dict[str, str]:
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(lab.hosts, pool.map(snapshot, lab.hosts.values()), strict=True))


def test_destroying_leaves_every_host_byte_for_byte_as_it_was(stack: Stack, lab: Lab) -> None:
    """Two meshes, a rotation and a reboot later nothing is left: no file, process, interface, unit or rule."""
    before = _snapshots(lab)
    everybody = list(lab.hosts)
    mesh = {"hosts": everybody, "port": _PORT, "names": True}
    stack.write({"testwg": mesh, "backwg": {"hosts": everybody[:2], "port": 51826, "names": True}})
    stack.up()
    carol = lab.hosts["carol"]
    # What is removed by the host itself takes nothing of another interface.
    assert carol.run("sh /var/lib/mesh/program wipe backwg") == "nothing of interface backwg is left on this host\n"
    assert carol.run("wg show interfaces; readlink -e /var/lib/mesh/program").startswith(
        "testwg\n/var/lib/mesh/program-"
    )
    assert carol.run("getent hosts bernard.testwg").split()[0] == mesh_address("bernard", "testwg")
    stack.write({"testwg": mesh | {"rotation": 2}})
    stack.up()
    assert lab.hosts["bernard"].run("ls /etc/wireguard") == "testwg.conf\n"
    lab.hosts["bernard"].reboot()
    stack.destroy()
    after = _snapshots(lab)
    assert {name: text for name in after if (text := difference(before[name], after[name]))} == {}


def test_a_removed_host_is_wiped_and_its_peers_forget_it(stack: Stack, lab: Lab) -> None:
    """The others get a preshared key that it does not know."""
    before = snapshot(lab.hosts["dora"])
    stack.write({"testwg": {"hosts": list(lab.hosts), "port": _PORT}})
    stack.up()
    known = lab.hosts["dora"].run("wg show testwg preshared-keys | cut -f 2 | sort -u")
    stack.write({"testwg": {"hosts": [name for name in lab.hosts if name != "dora"], "port": _PORT}})
    stack.up()
    assert difference(before, snapshot(lab.hosts["dora"])) == ""
    for name in stack.interfaces["testwg"]["hosts"]:
        assert len(lab.hosts[name].run("wg show testwg peers").split()) == 2
        assert lab.hosts[name].run("wg show testwg preshared-keys | cut -f 2 | sort -u") != known


def test_a_roaming_host_that_does_not_leave_after_all_is_where_it_was(stack: Stack, lab: Lab) -> None:
    """Its peers had removed it when the proof failed among the others, and it has no reason to speak."""
    mesh = {"hosts": ["bernard", "carol", "edgeworth"], "port": 51825}
    stack.write({"testwg": mesh})
    stack.up()
    before = lab.hosts["bernard"].run("wg show testwg endpoints | sort")
    stack.write({"testwg": {**mesh, "hosts": ["bernard", "carol"], "mtu": 1400}})
    lab.network.block_udp(1, 2, 51825)
    try:
        stack.fail()
    finally:
        lab.network.unblock()
    assert lab.hosts["bernard"].run("wg show testwg endpoints | sort") == before
    assert lab.hosts["bernard"].run(f"ping -q -c 1 -W 3 {mesh_address('edgeworth', 'testwg')}")


def test_a_dead_host_that_is_removed_is_wiped_when_it_is_back(stack: Stack, lab: Lab) -> None:
    """Until then the stack says that it is not wiped, and the others do without it."""
    dora = lab.hosts["dora"]
    before = snapshot(dora)
    stack.write({"testwg": {"hosts": list(lab.hosts), "port": _PORT}})
    stack.up()
    dora.power_cut()
    rest = {name: stack.describe(host) for name, host in lab.hosts.items() if name != "dora"}
    stack.write({"testwg": {"hosts": list(rest), "port": _PORT}}, rest)
    assert "dora is not wiped" in stack.up().output
    assert stack.resources()["testwg/rollout"]["notWiped"] == ["dora"]
    assert stack.silent("testwg") == []
    plug_in(dora)
    stack.up()
    assert stack.resources()["testwg/rollout"]["notWiped"] == []
    assert difference(before, snapshot(dora)) == ""
    stack.up("--expect-no-changes")
    _is_removed_by_itself_after_a_destroy_without_it(stack, lab.hosts["carol"])


def _is_removed_by_itself_after_a_destroy_without_it(stack: Stack, host: Host) -> None:
    """By the command that destroy prints for a host that was dead, word for word."""
    host.power_cut()
    found = re.search(
        r"interface testwg may still be on carol; to remove it, run there as root: (.*)", stack.destroy().output
    )
    assert found is not None
    plug_in(host)
    assert host.run("ls /etc/wireguard") == "testwg.conf\n"
    other = found[1].replace("testwg", "wg7")
    assert "has nothing of interface wg7; it has: testwg" in host.run(f"{other} 2>&1", check=False)
    assert host.run(found[1]) == _REMOVED
    assert host.run("ls -d /var/lib/mesh /etc/wireguard/* /etc/systemd/system/mesh*", check=False) == ""


def test_a_host_that_removes_an_interface_waits_for_a_run_takes_a_change_back_and_outlives_its_session(
    stack: Stack, lab: Lab
) -> None:
    """As the page says; a run that does not end is named after 40 seconds, and nothing is removed then."""
    before = {name: snapshot(lab.hosts[name]) for name in ("bernard", "carol")}
    stack.write({"testwg": {"hosts": list(before), "port": _PORT, "deadline": 300}})
    stack.up()
    bernard, carol = (lab.hosts[name] for name in before)
    wipe = "sh /var/lib/mesh/program wipe testwg"
    holder = bernard.run("setsid flock /var/lib/mesh/testwg/lock sleep 300 >/dev/null 2>&1 & echo $!").strip()
    refused = bernard.run(f"{wipe} 2>&1", check=False)
    assert "another run holds interface testwg on this host" in refused
    assert "wait for it to end" in refused
    assert stack.silent("testwg") == []
    # One that ends meanwhile is waited for.
    bernard.run(f"{{ sleep 3; kill -- -{holder}; }} >/dev/null 2>&1 &")
    assert bernard.run(wipe) == _REMOVED
    stack.write({"testwg": {"hosts": list(before), "port": _PORT, "deadline": 300, "rotation": 2}})
    stack.up("--refresh")
    stack.write({"testwg": {"hosts": list(before), "port": _PORT, "deadline": 300, "rotation": 3}})
    run = stack.start("up")
    with stack.held_at(run):
        run.kill_all()
    wait_until(lambda: not stack.is_served(), 60)
    assert carol.run("ls /var/lib/mesh/testwg/deadline")
    # Whoever is logged in through the tunnel loses the terminal with it.
    lost = "while wg show testwg >/dev/null 2>&1; do sleep 0.01; done; kill -HUP $!; wait"
    assert carol.run(f"{wipe} & {lost}") == _REMOVED
    assert bernard.run(wipe) == _REMOVED
    assert {name: difference(before[name], snapshot(lab.hosts[name])) for name in before} == dict.fromkeys(before, "")


def test_an_older_host_program_is_replaced_everywhere(engine_stack: Stack, lab: Lab) -> None:
    """The next change brings the new program, and the old one is gone with it."""
    engine_stack.write({"testwg": {"hosts": list(lab.hosts), "port": _PORT}})
    engine_stack.up()
    with (engine_stack.own_checkout() / "host" / "core" / "main.sh").open("a") as program:
        program.write(": a later version\n")
    engine_stack.up("--expect-no-changes")
    engine_stack.write({"testwg": {"hosts": list(lab.hosts), "port": _PORT, "mtu": 1400}})
    engine_stack.up()
    for host in lab.hosts.values():
        assert host.run("tail -n 1 /var/lib/mesh/program") == ": a later version\n"
        assert len(host.run("ls -d /var/lib/mesh/program-*").split()) == 1
    lab.hosts["carol"].reboot()
    wait_until(lambda: not engine_stack.silent("testwg"))
