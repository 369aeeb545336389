"""What a shell completes, as bash asks for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.cli.completion import names_in_file
from mesh.cli.stack_file import HOSTS

pytestmark = pytest.mark.thorough
_STACKS = {
    "production": "config:\n  mesh:hosts: {bernard: {}, beatrice: {}, carol: {}}\n  mesh:interfaces: {testwg: {}}\n",
    "prepared": "config:\n  mesh:hostsFile: machines.yaml\n  mesh:interfaces: {backwg: {}, wg1: {}}\n",
    "broken": "config: [\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project with three stack files, of which one cannot be read."""
    (tmp_path / "stacks").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: mesh\nruntime: python\n")
    (tmp_path / "machines.yaml").write_text("dora: {}\nbernhard: {}\n")
    for name, text in _STACKS.items():
        (tmp_path / f"stacks/Pulumi.{name}.yaml").write_text(text)
    return tmp_path


def completed(folder: Path, line: str) -> set[str]:
    """Return what the script of `--show-completion` would be told for a line, whose last word is being typed."""
    words = line.split(" ")
    environment = {
        **os.environ,
        "_MESH_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    program = "from mesh.cli.app import app; app(prog_name='mesh')"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env={**environment, "PYTHONPATH": str(Path.cwd())},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("mesh status pr", {"production", "prepared"}),
        ("mesh status production --only be", {"bernard", "beatrice"}),
        ("mesh doctor prepared --only be", {"bernhard"}),
        ("mesh up prepared --only d", {"dora"}),
        ("mesh status production --interface ", {"testwg"}),
        ("mesh export hosts prepared --interface ba", {"backwg"}),
        ("mesh ping --stack prepared do", {"dora"}),
        ("mesh status broken --only ", set()),
        ("mesh status nowhere --only ", {"bernard", "beatrice", "carol", "bernhard", "dora"}),
    ],
)
def test_names_of_the_stack_files_are_completed(project: Path, line: str, names: set[str]) -> None:
    """Those of the stack that was given, also where hosts have a file of their own."""
    assert completed(project, line) == names


@pytest.mark.parametrize("text", ['"\\0"', "5", "[a]", "2026-99-99", "nowhere.yaml", "."])
def test_a_file_of_hosts_that_is_none_has_no_names(tmp_path: Path, text: str) -> None:
    """A shell and a bundle ask for names also where a command would be refused."""
    path = tmp_path / "Pulumi.test.yaml"
    path.write_text(f"config:\n  mesh:hostsFile: {text}\n")
    assert names_in_file(path, HOSTS) == []


def test_outside_of_a_project_nothing_fails(tmp_path: Path) -> None:
    """The project that this package lies in has stacks of its own."""
    assert "bernhard" not in completed(tmp_path, "mesh ping be")


@pytest.mark.parametrize("load", ['eval "$(mesh --show-completion)"', "mesh --install-completion >&2; . ~/.bashrc"])
def test_bash_completes_as_the_page_of_commands_says(project: Path, load: str) -> None:
    """In this shell, or in the next one."""
    script = f"""{load}
COMP_WORDS=(mesh status production --only be) COMP_CWORD=4
_mesh_completion mesh
echo "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "--norc"],
        cwd=project,
        env={**os.environ, "HOME": str(project), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        input=script,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) == {"bernard", "beatrice"}, done.stderr
