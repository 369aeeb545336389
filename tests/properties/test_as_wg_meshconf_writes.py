"""A database of wg-meshconf is imported as the files that the real wg-meshconf generates from it."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from mesh.cli.importers.found import FoundMesh
from mesh.cli.importers.wg_meshconf import read_wg_meshconf
from mesh.cli.importers.wg_quick import read_wg_quick_folder
from mesh.errors import ConfigurationError
from tests import wg_meshconf

pytestmark = pytest.mark.thorough
_README = {"tokyo1": "10.1.0.1/16", "germany1": "10.2.0.1/16", "canada1": "10.3.0.1/16", "shanghai1": "10.4.0.1/16"}


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    try:
        with TemporaryDirectory() as folder:
            wg_meshconf.run(Path(folder), "showpeers")
    except wg_meshconf.NotInstalledError as lack:
        pytest.skip(str(lack))


def _read(content: bytes) -> FoundMesh | None:
    try:
        return read_wg_meshconf(content, "wg0")
    except ConfigurationError:
        return None


def _read_files(folder: Path) -> FoundMesh | None:
    try:
        (mesh,) = read_wg_quick_folder(folder, "wg0")
    except ConfigurationError:
        return None
    return mesh


def _seldom(draw: st.DrawFn, usual: object, *others: object) -> Any:
    return draw(st.sampled_from(others)) if draw(st.integers(0, 9)) == 0 else usual


@st.composite
def hosts(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Return hosts as wg-meshconf is told of them; most make a mesh that can be kept."""
    inside = draw(
        st.sampled_from([["10.{0}.0.1/16"], ["10.0.0.{0}/24"], ["10.0.0.{0}/32", "fd12:{0}::1/64"], ["fd12::{0}/128"]])
    )
    mtu = draw(st.sampled_from([None, "1400"]))
    made = []
    for number in range(1, draw(st.integers(2, 5))):
        endpoints = [
            f"h{number}.Example.org",
            f"203.0.113.{number}",
            f"2001:db8::{number}",
            f"[2001:db8::{number}]",
            None,
        ]
        made.append(
            {
                "Name": f"h{number}",
                "Address": [each.format(number) for each in inside],
                "Endpoint": draw(st.sampled_from(endpoints)),
                "ListenPort": _seldom(draw, "51820", "051820", "51821"),
                "AllowedIPs": _seldom(draw, None, [f"192.168.{number}.0/24"], [f"fd13:{number}::/48", "10.0.0.0/8"]),
                "PersistentKeepalive": draw(st.sampled_from([None, "25", "0"])),
                "MTU": _seldom(draw, mtu, "1420"),
                "SaveConfig": _seldom(draw, None, True, False),
                "DNS": _seldom(draw, None, "1.1.1.1"),
                "FwMark": _seldom(draw, None, "0x0", "off", "51820"),
            }
        )
    return made


@settings(max_examples=6)
@given(st.lists(hosts(), min_size=6, max_size=6))
def test_a_database_is_the_mesh_that_its_files_make(meshes: list[list[dict[str, Any]]]) -> None:
    """What is taken of the one is taken of the others, and is the same."""
    with TemporaryDirectory() as folder:
        for made in wg_meshconf.generate(Path(folder), meshes):
            found = _read((made / "database.csv").read_bytes())
            event("refused" if found is None else "taken")
            assert found == _read_files(made / "output")


def test_the_readmes_mesh_is_kept(tmp_path: Path) -> None:
    """As its own commands make it."""
    wg_meshconf.run(tmp_path, "init")
    for name, address in _README.items():
        wg_meshconf.run(tmp_path, "addpeer", name, "--address", address, "--endpoint", f"{name}.com")
    wg_meshconf.run(tmp_path, "genconfig")
    mesh = _read((tmp_path / "database.csv").read_bytes())
    assert mesh is not None
    assert {each.host: str(each.ipv4) for each in mesh.members} == {
        name: address.removesuffix("/16") for name, address in _README.items()
    }
    assert mesh == _read_files(tmp_path / "output")


def test_the_advice_for_one_range_of_all_hosts_can_be_followed(tmp_path: Path) -> None:
    """With the commands that it says."""
    for number in (1, 2, 3):
        wg_meshconf.run(
            tmp_path, "addpeer", f"h{number}", "--address", f"10.0.0.{number}/24", "--endpoint", f"h{number}.org"
        )
    database = tmp_path / "database.csv"
    with pytest.raises(ConfigurationError) as caught:
        read_wg_meshconf(database.read_bytes(), "wg0")
    commands = re.findall(r"run wg-meshconf (updatepeer \S+ --address \S+), then genconfig", str(caught.value))
    assert len(commands) == 3
    for command in commands:
        wg_meshconf.run(tmp_path, *command.split())
    mesh = read_wg_meshconf(database.read_bytes(), "wg0")
    assert [str(each.ipv4) for each in mesh.members] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
