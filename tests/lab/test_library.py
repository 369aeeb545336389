"""The mesh in a program of the user's own, with addresses that another resource of it finds out."""

from tests.lab.lab import Lab
from tests.lab.stack import Stack, mesh_address

_PROGRAM = """
import pulumi
from pulumi_command.local import Command

from mesh import Mesh

hosts = {}
for name, host in pulumi.Config("mesh").require_object("hosts").items():
    found = Command(f"machine-{name}", create=f"printf %s {host['ssh']['address']}")
    hosts[name] = {**host, "ssh": {**host["ssh"], "address": found.stdout}}
mesh = Mesh("testwg", hosts, pulumi.Config("mesh").require_object("interfaces")["testwg"])
pulumi.export("addresses", mesh.addresses)
pulumi.export("testwg", mesh.public)
"""


def test_a_program_of_ones_own_brings_up_a_mesh_and_changes_it(stack: Stack, lab: Lab) -> None:
    """Where SSH finds the hosts is not known before the run that makes the mesh."""
    stack.own_program(_PROGRAM)
    mesh = {"hosts": list(lab.hosts), "port": 51825, "deadline": 20}
    stack.write({"testwg": mesh})
    preview = stack.run("preview").output
    assert mesh_address("carol", "testwg") in preview
    assert all(host.run("ls -d /var/lib/mesh", check=False) == "" for host in lab.hosts.values())
    assert "testwg: confirmed on 4 hosts" in stack.up().output
    assert stack.silent("testwg") == []
    stack.up("--expect-no-changes")
    keys = stack.running_keys("testwg")
    stack.write({"testwg": mesh | {"rotation": 2, "names": True}})
    stack.up()
    assert stack.silent("testwg") == []
    assert not set(keys.values()) & set(stack.running_keys("testwg").values())
    assert mesh_address("dora", "testwg") in lab.hosts["bernard"].run("getent hosts dora.testwg")
    stack.destroy()
    assert all(host.run("ls -d /var/lib/mesh", check=False) == "" for host in lab.hosts.values())
