"""Hosts that the version before set up, whose records lie beside the interfaces: they go on, and are taken over."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.lab.hosts import HostSpec
from tests.lab.lab import Lab
from tests.lab.snapshot import difference, snapshot
from tests.lab.stack import Stack, wait_until

# Leaves of a host what the version before left: its records beside the interfaces, no timer that keeps what they need,
# and a program of another digest, which boots.
_EARLIER = """
set -e
cd /var/lib/mesh
for interface in testwg backwg; do
    if [ -d /run/systemd/system ]; then
        systemctl stop mesh-keep@$interface.timer
    else
        rc-service -q mesh-keep.$interface stop
    fi
    rm -f /etc/systemd/system/timers.target.wants/mesh-keep@$interface.timer /etc/init.d/mesh-keep.$interface
    rm -f /etc/runlevels/default/mesh-keep.$interface $interface/run/kept
done
rm -f /etc/systemd/system/mesh-keep@.* /etc/init.d/mesh-keep shared-by-interfaces/keep-units
rm -rf /run/mesh
find shared-by-interfaces -type f -exec mv {} . ';'
rmdir shared-by-interfaces
echo '# the version before' >>"$(readlink program)"
old=program-$(sha256sum <program | cut -c 1-16)
mv "$(readlink program)" "$old"
ln -sfn "$old" program
[ ! -d /run/systemd/system ] || systemctl daemon-reload
ls
"""


def test_a_host_of_the_version_before_goes_on_and_is_taken_over_by_its_next_change(stack: Stack, lab: Lab) -> None:
    """It boots, is refreshed without an alarm, goes back, changes, and is destroyed without a trace."""
    lab.add([HostSpec("grace", 11), HostSpec("openrc", 12, root="bookworm-openrc")])
    hosts = {name: lab.hosts[name] for name in ("grace", "openrc", "edgeworth")}
    try:
        before = {name: snapshot(host) for name, host in hosts.items()}
        # A relay remembers whether it forwarded before, and names need a timer.
        described = {name: stack.describe(host) for name, host in hosts.items()}
        hosts["openrc"].run(f"echo '{hosts['grace'].external_address} grace.example.org' >>/etc/hosts")
        hosts["edgeworth"].run(f"echo '{hosts['grace'].external_address} grace.example.org' >>/etc/hosts")
        before |= {name: snapshot(hosts[name]) for name in ("openrc", "edgeworth")}
        del described["grace"]["externalIps"]
        described["grace"]["externalName"] = "grace.example.org"
        mesh: dict[str, Any] = {"hosts": list(hosts), "deadline": 20, "names": True, "exitNode": "grace"}
        mesh |= {"ipv4": "10.20.0.0/24"}
        mesh |= {"members": {name: {"ipv4": f"10.20.0.{number}"} for number, name in enumerate(hosts, 1)}}
        testwg, backwg = mesh | {"port": 51825}, {"hosts": list(hosts), "port": 51826, "deadline": 20}
        stack.write({"testwg": testwg, "backwg": backwg}, described)
        stack.up()
        listings = {name: host.run(_EARLIER).split() for name, host in hosts.items()}
        assert "forwarding-6" in listings["grace"]
        assert {"units", "timer-units"} <= set(listings["openrc"])
        assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda host: host.reboot(), hosts.values()))
        wait_until(lambda: not stack.silent("testwg") and not stack.silent("backwg"), 120)
        assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
        assert "shared-by-interfaces" not in hosts["grace"].run("ls /var/lib/mesh")

        stack.write({"testwg": testwg | {"mtu": 1400}, "backwg": backwg}, described)
        lab.network.block_udp(11, 12, 51825)
        try:
            stack.fail()
        finally:
            lab.network.unblock()
        wait_until(lambda: not stack.silent("testwg") and not stack.silent("backwg"), 60)
        stack.up()
        for name, host in hosts.items():
            listing = host.run("cd /var/lib/mesh; ls -d *").split()
            assert [entry for entry in listing if not entry.startswith("program-")] == [
                *["backwg", "lock", "program", "shared-by-interfaces", "testwg"]
            ], name
            assert len([entry for entry in listing if entry.startswith("program-")]) == 1
        assert hosts["grace"].run("cut -d ' ' -f 2 /var/lib/mesh/shared-by-interfaces/forwarding-6") == "0\n"
        assert "mesh-keep@testwg.timer" in hosts["grace"].run("systemctl list-timers")
        assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
        for host in hosts.values():
            host.reboot()
        wait_until(lambda: not stack.silent("testwg") and not stack.silent("backwg"), 120)
        stack.destroy()
        assert {name: difference(before[name], snapshot(host)) for name, host in hosts.items()} == dict.fromkeys(
            hosts, ""
        )
    finally:
        hosts["edgeworth"].run("sed -i '/grace.example.org/d' /etc/hosts")
        for name in ("grace", "openrc"):
            lab.hosts.pop(name).remove()


def test_destroying_a_mesh_of_the_version_before_leaves_nothing(stack: Stack, lab: Lab) -> None:
    """Also one whose interface is called as a record, which that version could not take away."""
    carol = lab.hosts["carol"]
    before = snapshot(carol)
    mesh = {"hosts": ["bernard", "carol"], "deadline": 20, "names": True}
    names = {"testwg": 51825, "backwg": 51826, "units": 51827}
    stack.write({name: {**mesh, "port": port} for name, port in names.items()})
    stack.up()
    # There the record of units lay in the folder of that interface.
    records = "cd /var/lib/mesh; mv shared-by-interfaces/units units/units.new; rm units/run/kept"
    script = _EARLIER.replace("in testwg backwg", "in testwg backwg units")
    assert "units" in carol.run(f"{records}\n{script}").split()
    assert "not wiped" not in stack.destroy().output
    assert difference(before, snapshot(carol)) == ""
