"""A checkout before it is prepared, and after it was moved."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import ROOT


def test_a_python_without_the_packages_says_what_to_do() -> None:
    """As in a new shell, where the environment of the checkout is not active."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        # Without the packages of its environment, as another Python is.
        [sys.executable, "-S", "-m", "mesh", "status"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: this Python lacks what mesh needs (No module named ")
    assert done.stderr.endswith("); run make setup, and . .venv/bin/activate\n")


@pytest.mark.parametrize(
    ("first", "stays"),
    [
        ("#!{place}/.venv/bin/python", True),
        # What pip writes where the path is too long for a first line.
        ('#!/bin/sh\n\'\'\'exec\' "{place}/.venv/bin/python" "$0" "$@"', True),
        ("#!/somewhere/else/.venv/bin/python", False),
    ],
)
def test_an_environment_that_was_made_elsewhere_is_written_again(tmp_path: Path, first: str, stays: bool) -> None:
    """Its paths are those of the place where it was made, so `activate` would lead there. No package is lost."""
    place = (tmp_path / "moved here").resolve()
    (place / ".venv/bin").mkdir(parents=True)
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, place)
    locked = subprocess.run(
        ["cksum"], input=(place / "requirements.lock").read_bytes(), capture_output=True, check=True
    )
    (place / f".venv/.lock-{locked.stdout.split()[0].decode()}").touch()
    (place / ".venv/bin/mesh").write_text(first.format(place=place) + "\nimport sys\n")
    told = subprocess.run(["make", "-n", "setup"], cwd=place, capture_output=True, text=True, check=True).stdout
    assert ("-m venv .venv" in told) != stays
    assert ("--no-deps" in told) != stays


def test_an_environment_that_a_link_leads_to_stays(tmp_path: Path) -> None:
    """It was made under another name, and works."""
    made, place = tmp_path / "made/.venv", tmp_path / "checkout"
    (made / "bin").mkdir(parents=True)
    (made / "bin/mesh").write_text(f"#!{made.resolve()}/bin/python\nimport sys\n")
    place.mkdir()
    (place / ".venv").symlink_to(made)
    shutil.copy(ROOT / "Makefile", place)
    subprocess.run(["make", "-s", "help"], cwd=place, capture_output=True, check=True)
    assert (place / ".venv/bin/mesh").exists()
