"""Where `mesh` and `python -m mesh` find their project: in a checkout, in one that is installed, and as a wheel."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.build import build_editable, build_wheel

from mesh.cli.project import find_project
from mesh.errors import MeshError

ROOT = Path(__file__).parents[2]


def test_the_project_is_that_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or of the first folder above it that is one, as for pulumi."""
    below = tmp_path / "project/stacks"
    below.mkdir(parents=True)
    (tmp_path / "project/Pulumi.yaml").touch()
    monkeypatch.chdir(below)
    assert find_project() == tmp_path / "project"


def test_a_checkout_is_the_project_where_there_is_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So its command works from anywhere."""
    monkeypatch.chdir(tmp_path)
    assert find_project() == ROOT


def test_without_a_project_the_command_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is installed lies in none."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MeshError) as caught:
        find_project(checkout=tmp_path)
    assert str(caught.value) == (
        f"mesh: no Pulumi.yaml in {tmp_path} or above it; change to the folder of your Pulumi project"
    )


def test_a_checkout_is_installed_as_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one line for Python's path, without a package that the lock does not have."""
    monkeypatch.chdir(ROOT)
    wheel = zipfile.ZipFile(tmp_path / build_editable(str(tmp_path)))
    (path,) = (name for name in wheel.namelist() if name.endswith(".pth"))
    assert wheel.read(path).decode().split() == [str(ROOT)]
    (scripts,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "mesh = mesh.__main__:run_mesh" in wheel.read(scripts).decode()


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder into which a wheel of this checkout was installed."""
    monkeypatch.chdir(ROOT)
    name = build_wheel(str(tmp_path))
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", tmp_path / "installed", tmp_path / name], check=True)
    return tmp_path / "installed"


@pytest.mark.thorough
def test_the_command_of_a_wheel_works_on_the_users_project(wheel: Path, tmp_path: Path) -> None:
    """It finds a stack by its name there, and elsewhere says in one line what it needs."""
    project = tmp_path / "project"
    (project / "stacks").mkdir(parents=True)
    (project / "Pulumi.yaml").touch()
    (project / "stacks/Pulumi.test.yaml").write_text(
        (ROOT / "stacks/Pulumi.production.yaml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    environment = {**os.environ, "PYTHONPATH": str(wheel)}

    # Template, style and script of the page come with it.
    render = (
        "from mesh.cli.page import content, render; print(render.show_page(content.Page('test', ())), render.__file__)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", render], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert str(wheel) in shown.stdout
    assert '<p class="verdict well">' in shown.stdout

    def mesh(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [sys.executable, wheel / "bin/mesh", *words]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    done = mesh("allocate", "test", folder=project / "stacks")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Pulumi.test.yaml: nothing to allocate\n", "")
    done = mesh("allocate", "test", folder=tmp_path)
    needs = f"error: mesh: no Pulumi.yaml in {tmp_path} or above it; change to the folder of your Pulumi project\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", needs)
