"""A stack file that a command changes in place: what stays of it, what it is not written over, and how it is found."""

import os
from pathlib import Path

import pytest
from ruamel.yaml.comments import CommentedMap

from mesh.cli.allocate import allocate_addresses
from mesh.cli.completion import names_in_file
from mesh.cli.pulumi_cli import pulumi_of
from mesh.cli.stack_file import HOSTS, INTERFACES, StackFile
from mesh.cli.stack_places import find_or_name_stack_file, find_stack_file, stack_of
from mesh.errors import ConfigurationError, MeshError
from tests.unit.scanned import OTHER_KEY

TEXT = f"""\
config:
  mesh:hosts:
    bernard: {{externalIps: [78.11.11.11], ssh: {{address: 10.0.0.1, hostKey: {OTHER_KEY}}}}}  # first
  mesh:interfaces:
    testwg:
      hosts:
        - bernard
"""
FOUR = """\
# mine
config:
    mesh:hosts:
        bernard: # first
            externalIps:
                - '78.11.11.11'
            ssh: {address: 10.0.0.1}
    mesh:interfaces: {}
"""


def read(folder: Path, text: str | bytes, *, complete: bool = False) -> StackFile:
    """Write a stack file and read it."""
    path = folder / "Pulumi.test.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return StackFile(path, complete=complete)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        FOUR,
        FOUR.replace("\n", "\r\n"),
        f"\ufeff{FOUR}",
        f"# of all\n---\n{FOUR}...\n# the end\n",
        FOUR.replace("                - ", "            - "),
        f"{FOUR}    other:x: 'y'   # why\n",
    ],
    ids=["two", "four", "Windows", "mark", "document", "flat list", "comment"],
)
def test_how_a_file_is_written_stays(tmp_path: Path, text: str) -> None:
    """Indentation, line ends, marks and comments, but for what was changed."""
    file = read(tmp_path, text, complete=True)
    file.hosts["bernard"].insert(0, "system", "x86_64-linux")
    file.write()
    lines, before = file.path.read_bytes().splitlines(), text.encode().splitlines()
    if text != TEXT:
        assert [line for line in lines if b"system" not in line] == before
        assert b"            system: x86_64-linux" in lines
    assert file.path.read_bytes().count(b"\r") == (len(lines) if "\r" in text else 0)


@pytest.mark.parametrize("other", ["config: {}\n", None], ids=["changed", "removed"])
def test_what_somebody_writes_meanwhile_is_not_written_over(tmp_path: Path, other: str | None) -> None:
    """A scan waits for a yes as long as it takes."""
    file = read(tmp_path, TEXT)
    file.hosts["bernard"]["system"] = "x86_64-linux"
    if other is None:
        file.path.unlink()
    else:
        file.path.write_text(other)
    with pytest.raises(MeshError, match=r"Pulumi\.test\.yaml: was changed meanwhile, so nothing was written; run it a"):
        file.write()
    assert (file.path.read_text() if file.path.exists() else None) == other
    with pytest.raises(MeshError, match="was changed meanwhile"):
        file.check_unchanged()


def test_nothing_is_written_that_the_next_preview_would_refuse(tmp_path: Path) -> None:
    """Unless it was refused before, or for what a scan fills in."""
    file = read(tmp_path, TEXT.replace("- bernard", "- bernard\n        - nobody"))
    file.hosts["bernard"]["system"] = "x86_64-linux"
    file.write()
    file.hosts["carol"] = CommentedMap()
    file.write()
    before = file.path.read_text()
    file.hosts["carol"]["externalIps"] = ["127.0.0.1"]
    with pytest.raises(ConfigurationError) as caught:
        file.write()
    assert str(caught.value).splitlines()[0] == (
        "Pulumi.test.yaml was not written, since it would have: 1 fault to correct"
    )
    assert "mesh:hosts.carol.externalIps[0]: a loopback address" in str(caught.value)
    assert "nobody" not in str(caught.value)
    assert file.path.read_text() == before


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("config:\n  a: 1\n  a: 2\n", "has a key twice; take it out of line 3"),
        ("config:\n  a: [1\n", "cannot be read as YAML; correct line 2"),
        (FOUR.encode("utf-16"), "is not written in UTF-8; have your editor save it so"),
        ("# Büro\n".encode("latin-1"), "is not written in UTF-8; have your editor save it so"),
        ("config: abc\n", "config is no mapping; correct it, or take it out"),
        ("- a\n", "config is no mapping; correct it, or take it out"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, text: str | bytes, told: str) -> None:
    """With a line that the file has."""
    with pytest.raises(MeshError, match=f"^Pulumi.test.yaml: {told}$"):
        read(tmp_path, text, complete=True)


