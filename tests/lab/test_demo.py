"""The README's first command, as a reader gives it: `make demo`, twice, then what it says to do next, and its end."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conftest import PREFIX, skip_without
from tests.lab.lab import lab_directory, require_lab
from tests.lab.network import Network

_PROJECT = Path(__file__).parents[2]
_DEMO = f"{PREFIX}d"
_DIRECTIONS = 12


class Demo:
    """A demo beside others: what a reader's environment has, but for where its hosts are and how they are called."""

    def __init__(self, folder: Path) -> None:
        """Keep its hosts below `folder`, of the roots that are made already."""
        folder.mkdir()
        (lab_directory() / "roots").mkdir(parents=True, exist_ok=True)
        (folder / "roots").symlink_to(lab_directory() / "roots")
        self.environment = {
            **os.environ,
            "MESH_DEMO_PREFIX": _DEMO,
            "MESH_LAB_DIRECTORY": str(folder),
            "COLUMNS": "200",
        }
        self.environment.pop("MAKEFLAGS", None)

    def make(self, target: str, typed: str = "") -> str:
        """Return what `make TARGET` prints; `typed` is what the reader types meanwhile."""
        return self.run("make", "-s", target, typed=typed)

    def run(self, *command: str, typed: str = "") -> str:
        """Return what a command of the checkout prints."""
        done = subprocess.run(
            command,
            cwd=_PROJECT,
            env=self.environment,
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert not done.returncode, done.stdout
        assert "Traceback" not in done.stdout
        return done.stdout


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """Return a demo that is taken down as the README says, with nothing left."""
    skip_without(require_lab)
    demo = Demo(tmp_path / "lab")
    try:
        yield demo
    finally:
        demo.make("demo-down")
    assert Network(_DEMO).names() == []
    assert sorted(path.name for path in (tmp_path / "lab").iterdir()) == ["roots"]


def _tunnels(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("│") and line.rstrip("│ ").endswith(" ms")]


def _changes_nothing(said: str) -> bool:
    counts = re.findall(r"^    [ +~-] (\d+ .+)$|^    (\d+ unchanged)$", said, re.MULTILINE)
    return bool(counts) and not any(changed for changed, _ in counts)


def _without_pulumi(folder: Path, copies: Path) -> Path:
    """Return a folder of programs as it is, or links to all of it but pulumi."""
    if not (folder / "pulumi").exists():
        return folder
    copy = copies / folder.relative_to("/")
    copy.mkdir(parents=True, exist_ok=True)
    for tool in folder.iterdir():
        if not tool.name.startswith("pulumi") and not (copy / tool.name).is_symlink():
            (copy / tool.name).symlink_to(tool)
    return copy


def test_make_demo_proves_every_tunnel_and_what_it_says_to_do_next_works(demo: Demo) -> None:
    """With the engine where this machine has one, else rehearsed; the second time nothing is to be done."""
    first = demo.make("demo")
    assert len(_tunnels(first)) == _DIRECTIONS, first
    assert "the mesh is up" in first
    again = demo.make("demo")
    assert len(_tunnels(again)) == _DIRECTIONS, again
    steps = first.partition("To look around")[2].splitlines()
    advice = [line.strip() for line in steps if line.startswith("    ") and "$EDITOR" not in line]
    assert "ssh root@10.99.0.1 wg show" in advice
    if shutil.which("pulumi"):
        assert _changes_nothing(again), again
        assert {"pulumi preview", "pulumi stack output --json"} <= set(advice)
    else:
        assert "a rehearsal already" in again
    demo.environment["SHELL"] = "/bin/sh"
    inside = demo.make("demo-shell", "set -e\n" + "".join(f"{line}\n" for line in advice))
    assert inside.count("latest handshake") == 3, inside
    assert _changes_nothing(inside) == bool(shutil.which("pulumi"))


@pytest.mark.skipif(not shutil.which("pulumi"), reason="without pulumi the test above is this one")
def test_without_an_engine_the_demo_rehearses_and_says_so(demo: Demo, tmp_path: Path) -> None:
    """All that PATH offers but pulumi; where pulumi comes later, the hosts are made again."""
    folders = map(Path, demo.environment["PATH"].split(":"))
    demo.environment["PATH"] = ":".join(str(_without_pulumi(folder, tmp_path / "tools")) for folder in folders)
    said = demo.run(sys.executable, "-m", "tests.demo", "up")
    assert "this is a rehearsal" in said
    assert len(_tunnels(said)) == _DIRECTIONS, said
