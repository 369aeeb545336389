"""The README's first command, as a reader gives it: `make demo`, twice, then what it says to do next, and its end."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import ROOT, blocks, shell_of
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
        self.folder = folder
        (lab_directory() / "roots").mkdir(parents=True, exist_ok=True)
        (folder / "roots").symlink_to(lab_directory() / "roots")
        self.environment = {
            **os.environ,
            "MESH_DEMO_PREFIX": _DEMO,
            "MESH_LAB_DIRECTORY": str(folder),
            "COLUMNS": "200",
            "SHELL": "/bin/sh",
            "PULUMI_OPTION_YES": "true",
        }
        self.environment.pop("MAKEFLAGS", None)

    def make(self, target: str, typed: str = "") -> str:
        """Return what `make TARGET` prints; `typed` is what the reader types meanwhile."""
        return self.run("make", "-s", target, typed=typed)

    def type_in(self, lines: str) -> str:
        """Return what lines say that are typed into `make demo-shell`, up to the first that fails; it says yes to all.

        They are one command of the shell, so that ssh does not read those that come after it.
        """
        return self.make("demo-shell", f"{{ set -e\n{lines}}}\n")

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


def _follow_the_tutorial(demo: Demo) -> None:
    """Change the mesh and break it, by what the page has a reader write and type."""
    change, broken = (shell_of("docs/tutorial.md", heading) for heading in ("Change it", "Break it"))
    spoil, mend, rest = broken.removesuffix("make demo-down\n").partition("ssh root@10.99.0.2 nft delete")
    [block] = [text for text in blocks(ROOT / "docs/tutorial.md", "yaml") if "rotation" in text]
    *there, members, carol = block.splitlines(keepends=True)
    mesh = "".join(there[1:])
    file = demo.folder / "demo/Pulumi.lab.yaml"
    assert file.read_text().count(mesh) == 1, file.read_text()
    file.write_text(file.read_text().replace(mesh, f"{mesh}{members}{carol}"))
    look = "".join(f"ssh root@10.99.0.{number} wg show testwg public-key\n" for number in range(1, 5))
    changed = demo.type_in(change + look)
    assert "    ~ 4 to update\n" in changed.partition("Updating")[0], changed
    assert "~ carol key is regenerated: rotation of carol 1 becomes 2" in changed
    file.write_text(file.read_text().replace("rotation: 2", "rotation: 3"))
    failed = demo.type_in(f"{spoil}pulumi up && exit 1\n{look}")
    assert "testwg: not verified; every host rolls back" in failed
    for other in ("bernard", "dora", "edgeworth"):
        assert f"{other} → carol: no answer: no handshake" in failed, failed
        # The handshake of its key before is no sign that packets come in.
        assert f"carol → {other}: no answer: no handshake" in failed, failed
    repaired = demo.type_in(f"{mend}{rest}{look}")
    assert "testwg: confirmed on 4 hosts" in repaired
    old, kept, new = (re.findall(r"^[\w+/]{43}=$", said, re.MULTILINE) for said in (changed, failed, repaired))
    assert len(old) == 4
    assert kept == old
    assert [number for number, key in enumerate(new, 1) if key not in old] == [2]


def test_make_demo_proves_every_tunnel_and_what_it_and_the_tutorial_say_to_do_next_works(demo: Demo) -> None:
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
    inside = demo.make("demo-shell", "set -e\n" + "".join(f"{line}\n" for line in advice))
    assert inside.count("latest handshake") == 3, inside
    assert _changes_nothing(inside) == bool(shutil.which("pulumi"))
    if shutil.which("pulumi"):
        _follow_the_tutorial(demo)


@pytest.mark.skipif(not shutil.which("pulumi"), reason="without pulumi the test above is this one")
def test_without_an_engine_the_demo_rehearses_and_says_so(demo: Demo, tmp_path: Path) -> None:
    """All that PATH offers but pulumi; where pulumi comes later, the hosts are made again."""
    folders = map(Path, demo.environment["PATH"].split(":"))
    demo.environment["PATH"] = ":".join(str(_without_pulumi(folder, tmp_path / "tools")) for folder in folders)
    said = demo.run(sys.executable, "-m", "tests.demo", "up")
    assert "this is a rehearsal" in said
    assert len(_tunnels(said)) == _DIRECTIONS, said
