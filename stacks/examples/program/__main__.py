"""A mesh among machines that another stack makes, as a part of a program of one's own."""

import json

import pulumi

from mesh import Mesh

config = pulumi.Config()
names = json.loads(config.require("names"))
ports = json.loads(config.get("sshPorts") or "{}")
# Its output `machines` has, by name: publicIp; address, which is where SSH finds it; and hostKey.
machines = pulumi.StackReference(config.require("machines")).require_output("machines")


def machine(name: str) -> pulumi.Output[dict[str, str]]:
    """Return what the other stack says of one machine."""
    return machines.apply(lambda known: known[name])


mesh = Mesh(
    "backend",
    {
        name: {
            "externalIps": [machine(name)["publicIp"]],
            "ssh": {
                "address": machine(name)["address"],
                "port": ports.get(name, 22),
                "hostKey": machine(name)["hostKey"],
            },
        }
        for name in names
    },
    {"port": 51825, "names": True},
)

# Known at once, so other resources of this program need not wait for the mesh, unless they use it.
pulumi.export("addresses", mesh.addresses)
# Known, and true, once every pair is proven.
pulumi.export("backend", mesh.public)
