"""The mesh in a program of the user's own, with addresses that another resource of it finds out."""

import json
import re
import shlex

from tests.documents import ROOT, blocks
from tests.lab.conftest import clean
from tests.lab.lab import Lab
from tests.lab.stack import Stack, mesh_address

# The hosts are known to the program alone, and not to what reads a stack file.
_OWN_HOSTS = """
import json, os
from mesh import Mesh
Mesh("testwg", json.loads(os.environ["OWN_HOSTS"]), {"port": 51825, "deadline": 20})
"""
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


def test_a_reinstalled_host_of_ones_own_program_is_set_up_by_what_is_told(engine_stack: Stack, lab: Lab) -> None:
    """By the command of the page, which a refresh names too; else by that of the host that lost its key."""
    carol = lab.hosts["carol"]
    hosts = {name: engine_stack.describe(lab.hosts[name]) for name in ("bernard", "carol")}
    engine_stack.environment["OWN_HOSTS"] = json.dumps(hosts)
    engine_stack.own_program(_OWN_HOSTS)
    project = engine_stack.project / "Pulumi.yaml"
    ours = project.read_text()
    project.unlink()
    project.write_text(ours.partition("\nconfig:\n")[0] + "\n")
    engine_stack.up()
    key = carol.run("wg show testwg public-key")
    [page] = [text for text in blocks(ROOT / "docs/tasks/library.md", "sh") if text.startswith("pulumi up")]
    of_page = page.strip().replace("backend/db", "testwg/carol")
    clean(carol)
    refused = engine_stack.fail("--refresh")
    assert f"carol: was reinstalled, or has lost all of testwg; {of_page} sets it up again" in refused
    [of_host] = re.findall(r"this host has no private key for its public key in the roster; run (.*)", refused)[:1]
    for command in (of_host, of_page):
        assert carol.run("wg show testwg", check=False) == ""
        _, verb, *options = shlex.split(command)
        engine_stack.run(verb, *options)
        assert carol.run("wg show testwg public-key") == key
        assert carol.run(f"ping -6 -q -c 1 -W 6 {mesh_address('bernard', 'testwg')}")
        if command == of_host:
            clean(carol)
