"""What a mesh looks like, by its plan: who is in it, and who reaches whom and how; as DOT and as Mermaid.

What is drawn has numbers, and names stand in labels only, so that no name means anything to a format. The SVG is in
`graph_svg`. Formats: the DOT language of Graphviz, and flowcharts of Mermaid.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mesh.errors import visible
from mesh.plan.pairs import Pairs
from mesh.plan.roster_builder import build_roster
from mesh.plan.topology import MeshPlan, PlannedParticipant

__all__ = ["Drawing", "Node", "dot", "draw", "mermaid"]

_PLAIN = re.compile(r"[^A-Za-z0-9 .,:/_-]")
_DOT_NODES = {
    "host": "shape=box",
    "roaming": "shape=box, style=rounded",
    "relay": "shape=box, peripheries=2",
    "exit": "shape=box, peripheries=2",
    "peer": "shape=ellipse, style=dashed",
    "network": "shape=cds",
}
_DOT_LINES = {
    "direct": "",
    "local": "style=bold",
    "relayed": "style=dotted",
    "exit": "style=bold, dir=forward",
    "network": "style=dashed",
}
# What is around the label of a node, and what stands between two nodes.
_MERMAID_NODES = {
    "host": '["%s"]', "roaming": '("%s")', "relay": '[["%s"]]', "exit": '[["%s"]]', "peer": '(["%s"])',
    "network": '[/"%s"/]',
}  # fmt: skip
_MERMAID_LINES = {"direct": "---", "local": "===", "relayed": "-.-", "exit": "==>", "network": "---"}


@dataclass(frozen=True, slots=True)
class Node:
    """A participant or a network behind one; `kind` is host, roaming, relay, exit, peer or network.

    `lines` say what it is, the name first.
    """

    kind: str
    lines: tuple[str, ...]
    site: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A mesh; `lines` are pairs of nodes by their numbers, with a kind: direct, local, relayed, exit or network.

    Of an exit line, the first node uses the second. Where hosts were asked, `faulty` are nodes, and `silent` lines, by
    their numbers; they are drawn in red.
    """

    title: str
    nodes: tuple[Node, ...]
    lines: tuple[tuple[int, int, str], ...]
    faulty: frozenset[int] = frozenset()
    silent: frozenset[int] = frozenset()

    def sites(self) -> dict[str, list[int]]:
        """Return the numbers of the nodes in each site; those of none are under the empty name."""
        found: dict[str, list[int]] = {}
        for number, node in enumerate(self.nodes):
            found.setdefault(node.site, []).append(number)
        return dict(sorted(found.items()))


def _node(plan: MeshPlan, owner: PlannedParticipant, pairs: Pairs) -> Node:
    is_member = owner in plan.members
    uses = {
        "relay": owner.name == plan.relay,
        "exit": bool(is_member and pairs.exit_users(owner.name)),
        "peer": not is_member,
        "roaming": owner.is_roaming,
    }
    words = {"exit": "exit node", "peer": "not managed here"}
    kinds = [kind for kind, applies in uses.items() if applies]
    roles = ", ".join(words.get(kind, kind) for kind in kinds)
    addresses = [str(owner.address.ip), *([str(owner.ipv4)] if owner.ipv4 else [])]
    lines = (owner.name, *addresses, owner.endpoint or "", roles)
    return Node(kinds[0] if kinds else "host", tuple(filter(None, lines)), owner.site or "")


def _line(pairs: Pairs, one: PlannedParticipant, other: PlannedParticipant) -> str:
    if one.name == other.exit_node or other.name == one.exit_node:
        return "exit"
    if pairs.relay_between(one.name, other.name):
        return "relayed"
    if not pairs.can_meet(one.name, other.name):
        return ""
    return "local" if one.site and one.site == other.site and (one.local_endpoint or other.local_endpoint) else "direct"


def draw(plan: MeshPlan) -> Drawing:
    """Return the drawing of a mesh; pairs that cannot meet have no line."""
    owners = {owner.name: owner for owner in plan.participants}
    number = {name: place for place, name in enumerate(owners)}
    # No drawing has a key or a login.
    logins = {member.name: {"system": "", "ssh": {}} for member in plan.members}
    pairs = Pairs(build_roster(plan, dict.fromkeys(owners, ""), logins))
    nodes = [_node(plan, owner, pairs) for owner in owners.values()]
    lines = []
    for pair in pairs:
        one, other = reversed(pair) if owners[pair[1]].exit_node == pair[0] else pair
        if kind := _line(pairs, owners[one], owners[other]):
            lines.append((number[one], number[other], kind))
    for owner in owners.values():
        for route in owner.routes:
            lines.append((number[owner.name], len(nodes), "network"))
            nodes.append(Node("network", (str(route),), owner.site or ""))
    return Drawing(plan.interface, tuple(nodes), tuple(lines))


def _nodes(
    drawing: Drawing, begin: str, node: Callable[[int, Node], str], end: str, name: Callable[[str], str]
) -> Iterator[str]:
    """Yield the lines of all nodes, those of a site between `begin`, with its number and name, and `end`."""
    for place, (site, numbers) in enumerate(drawing.sites().items()):
        if site:
            yield begin % (place, name(site))
        for number in numbers:
            yield node(number, drawing.nodes[number])
        if site:
            yield end


def dot(drawing: Drawing) -> str:
    """Return the drawing for Graphviz."""

    def quoted(*lines: str) -> str:
        # Graphviz reads entities as HTML does, and a backslash begins what it puts in itself.
        escaped = (visible(line).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"') for line in lines)
        return '"' + "\\n".join(escaped) + '"'

    def labelled(number: int, node: Node) -> str:
        red = ", color=red, fontcolor=red" if number in drawing.faulty else ""
        return f"  n{number} [label={quoted(*node.lines)}, {_DOT_NODES[node.kind]}{red}];"

    def body() -> Iterator[str]:
        yield from _nodes(drawing, "  subgraph cluster_%s { label=%s;", labelled, "  }", quoted)
        for number, (one, other, kind) in enumerate(drawing.lines):
            shown = [_DOT_LINES[kind], "color=red" if number in drawing.silent else ""]
            yield f"  n{one} -- n{other} [{', '.join(filter(None, shown))}];"

    head = [f"graph {quoted(drawing.title)} {{", f"  label={quoted(drawing.title)};", '  node [fontname="sans-serif"];']
    return "\n".join([*head, *body(), "}"]) + "\n"


def mermaid(drawing: Drawing) -> str:
    """Return the drawing as a flowchart of Mermaid, as GitHub draws it in a Markdown page."""

    def escaped(*lines: str) -> str:
        return "<br/>".join(_PLAIN.sub(lambda found: f"#{ord(found[0])};", visible(line)) for line in lines)

    def labelled(number: int, node: Node) -> str:
        return f"  n{number}{_MERMAID_NODES[node.kind] % escaped(*node.lines)}"

    def body() -> Iterator[str]:
        yield from _nodes(drawing, '  subgraph s%s["%s"]', labelled, "  end", escaped)
        for one, other, kind in drawing.lines:
            yield f"  n{one} {_MERMAID_LINES[kind]} n{other}"
        yield from (f"  style n{number} stroke:#d22,color:#d22" for number in sorted(drawing.faulty))
        if drawing.silent:
            yield f"  linkStyle {','.join(map(str, sorted(drawing.silent)))} stroke:#d22"

    return "\n".join(["flowchart LR", *body()]) + "\n"
