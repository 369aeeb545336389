"""IPv4 addresses that a command writes into the stack file."""

import time
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


def test_entries_that_say_nothing_are_as_none(tmp_path: Path) -> None:
    """The fault that advises this command is told of such a file too."""
    file = write(tmp_path)
    file.path.write_text(file.path.read_text().replace("{ipv4: 10.20.0.5}", "").replace("        phone:\n", ""))
    given = allocate_addresses(StackFile(file.path, complete=True))
    assert list(given.values()) == ["10.20.0.1", "10.20.0.2", "10.20.0.3"]
    empty = file.path.read_text().partition("      members:")[0]
    file.path.write_text(f"{empty}      members:\n      peers:\n")
    assert len(allocate_addresses(StackFile(file.path, complete=True))) == 3


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("[bernard, edgeworth, carol]", "bernard", "testwg.hosts: not usable; give a list"),
        ("[bernard, edgeworth, carol]", "[bernard, 5]", "testwg.hosts: not usable; give a list"),
        ("\n        carol: {ipv4: 10.20.0.5}", " [carol]", "testwg.members: not usable; give a mapping"),
        ("{ipv4: 10.20.0.5}", "5", "testwg.members.carol: not usable; give a mapping"),
        ("{ipv4: 10.20.0.5}", "{routes: 5}", "testwg.members.carol: not usable; give a mapping, and routes as a list"),
        ("        phone:", "        5:", "testwg.peers: not usable; give a mapping of names"),
        ("ipv4: 10.20.0.5", "ipv4: foo", "testwg.members.carol.ipv4: not an IPv4 address"),
        ("ipv4: 10.20.0.0/24", "ipv4: 10", "testwg.ipv4: not an IPv4 prefix"),
    ],
)
def test_an_entry_that_cannot_be_read_is_told_and_nothing_is_written(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    """Never a name of one letter out of a text, nor an address out of a number."""
    path = write(tmp_path).path
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    with pytest.raises(MeshError, match=said):
        allocate_addresses(StackFile(path, complete=True))
    assert path.read_text() == text.replace(before, after)


def test_a_large_prefix_is_not_gone_through(tmp_path: Path) -> None:
    """A /8 has sixteen million addresses, of which three are wanted."""
    began = time.process_time()
    assert len(allocate_addresses(write(tmp_path, "10.0.0.0/8"))) == 3
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        (
            "        carol: {ipv4: 10.20.0.5}",
            "        bernard: &m {externalPort: 5}\n        carol: *m",
            "members.bernard",
        ),
        ("\n        carol: {ipv4: 10.20.0.5}", " {<<: {bernard: {externalPort: 5}}}", "members.bernard"),
        ("    testwg:", "    testwg: &testwg", ""),
    ],
)
def test_what_others_have_too_gets_no_address(tmp_path: Path, before: str, after: str, place: str) -> None:
    """All of them would get the same one."""
    path = write(tmp_path).path
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    with pytest.raises(MeshError) as caught:
        allocate_addresses(StackFile(path))
    where = ".".join(filter(None, ("mesh:interfaces.testwg", place)))
    assert str(caught.value).startswith(f"{where}: an alias or a merge has it elsewhere too, and an address is of one")
    assert path.read_text() == text.replace(before, after)
