"""What `python -m mesh graph` draws of a stack file."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mesh.cli.app import app
from mesh.cli.graph import Drawing, dot, draw, mermaid
from mesh.cli.graph_live import mark_faulty
from mesh.cli.graph_svg import svg
from mesh.cli.planned import read_mesh
from mesh.cli.status_rows import HostStatus, MeshStatus, PairStatus

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "stacks/examples"


def drawing_of(example: str) -> Drawing:
    """Return the drawing of the mesh in an example."""
    return draw(read_mesh(str(EXAMPLES / f"Pulumi.{example}.yaml"), None))


def lines_of(drawing: Drawing) -> dict[tuple[str, str], str]:
    """Return the kind of each line by the names at its ends."""
    names = [node.lines[0] for node in drawing.nodes]
    return {(names[one], names[other]): kind for one, other, kind in drawing.lines}


def test_relays_exit_nodes_networks_and_peers_are_told_apart() -> None:
    """With who uses them."""
    drawing = drawing_of("routes")
    assert {node.lines[0]: (node.kind, node.site) for node in drawing.nodes} == {
        "gate": ("relay", ""),
        "office": ("roaming", "berlin"),
        "files": ("roaming", "berlin"),
        "laptop": ("roaming", ""),
        "phone": ("peer", ""),
        "192.168.10.0/24": ("network", "berlin"),
    }
    assert "relay, exit node" in next(node.lines for node in drawing.nodes if node.lines[0] == "gate")
    lines = lines_of(drawing)
    assert lines["phone", "gate"] == lines["laptop", "gate"] == "exit"
    assert lines["office", "192.168.10.0/24"] == "network"
    assert lines["laptop", "office"] == "relayed"
    assert lines["files", "office"] == "local"


def test_hosts_of_a_site_are_joined_by_its_network() -> None:
    """Hosts elsewhere by the internet, and pairs that cannot meet not at all."""
    lines = lines_of(drawing_of("sites"))
    assert lines["files", "printer"] == lines["backup", "files"] == "local"
    assert lines["archive", "printer"] == "direct"


def test_a_hub_has_lines_and_its_spokes_have_none_to_each_other() -> None:
    """As the peering rules say."""
    drawing = drawing_of("peering")
    assert len(drawing.lines) < len(drawing.nodes) * (len(drawing.nodes) - 1) / 2


def test_what_is_wrong_is_red_in_every_format() -> None:
    """A host that does not answer, one that is planned and not there yet, and a pair that is silent."""
    rows = [HostStatus(name, "", "", state, "") for name, state in (("files", "up"), ("printer", "unreachable"))]
    rows.append(HostStatus("archive", "", "", "up", ""))
    pairs = (PairStatus("archive", "files", "silent"), PairStatus("files", "archive", "up"))
    marked = mark_faulty(drawing_of("sites"), MeshStatus("testwg", tuple(rows), pairs, ()))
    states = {node.lines[0]: node.lines[-1] for number, node in enumerate(marked.nodes) if number in marked.faulty}
    assert states == {"printer": "unreachable", "backup": "planned"}
    assert {tuple(sorted(marked.nodes[end].lines[0] for end in marked.lines[line][:2])) for line in marked.silent} == {
        ("archive", "files")
    }
    assert dot(marked).count("color=red, fontcolor=red") == 2
    assert len(re.findall(r"n\d+ -- n\d+ \[[^]]*color=red\]", dot(marked))) == 1
    assert mermaid(marked).count("  style n") == 2
    assert f"linkStyle {min(marked.silent)} stroke" in mermaid(marked)
    assert svg(marked).count(' faulty"') == 2
    assert svg(marked).count(' silent"') == 1
    assert "red:" not in svg(drawing_of("sites"))


@pytest.mark.parametrize(
    ("options", "begin"),
    [([], "<svg "), (["--format", "dot"], 'graph "replication" {'), (["--format", "mermaid"], "flowchart LR")],
)
def test_the_command_prints_the_format_that_is_asked_for(options: list[str], begin: str) -> None:
    """Of the mesh that is asked for."""
    done = CliRunner().invoke(app, ["graph", "production", "--interface", "replication", *options])
    assert done.exit_code == 0
    assert done.stdout.startswith(begin)
    assert "database.paris" in done.stdout
    assert "build-machine" not in done.stdout


def test_one_of_several_meshes_has_to_be_chosen() -> None:
    """A drawing is of one."""
    done = CliRunner().invoke(app, ["graph", "production"])
    assert "production: has management and replication, and this takes one; choose it with --interface" in str(
        done.exception
    )
