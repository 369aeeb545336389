"""What a first run refuses: nothing changes anywhere, and what belongs to somebody else stays as it is."""

import re

from mesh.wireguard.keys import generate_key_pair
from tests.documents import ROOT, read
from tests.lab.lab import Lab
from tests.lab.stack import Stack, mesh_address

_PORT = 51825


def test_a_failed_first_run_leaves_nothing_that_destroy_does_not_take_away(stack: Stack, lab: Lab) -> None:
    """No interface runs and nothing boots after the failure; destroy removes the rest, or the host does by itself."""
    stack.write({"testwg": {"hosts": list(lab.hosts), "port": _PORT}})
    lab.network.block_udp(1, 2, _PORT)
    try:
        stack.fail()
    finally:
        lab.network.unblock()
    assert stack.running_keys("testwg") == {}
    assert "nothing of interface testwg is left" in lab.hosts["carol"].run("sh /var/lib/mesh/program wipe testwg")
    stack.destroy()
    for host in lab.hosts.values():
        assert host.run("ls -d /var/lib/mesh /etc/wireguard/* /etc/systemd/system/mesh*", check=False) == ""


def test_the_interface_of_somebody_else_is_refused_and_nothing_changes_anywhere(stack: Stack, lab: Lab) -> None:
    """The message names the host; the interface and its key stay."""
    carol = lab.hosts["carol"]
    key = generate_key_pair()
    carol.run("wireguard-go testwg 2>/dev/null; wg set testwg private-key /dev/stdin", text=key.private_key)
    stack.write({"testwg": {"hosts": list(lab.hosts), "port": _PORT}})
    output = stack.fail()
    assert "'carol'" in output
    assert "an interface testwg exists that mesh did not make" in output
    assert stack.running_keys("testwg") == {"carol": key.private_key}
    assert (
        lab.hosts["dora"].run("ls -d /var/lib/mesh/testwg/enrolled /var/lib/mesh/program", check=False).count("/") == 5
    )
    # A host that was enrolled and no more has no program, and the page says what removes its key.
    (told,) = re.findall("`(rm -r [^`]*)` removes the key", read(ROOT / "docs/tasks/remove-a-host.md"))
    lab.hosts["dora"].run(told)
    assert lab.hosts["dora"].run("ls -d /var/lib/mesh", check=False) == ""
    carol.run("ip link del testwg")
    stack.up("--refresh")


def test_the_file_of_somebody_else_is_refused_and_nothing_changes_anywhere(stack: Stack, lab: Lab) -> None:
    """The message names the host and the file, which stays as it was."""
    dora = lab.hosts["dora"]
    dora.run("mkdir -p /etc/wireguard; echo '[Interface]' >/etc/wireguard/testwg.conf")
    stack.write({"testwg": {"hosts": list(lab.hosts), "port": _PORT}})
    output = stack.fail()
    assert "'dora'" in output
    assert "/etc/wireguard/testwg.conf exists and mesh did not write it" in output
    assert dora.run("cat /etc/wireguard/testwg.conf") == "[Interface]\n"
    assert stack.running_keys("testwg") == {}
    stack.destroy()
    # The stack never had this host, so destroying takes nothing of it.
    assert dora.run("cat /etc/wireguard/testwg.conf") == "[Interface]\n"
    dora.run("rm /etc/wireguard/testwg.conf")


def test_a_taken_port_is_refused_and_nothing_changes_anywhere(stack: Stack, lab: Lab) -> None:
    """Another tunnel of the host listens there already."""
    bernard = lab.hosts["bernard"]
    bernard.run(f"wireguard-go other 2>/dev/null; wg set other listen-port {_PORT}; ip link set other up")
    stack.write({"testwg": {"hosts": list(lab.hosts), "port": _PORT}})
    output = stack.fail()
    assert "'bernard'" in output
    assert f"UDP port {_PORT} is taken by interface other" in output
    assert stack.running_keys("testwg") == {}
    bernard.run("ip link del other")
    stack.up()
    assert mesh_address("bernard", "testwg") in bernard.run("ip -6 address show dev testwg")


def test_an_interface_with_another_name_is_a_new_mesh_and_the_old_one_runs_until_it_is_taken_out(stack: Stack) -> None:
    """At the same port it is refused, with what to do; by the way that is told, the new one takes over."""
    mesh = {"hosts": ["bernard", "carol"], "port": _PORT}
    stack.write({"testwg": mesh})
    stack.up()
    before = stack.running_keys("testwg")
    stack.write({"officewg": mesh})
    assert (
        f"UDP port {_PORT} is taken by interface testwg, another mesh; choose another port. To rename testwg"
        in stack.fail()
    )
    assert stack.running_keys("testwg") == before
    stack.write({"testwg": mesh, "officewg": {**mesh, "port": _PORT + 1}})
    stack.up()
    stack.write({"officewg": {**mesh, "port": _PORT + 1}})
    stack.up()
    assert stack.running_keys("testwg") == {}
    assert stack.silent("officewg") == []
