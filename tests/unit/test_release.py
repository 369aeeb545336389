"""What CONTRIBUTING.md says of a release is what its workflow does."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mesh.errors import MeshError
from mesh.stored.reader import read_rollout
from tests.documents import ROOT, read

_TOLD = " ".join(read(ROOT / "CONTRIBUTING.md").partition("## Release\n")[2].split())
_STEPS: list[dict[str, Any]] = YAML(typ="safe").load(ROOT / ".github/workflows/release.yml")["jobs"]["build"]["steps"]


def test_the_version_that_a_message_names_is_the_project_s() -> None:
    """It says which versions of a state are read."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    with pytest.raises(MeshError, match=re.escape(f"that mesh {project['version']} or an earlier one wrote")):
        read_rollout("testwg", {})
    assert "`mesh/stored/reader.py`" in _TOLD


@pytest.mark.parametrize(("tag", "code"), [("v0.1.0", 0), ("v0.1.1", 1)])
def test_a_tag_is_released_after_the_steps_that_are_told(tmp_path: Path, tag: str, code: int) -> None:
    """The heading in the changelog has the form of the example, and the tag is the version."""
    (heading,) = re.findall(r"`(## \[.*?)`", _TOLD)
    (tagged, pushed) = re.findall(r"`git tag (v[\d.]+)`, `git push origin (v[\d.]+)`", _TOLD)[0]
    assert tagged == pushed == "v0.1.0"
    (check,) = (step["run"] for step in _STEPS if "GITHUB_REF_NAME" in step.get("run", ""))
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.1.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(f"{heading}\n")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "GITHUB_REF_NAME": tag}
    done = subprocess.run(["bash", "-ec", check], cwd=tmp_path, env=environment, check=False)
    assert done.returncode == code


def test_the_workflow_makes_what_is_told() -> None:
    """And what it does not run is told too."""
    made = {target for step in _STEPS for target in re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))}
    told = _TOLD.partition("The release workflow")[2]
    assert set(re.findall(r"`make ([a-z-]+)`", told)) == made == {"check", "test-fast"}
    assert not made & set(re.findall(r"`make ([a-z-]+)`", _TOLD.partition("3. ")[0]))


def test_the_changelog_tells_each_thing_once_and_whole() -> None:
    """An entry that was reworded leaves no beginning of its former words behind."""
    entries = re.findall(r"^- (.+(?:\n  .+)*)", read(ROOT / "CHANGELOG.md"), flags=re.MULTILINE)
    assert len(entries) > 100
    assert [entry for entry in entries if not entry.endswith(".")] == []
    assert len(entries) == len(set(entries))
