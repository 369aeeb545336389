"""Which engine is taken, and what is said when none can be had."""

import sys
from pathlib import Path

import pytest
from pulumi.automation import PulumiCommand

from mesh.cli.engine import Engine, find_engine, install_engine, link_engine
from mesh.errors import MeshError


def place(folder: Path, version: str) -> Path:
    """Put a `pulumi` there that says it has this version."""
    folder.mkdir(parents=True)
    program = folder / "pulumi"
    program.write_text(f"#!/bin/sh\necho v{version}\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("version", "fits"),
    [
        ("3.244.0", True),
        ("3.260.0-alpha.1", True),
        ("3.239.9", False),
        ("2.999.0", False),
        ("4.0.0", False),
        ("", False),
    ],
)
def test_an_engine_fits_from_3_244_up_and_below_4(version: str, fits: bool) -> None:
    """Older ones lack what the program uses, and a new major version may lack anything."""
    assert Engine(Path("pulumi"), version).fits is fits


def test_the_engine_on_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user has installed is what the user means."""
    wanted = place(tmp_path / "path", "3.250.0")
    place(tmp_path / "home" / "bin", "3.260.0")
    monkeypatch.setenv("PATH", str(wanted.parent))
    found = find_engine(tmp_path / "home")
    assert found is not None
    assert (found.command, found.is_on_path) == (wanted, True)


def test_an_old_engine_on_path_gives_way_to_one_that_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that an earlier setup installed is found, and known not to be on PATH."""
    old = place(tmp_path / "path", "3.100.0")
    wanted = place(tmp_path / "home" / "bin", "3.260.0")
    monkeypatch.setenv("PATH", f"{old.parent}:/bin")
    found = find_engine(tmp_path / "home")
    assert found is not None
    assert (found.command, found.is_on_path) == (wanted, False)


def test_no_engine_is_found_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without pulumi is no error here; whoever asked decides."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_engine(tmp_path / "home") is None


def test_a_failed_download_says_what_to_do_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without internet the SDK raises whatever its HTTP client does."""

    def fail(**_: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr(PulumiCommand, "install", fail)
    with pytest.raises(MeshError) as caught:
        install_engine(tmp_path)
    assert str(caught.value) == (
        "engine: pulumi could not be installed (no route); install it by hand, 3.244 or later, and put it on PATH"
    )


def test_an_installed_engine_is_the_one_in_bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is where users expect it."""
    monkeypatch.setattr(PulumiCommand, "install", lambda **options: place(Path(options["root"]) / "bin", "3.260.0"))
    assert install_engine(tmp_path).command == tmp_path / "bin" / "pulumi"


@pytest.mark.parametrize("before", ["nothing", "a link that leads nowhere", "a program of the user's"])
def test_an_engine_that_is_not_on_path_is_linked_into_the_virtual_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    """Where nothing of somebody else's is in the way; outside of one there is no link."""
    link = tmp_path / "venv/bin/pulumi"
    link.parent.mkdir(parents=True)
    if before == "a program of the user's":
        link.write_text("theirs")
    elif before == "a link that leads nowhere":
        link.symlink_to(tmp_path / "gone")
    found = Engine(place(tmp_path / "home" / "bin", "3.260.0"), "3.260.0")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    assert link_engine(found) == (None if before == "a program of the user's" else link)
    assert link.is_symlink() == (before != "a program of the user's")
    assert not link.is_symlink() or link.readlink() == found.command
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert link_engine(found) is None
