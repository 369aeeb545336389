"""Hosts in a file of their own."""

from pathlib import Path

import pytest

from mesh.cli.stack_file import StackFile
from mesh.config.hosts_file import read_hosts
from mesh.errors import ConfigurationError, MeshError

HOSTS = {"bernard": {"ssh": {"address": "10.0.0.5"}}}
TEXT = "bernard:\n  ssh: {address: 10.0.0.5}  # the first\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a file of hosts."""
    (tmp_path / "hosts.yaml").write_text(TEXT)
    return tmp_path


def test_without_a_file_the_stack_files_hosts_count(folder: Path) -> None:
    """None are none, also where Pulumi gives an empty mapping."""
    assert read_hosts(HOSTS, "", folder) == HOSTS
    assert read_hosts({}, None, folder) is None


def test_a_file_is_read_from_the_project(folder: Path) -> None:
    """As if it stood below mesh:hosts."""
    assert read_hosts({}, "hosts.yaml", folder) == HOSTS


def test_hosts_in_two_places_are_refused(folder: Path) -> None:
    """Which of two would count, nobody could tell."""
    with pytest.raises(ConfigurationError, match="mesh:hosts is given too"):
        read_hosts(HOSTS, "hosts.yaml", folder)


@pytest.mark.parametrize(
    ("text", "words"), [(None, "No such file"), ("a: [", "cannot be read as YAML"), ("- a", "no mapping")]
)
def test_a_file_that_is_none_is_named(folder: Path, text: str | None, words: str) -> None:
    """With what is wrong and what to do."""
    if text is not None:
        (folder / "other.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=f"mesh:hostsFile: 'other.yaml'.*{words}"):
        read_hosts(None, "other.yaml", folder)


def test_a_file_of_hosts_can_be_scanned_in_place(folder: Path) -> None:
    """It is what a scan fills in, and a stack file that names it says so."""
    file = StackFile(folder / "hosts.yaml")
    assert list(file.hosts) == ["bernard"]
    assert file.text() == TEXT
    (folder / "Pulumi.big.yaml").write_text("config:\n  mesh:hostsFile: hosts.yaml\n")
    with pytest.raises(MeshError, match=r"its hosts are in hosts\.yaml; name that file instead"):
        StackFile(folder / "Pulumi.big.yaml").select([])