@pytest.mark.parametrize(
    "text",
    ['"config":\n  mesh:rotation: 2\n', "config :\n  mesh:rotation: 2\n", "config:\n  mesh:rotation: 2\n...\n"],
)
def test_a_configuration_is_found_however_it_is_written(tmp_path: Path, text: str) -> None:
    """None is added to one that is there."""
    file = read(tmp_path, text, complete=True)
    assert file.content["config"] == {"mesh:rotation": 2, HOSTS: {}}
    file.write()
    assert file.path.read_text().count("config") == 1


@pytest.mark.parametrize("text", ["", "# mine\n", "---\n# mine\n...\n", "encryptionsalt: v1:a\n...\n", "{}", "null\n"])
def test_a_file_without_a_configuration_gets_one(tmp_path: Path, text: str) -> None:
    """And keeps what it has."""
    file = read(tmp_path, text, complete=True)
    assert file.section(INTERFACES) == {}
    file.write()
    assert ("# mine" in text) == ("# mine" in file.path.read_text())
    assert StackFile(file.path).content["config"] == {HOSTS: {}, INTERFACES: {}}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project in which `sym` and `other` are links to the file of the stack `real`."""
    (tmp_path / "project/stacks").mkdir(parents=True)
    (tmp_path / "project/Pulumi.yaml").write_text("name: mesh\nruntime: python\n")
    (tmp_path / "project/stacks/Pulumi.real.yaml").write_text(TEXT)
    (tmp_path / "project/stacks/Pulumi.other.yaml").symlink_to("Pulumi.real.yaml")
    (tmp_path / "common.yaml").write_text(TEXT)
    (tmp_path / "project/stacks/Pulumi.sym.yaml").symlink_to(tmp_path / "common.yaml")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.mark.parametrize("name", ["sym", "other", "organization/mesh/sym", "stacks/Pulumi.sym.yaml"])
@pytest.mark.parametrize("find", [find_stack_file, find_or_name_stack_file])
def test_a_stack_is_the_one_that_is_named_whatever_its_file_leads_to(project: Path, name: str, find: object) -> None:
    """Its keys would go to another stack else."""
    assert callable(find)
    path = find(name)
    assert stack_of(path) == ("other" if name == "other" else "sym")
    assert path.parent == project / "stacks"
    assert pulumi_of(path, project).stack == stack_of(path)


def test_the_file_that_pulumis_variable_names_is_the_file_of_every_stack(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For all commands, as for pulumi itself; only a path that is given comes before it."""
    elsewhere = project.parent / "common.yaml"
    monkeypatch.setenv("PULUMI_OPTION_CONFIG_FILE", str(elsewhere))
    for name in ("sym", "office", "organization/mesh/office"):
        assert find_stack_file(name) == elsewhere
        assert pulumi_of(elsewhere, project, name).stack == name
        assert pulumi_of(elsewhere, project, name).stack_file() == elsewhere
    given = "stacks/Pulumi.sym.yaml"
    assert find_stack_file(given) == project / given
    assert pulumi_of(find_stack_file(given), project, given).stack == "sym"
    monkeypatch.setenv("PULUMI_OPTION_CONFIG_FILE", "nowhere.yaml")
    with pytest.raises(MeshError, match=r"nowhere\.yaml: no such stack file; correct PULUMI_OPTION_CONFIG_FILE"):
        find_stack_file("sym")


def test_a_file_is_written_where_its_link_leads(project: Path) -> None:
    """The link stays."""
    file = StackFile(find_stack_file("sym"))
    file.hosts["bernard"]["system"] = "x86_64-linux"
    file.write()
    assert (project / "stacks/Pulumi.sym.yaml").is_symlink()
    assert "x86_64-linux" in (project.parent / "common.yaml").read_text()
    assert sorted(os.listdir(project.parent)) == ["common.yaml", "project"]


@pytest.mark.parametrize("name", ["x" * 300, "a/b/c/d"])
def test_what_can_be_no_name_is_told(project: Path, name: str) -> None:
    """In words."""
    assert project
    with pytest.raises(MeshError, match=r"give (its path, or a stack|a stack, or the path)"):
        find_stack_file(name)


def test_sections_without_their_namespace_are_found_as_pulumi_finds_them(tmp_path: Path) -> None:
    """Nothing of them is taken for missing, nor written a second time."""
    file = read(tmp_path, TEXT.replace("mesh:", "").replace("- bernard\n", "- bernard\n      ipv4: 10.20.0.0/24\n"))
    assert list(file.select([])) == ["bernard"]
    assert list(file.section(INTERFACES)) == ["testwg"]
    assert names_in_file(file.path, HOSTS) == ["bernard"]
    assert allocate_addresses(file) == {"testwg/bernard": "10.20.0.1"}
    again = StackFile(file.path, complete=True)
    assert list(again.configuration().interfaces) == list(again.section(INTERFACES)) == ["testwg"]
    assert "mesh:" not in again.text()
    other = read(tmp_path, "config:\n  hostsFile: hosts.yaml\n")
    with pytest.raises(MeshError, match=r"its hosts are in hosts\.yaml; name that file instead"):
        other.select([])
