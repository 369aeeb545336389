"""No text in a drawing means anything to the format that it stands in, whatever the text is."""

import re
import shutil
import subprocess
from html import unescape
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.cli.graph import Drawing, Node, dot, mermaid
from mesh.cli.graph_svg import svg
from mesh.errors import visible

KINDS = ("host", "roaming", "relay", "exit", "peer", "network")
LINES = ("direct", "local", "relayed", "exit", "network")
# What ends a label, begins an entity, or is a word of a format.
_odd = st.sampled_from(
    ['"', '\\"', "\\", "\\N", "&quot;", "#quot;", "]", ")]", "<br/>", "</svg>", "]]>", "\n", "end", "}"]
)
texts = st.lists(st.one_of(_odd, st.text(max_size=6)), min_size=1, max_size=4).map("".join).filter(bool)


@st.composite
def drawings(draw: st.DrawFn) -> Drawing:
    """Return a drawing of nodes with any texts, each joined with the first."""
    node = st.builds(
        Node,
        st.sampled_from(KINDS),
        st.lists(texts, min_size=1, max_size=2).map(tuple),
        st.sampled_from(["", draw(texts)]),
    )
    nodes = draw(st.lists(node, min_size=1, max_size=5))
    lines = [(0, number, draw(st.sampled_from(LINES))) for number in range(1, len(nodes))]
    return Drawing(draw(texts), tuple(nodes), tuple(lines))


def labels(drawing: Drawing) -> list[str]:
    """Return the texts of all nodes as a person sees them."""
    return sorted(visible(line) for node in drawing.nodes for line in node.lines)


def named_sites(drawing: Drawing) -> list[str]:
    """Return the sites that have a name, as a person sees them."""
    return sorted(visible(site) for site in drawing.sites() if site)


def elements(text: str, tag: str) -> list[Any]:
    """Return the elements of that kind in an XML document."""
    return list(ElementTree.fromstring(text).iter(f"{{http://www.w3.org/2000/svg}}{tag}"))  # noqa: S314


@given(drawings())
def test_a_label_of_svg_is_text(drawing: Drawing) -> None:
    """There are as many elements as the drawing has, and the texts are read back."""
    picture = svg(drawing)
    groups = elements(picture, "g")
    assert [group[0].text for group in groups] == [", ".join(map(visible, node.lines)) for node in drawing.nodes]
    assert [len(group) for group in groups] == [3] * len(drawing.nodes)
    assert len(elements(picture, "line")) == len(drawing.lines)
    found = elements(picture, "text")
    assert len(found) == 1 + len(drawing.nodes) + len(named_sites(drawing))
    assert found[0].text == visible(drawing.title)
    assert sorted(text.text for text in found if text.get("class") == "site") == named_sites(drawing)


@given(drawings())
def test_a_label_of_mermaid_is_text(drawing: Drawing) -> None:
    """Each line is a node, a site, its end or a connection, and no quote is left within quotes."""
    shapes = r'n\d+(?:\["T"\]|\("T"\)|\[\["T"\]\]|\(\["T"\]\)|\[/"T"/\])|subgraph s\d+\["T"\]|end|n\d+ \S{3} n\d+'
    text = r"((?:[A-Za-z0-9 .,:/_-]|#\d+;|<br/>)*)"
    form = re.compile(rf"  (?:{shapes.replace('T', text)})")
    first, *lines = mermaid(drawing).splitlines()
    assert first == "flowchart LR"
    matches = [form.fullmatch(line) for line in lines]
    assert all(matches), lines
    found = [next((group for group in match.groups() if group is not None), None) for match in matches if match]
    shown = [unescape(re.sub(r"#(\d+);", r"&#\1;", part)) for words in found if words for part in words.split("<br/>")]
    assert sorted(shown) == sorted([*labels(drawing), *named_sites(drawing)])


@given(drawings())
def test_a_label_of_dot_is_text(drawing: Drawing) -> None:
    """Graphviz itself reads it, and shows the texts as they are."""
    if shutil.which("dot") is None:
        pytest.skip("there is no dot on this machine")
    done = subprocess.run(["dot", "-Tsvg"], input=dot(drawing).encode(), capture_output=True, check=True)
    assert done.stderr == b""
    picture = done.stdout.decode()
    found = [group.get("class") for group in elements(picture, "g")]
    assert found.count("node") == len(drawing.nodes)
    assert found.count("edge") == len(drawing.lines)
    assert found.count("cluster") == len(named_sites(drawing))
    # It writes spaces in a way that none is lost.
    shown = sorted((text.text or "").replace("\xa0", " ") for text in elements(picture, "text"))
    wanted = [*labels(drawing), *named_sites(drawing), visible(drawing.title)]
    assert shown == sorted(text.replace("\xa0", " ") for text in wanted)
