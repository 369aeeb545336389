"""`python -m mesh status` on booted hosts."""

import json
import re
import time

from tests.lab.lab import Lab
from tests.lab.stack import Stack, wait_until

_HOSTS = ["bernard", "carol", "edgeworth"]
_MESH = {"testwg": {"hosts": _HOSTS, "port": 51825}}


def test_status_shows_what_the_hosts_run(stack: Stack, lab: Lab) -> None:
    """Well after an up; a peer that somebody removed, and a host without power, are rows with words and exit code 1.

    So they are on the page.
    """
    carol = lab.hosts["carol"]
    stack.write(_MESH, {name: stack.describe(lab.hosts[name]) for name in _HOSTS})
    stack.up()
    found = json.loads(stack.companion("status", "--json").output)["meshes"]["testwg"]
    assert found["well"]
    assert {pair["state"] for pair in found["pairs"]} == {"up"}
    assert all(host["wireguard"] == "userspace" and host["ownProgram"] for host in found["hosts"])
    assert all(0 <= host["uptime"] < 600 and host["packetsReceived"] for host in found["hosts"])
    assert all(pair["ping"] and pair["handshake"] and pair["received"] for pair in found["pairs"])
    key = stack.running_public_keys("testwg")["bernard"]
    carol.run(f"wg set testwg peer '{key}' remove")
    assert "! carol: has no peer bernard" in stack.companion("status", succeeds=False).output
    page = stack.companion("page", "--output", "-", succeeds=False).output
    assert re.search(r'W10</b> <a class="go"[^>]*>carol</a>', page)
    assert page.count("<td class=u>") == 4
    stack.up("--refresh")
    carol.run("wg-quick down testwg 2>&1")
    status = stack.companion("status", succeeds=False).output
    assert "! carol: interface testwg is not there; pulumi up --refresh brings it up again" in status
    assert "(1 drifted)" in status
    stack.up("--refresh")
    carol.power_cut()
    began = time.monotonic()
    found = json.loads(stack.companion("status", "--json", succeeds=False).output)["meshes"]["testwg"]
    assert time.monotonic() - began < 60
    assert {host["host"]: host["state"] for host in found["hosts"]}["carol"] == "unreachable"
    page = stack.companion("page", "--output", "-", succeeds=False).output
    assert re.search(r'W01</b> <a class="go"[^>]*>carol</a>', page)
    assert (page.count("<td class=u>"), page.count("<td class=s>"), page.count("<td class=k>")) == (2, 2, 2)
    carol.start()
    carol.wait_until_ssh()
    # Peers use their sessions with the host of before for up to 20 seconds, as WireGuard does after any reboot.
    wait_until(lambda: stack.silent("testwg") == [], 40)
    stack.companion("status")


def test_status_gives_nothing_to_a_host_that_has_nothing(stack: Stack, lab: Lab) -> None:
    """Asking must not install the program on a host that was wiped by hand."""
    stack.write(_MESH, {name: stack.describe(lab.hosts[name]) for name in _HOSTS})
    stack.up()
    carol = lab.hosts["carol"]
    carol.run("systemctl stop wg-quick@testwg; rm -rf /var/lib/mesh")
    status = stack.companion("status", succeeds=False).output
    assert "carol: has nothing of this mesh; run pulumi up --refresh" in status
    assert "(1 drifted)" in status
    told = stack.companion("doctor", succeeds=False).output
    assert "W02 carol: The host lost what it had of the mesh" in told
    assert "    repair: pulumi up --refresh\n" in told
    assert carol.run("ls /var/lib/mesh", check=False) == ""
