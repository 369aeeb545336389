"""The lab's own commands, as its README names them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import PREFIX, skip_without
from tests.lab.lab import Lab, require_lab

_LAB = f"{PREFIX}c"


def run(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Return what a command of the lab did; `typed` is what its reader types."""
    return subprocess.run(
        [sys.executable, "-m", "tests.lab", *arguments, "--prefix", _LAB],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "COLUMNS": "200"},
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(autouse=True)
def gone() -> Iterator[None]:
    """See to it that nothing is left of a lab whose test failed."""
    skip_without(require_lab)
    yield
    try:
        lab = Lab.attach(prefix=_LAB)
    except FileNotFoundError:
        return
    lab.down()


def test_a_lab_is_booted_shown_entered_and_taken_away() -> None:
    """And one that is up is not booted over; one that is gone is told."""
    booted = run("up", "--hosts", "2")
    assert booted.returncode == 0, booted.stderr
    assert booted.stdout.splitlines() == [
        "bernard      10.99.0.1      203.0.113.1",
        "carol        10.99.0.2      behind NAT",
    ]
    again = run("up", "--hosts", "2")
    assert again.returncode == 1
    assert again.stderr == (f"lab: {_LAB} is up and may be in use; take it away first: python -m tests.lab down\n")
    assert [line.split()[-1] for line in run("status").stdout.splitlines()] == ["running", "running"]
    assert run("enter", "carol", typed="hostname\n").stdout == "carol\n"
    assert run("enter", "dora").stderr == f"lab: dora is no host of {_LAB}; there are bernard, carol\n"
    assert run("down").returncode == 0
    assert run("status").stderr == f"lab: {_LAB} is not up; python -m tests.lab up boots it\n"
