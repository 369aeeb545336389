"""A drawing of a mesh with what its hosts say at this moment: who is not as planned, and which pairs are silent."""

from dataclasses import replace

from mesh.cli.graph import Drawing
from mesh.cli.status_rows import MeshStatus

__all__ = ["mark_faulty"]


def mark_faulty(drawing: Drawing, mesh: MeshStatus) -> Drawing:
    """Return the drawing with what is wrong marked; a host that is planned and not there yet is not up either."""
    states = {host.host: host.state for host in mesh.hosts}
    silent = {frozenset((pair.host, pair.peer)) for pair in mesh.pairs if pair.state == "silent"}
    # What is drawn for a host begins with its name, and of a network there is nothing to ask.
    names = ["" if node.kind in ("network", "peer") else node.lines[0] for node in drawing.nodes]
    faulty = {number: states.get(name, "planned") for number, name in enumerate(names) if name}
    faulty = {number: state for number, state in faulty.items() if state != "up"}
    nodes = [
        replace(node, lines=(*node.lines, faulty[number])) if number in faulty else node
        for number, node in enumerate(drawing.nodes)
    ]
    lines = [number for number, (one, other, _) in enumerate(drawing.lines) if {names[one], names[other]} in silent]
    return replace(drawing, nodes=tuple(nodes), faulty=frozenset(faulty), silent=frozenset(lines))
