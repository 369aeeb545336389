"""How a program of one's own uses `mesh`: checked by mypy, never run. A wrong use has to be one to mypy too."""

from typing import Any, assert_type

import pulumi

from mesh import Mesh

host = {"externalIps": [pulumi.Output.from_input("78.11.11.11")], "ssh": {"address": "10.0.0.5", "hostKey": "…"}}

mesh = Mesh(
    "backend", {"db": host, "web": host}, {"port": 51825}, adopted={"backend": "…"}, opts=pulumi.ResourceOptions()
)
assert_type(mesh.addresses, dict[str, str])
assert_type(mesh.public, pulumi.Output[dict[str, Any]])
assert_type(mesh.peer_files, pulumi.Output[dict[str, str]] | None)

Mesh("backend", {})
Mesh("backend", ["db"])  # type: ignore[arg-type]
Mesh(1, {})  # type: ignore[arg-type]
Mesh("backend", {}, {}, {"backend": "…"})  # type: ignore[call-arg]
Mesh("backend", {}, port=51825)  # type: ignore[call-arg]
