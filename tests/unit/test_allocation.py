"""IPv4 addresses that a command writes into the stack file."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mesh.cli.allocate import allocate_addresses
from mesh.cli.stack_file import StackFile
from mesh.errors import MeshError

TEXT = """\
config:
  mesh:hosts: {{}}
  mesh:interfaces:
    testwg:
      hosts: [bernard, edgeworth, carol]  # in the order of purchase
      ipv4: {prefix}
      members:
        carol: {{ipv4: 10.20.0.5}}
      peers:
        phone:
    other:
      hosts: [bernard]
"""


def write(folder: Path, prefix: str = "10.20.0.0/24") -> StackFile:
    """Return the file of a stack in which carol and nobody else has an address."""
    path = folder / "Pulumi.test.yaml"
    path.write_text(TEXT.format(prefix=prefix))
    return StackFile(path, complete=True)


def interface(file: StackFile) -> Any:
    """Return what the file says of testwg."""
    return YAML(typ="safe").load(file.path.read_text())["config"]["mesh:interfaces"]["testwg"]


def test_whoever_has_none_gets_an_address_and_nobody_gets_another(tmp_path: Path) -> None:
    """Hosts come before peers, by name, above what is taken; comments and other interfaces stay."""
    file = write(tmp_path)
    given = allocate_addresses(file)
    assert given == {"testwg/bernard": "10.20.0.6", "testwg/edgeworth": "10.20.0.7", "testwg/phone": "10.20.0.8"}
    found = interface(file)
    assert {name: own["ipv4"] for name, own in found["members"].items()} == {
        "carol": "10.20.0.5",
        "bernard": "10.20.0.6",
        "edgeworth": "10.20.0.7",
    }
    assert found["peers"] == {"phone": {"ipv4": "10.20.0.8"}}
    assert "# in the order of purchase" in file.path.read_text()
    before = file.path.read_text()
    assert allocate_addresses(StackFile(file.path, complete=True)) == {}
    assert file.path.read_text() == before


def test_a_free_address_is_given_again_when_no_other_is_left(tmp_path: Path) -> None:
    """Below what is taken too, and no further: a full prefix leaves the file as it is."""
    file = write(tmp_path, "10.20.0.0/29")
    assert list(allocate_addresses(file).values()) == ["10.20.0.6", "10.20.0.1", "10.20.0.2"]
    small = write(tmp_path, "10.20.0.4/30")
    before = small.path.read_text()
    with pytest.raises(MeshError, match=r"testwg.ipv4: 10.20.0.4/30 has no address left for edgeworth; give a larger"):
        allocate_addresses(small)
    assert small.path.read_text() == before


def test_no_address_is_given_in_a_range_that_a_host_has(tmp_path: Path) -> None:
    """All of it is sent there."""
    path = tmp_path / "Pulumi.test.yaml"
    ranged = "carol: {ipv4: 10.20.0.5, routes: [10.20.0.0/25, '2001:db8:5::/64']}"
    path.write_text(TEXT.format(prefix="10.20.0.0/24").replace("carol: {ipv4: 10.20.0.5}", ranged))
    assert list(allocate_addresses(StackFile(path, complete=True)).values()) == [
        "10.20.0.128",
        "10.20.0.129",
        "10.20.0.130",
    ]


def test_what_is_no_prefix_is_refused(tmp_path: Path) -> None:
    """Before anything is written."""
    with pytest.raises(MeshError, match="not an IPv4 prefix"):
        allocate_addresses(write(tmp_path, "10.20.0.7/24"))
