"""What `mesh.forget` writes, and what it refuses."""

from pathlib import Path

import pytest

from mesh.cli.forget import choose_interfaces, write_forgotten
from mesh.cli.stack_file import StackFile
from mesh.config.models import Interface
from mesh.config.reader import read_configuration
from mesh.errors import MeshError
from tests.conftest import HOST_KEY

TEXT = f"""\
config:
  mesh:hosts:
    bernard: {{ssh: {{address: 10.0.0.5, hostKey: {HOST_KEY}}}}}
  mesh:interfaces:
    # the first
    testwg:
      hosts: [bernard] # one
    backwg:
      hosts: [bernard]
      port: 51825
      forgotten: [dora]
"""
ALIAS = (
    "testwg: {hosts: [bernard], forgotten: &gone [dora]}\n"
    "    backwg: {hosts: [bernard], port: 51825, forgotten: *gone}\n"
)
MERGE = "testwg: &first {hosts: [bernard], forgotten: [dora]}\n    backwg: {<<: *first, port: 51825}\n"


@pytest.fixture
def file(tmp_path: Path) -> StackFile:
    """Return a stack file of two meshes."""
    path = tmp_path / "Pulumi.test.yaml"
    path.write_text(TEXT)
    return StackFile(path)


@pytest.fixture
def interfaces(file: StackFile) -> dict[str, Interface]:
    """Return what it says of them."""
    config = file.content["config"]
    return read_configuration(config["mesh:hosts"], config["mesh:interfaces"]).interfaces


def test_a_forgotten_host_is_named_in_the_file_and_nothing_else_changes(file: StackFile) -> None:
    """Once, however often; comments and style stay."""
    for _ in range(2):
        write_forgotten(file, "carol", ["testwg", "backwg"])
    assert file.path.read_text() == TEXT.replace(
        "hosts: [bernard] # one\n", "hosts: [bernard] # one\n      forgotten: [carol]\n"
    ).replace("[dora]", "[dora, carol]")


def test_a_host_is_forgotten_in_the_file_that_names_it_or_in_the_one_that_is_given(
    interfaces: dict[str, Interface],
) -> None:
    """A host may have left several meshes."""
    sought = {"testwg": {"carol"}, "backwg": {"carol", "dora"}}
    assert choose_interfaces("carol", None, interfaces, sought) == ["backwg", "testwg"]
    assert choose_interfaces("carol", "testwg", interfaces, sought) == ["testwg"]
    assert choose_interfaces("dora", None, interfaces, sought) == ["backwg"]


@pytest.mark.parametrize(
    ("host", "interface", "said"),
    [
        ("bernard", None, "forget: bernard is a host of backwg, testwg; take it out of hosts and run pulumi up first"),
        ("carl", None, "forget: carl is no longer waiting to be wiped; hosts that are: carol, dora"),
        ("dora", "testwg", "forget: dora is no longer waiting to be wiped on testwg; hosts that are: carol, dora"),
        ("dora", None, "forget: oldwg is no longer in the stack file; run pulumi up, which removes it"),
    ],
)
def test_what_cannot_be_forgotten_is_told_with_the_way_out(
    interfaces: dict[str, Interface], host: str, interface: str | None, said: str
) -> None:
    """A name that is written down by mistake would keep a host from ever being wiped."""
    with pytest.raises(MeshError) as error:
        choose_interfaces(host, interface, interfaces, {"testwg": {"carol"}, "oldwg": {"dora"}})
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("interfaces", "forgets", "written"),
    [
        (
            ALIAS,
            "testwg",
            {"testwg": ["dora", "carol"], "backwg": ["dora"]},
        ),
        (
            ALIAS,
            "backwg",
            {"testwg": ["dora"], "backwg": ["dora", "carol"]},
        ),
        (
            MERGE,
            "backwg",
            {"testwg": ["dora"], "backwg": ["dora", "carol"]},
        ),
        (MERGE, "testwg", {}),
        ("testwg: &first {hosts: [bernard]}\n    backwg: {<<: *first, port: 51825}\n", "testwg", {}),
    ],
)
def test_another_mesh_that_shares_by_an_alias_or_a_merge_stays_as_it_is(
    tmp_path: Path, interfaces: str, forgets: str, written: dict[str, list[str]]
) -> None:
    """It still tries to wipe the host; where it would no longer, nothing is written, and the file says where."""
    path = tmp_path / "Pulumi.test.yaml"
    path.write_text(f"{TEXT.partition('    # the first')[0]}    {interfaces}")
    before = path.read_text()
    if not written:
        words = (
            "Pulumi.test.yaml: not written, since mesh:interfaces.backwg has by an alias or a merge what would change; "
            "write it out at each place"
        )
        with pytest.raises(MeshError) as refused:
            write_forgotten(StackFile(path), "carol", [forgets])
        assert str(refused.value) == words
        assert path.read_text() == before
        return
    write_forgotten(StackFile(path), "carol", [forgets])
    found = StackFile(path).configuration().interfaces
    assert {name: list(mesh.forgotten) for name, mesh in found.items()} == written
