"""What surrounds the code is in order: workflows, forms, changelog, scripts, locks."""

import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mesh.cli import engine

ROOT = Path(__file__).parents[2]


def project() -> dict[str, Any]:
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("github-workflows", ".github/workflows/*.yml"),
        ("github-workflows", "docs/pull-request/*.yml"),
        ("dependabot", ".github/dependabot.yml"),
        ("github-issue-forms", ".github/ISSUE_TEMPLATE/[bi]*.yml"),
        ("github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
    ],
)
def test_what_github_reads_has_its_form(schema: str, pattern: str) -> None:
    """A workflow with a misspelt key would not run, and nobody would notice."""
    files = sorted(ROOT.glob(pattern))
    assert files
    command: list[str | Path] = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_workflows_run_targets_that_exist() -> None:
    """And pin every action by its commit."""
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"^ *- run: .*\bmake ([a-z-]+)", text, flags=re.MULTILINE)) <= targets
        assert re.findall(r"uses: (?!\S+@[0-9a-f]{40} # v)", text) == []


def test_the_workflows_try_every_python_that_is_supported() -> None:
    """From the oldest that pyproject.toml names."""
    content = YAML(typ="safe").load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    versions = content["jobs"]["fast"]["strategy"]["matrix"]["python"]
    assert versions == ["3.11", "3.12", "3.13", "3.14"]
    assert project()["project"]["requires-python"] == f">={versions[0]}"


def test_the_changelog_closes_with_the_version() -> None:
    """In the form of Keep a Changelog: what is unreleased first, then versions, each with known sections."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[([^\]]+)\](?: - \S+)?$", text, flags=re.MULTILINE)
    assert versions[:2] == ["Unreleased", project()["project"]["version"]]
    sections = set(re.findall(r"^### (.*)$", text, flags=re.MULTILINE))
    assert sections <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_console_script_is_our_command() -> None:
    """`mesh` does what `python -m mesh` does."""
    assert project()["project"]["scripts"]["mesh"] == "mesh.__main__:run_mesh"
    assert callable(import_module("mesh.__main__").run_mesh)


@pytest.mark.parametrize("file", ["Pulumi.yaml", "stacks/examples/program/Pulumi.yaml"])
def test_an_engine_that_is_too_old_says_so_itself(file: str) -> None:
    """The range in Pulumi.yaml is the one that the commands ask for."""
    content = YAML(typ="safe").load((ROOT / file).read_text(encoding="utf-8"))
    least, below = re.fullmatch(r">=(\d+\.\d+)\.0 <(\d+)\.0\.0", content["requiredPulumiVersion"]).groups()  # type: ignore[union-attr]
    major, minor = map(int, least.split("."))
    assert engine.Engine(Path("pulumi"), f"{major}.{minor}.0").fits
    assert not engine.Engine(Path("pulumi"), f"{major}.{minor - 1}.9").fits
    assert not engine.Engine(Path("pulumi"), f"{below}.0.0").fits


def locked(path: Path) -> dict[str, set[str]]:
    """Return the versions of each package in a lock; there are several where they depend on the Python."""
    found: dict[str, set[str]] = {}
    pins = re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for name, version in pins:
        found.setdefault(name, set()).add(version)
    return found


def test_both_locks_go_into_one_environment() -> None:
    """Who builds the pages keeps the packages that the program was tested with."""
    ours, pages = locked(ROOT / "requirements.lock"), locked(ROOT / "docs/requirements.lock")
    assert "sphinx" in pages
    assert {name: (ours[name], pages[name]) for name in ours.keys() & pages.keys() if ours[name] != pages[name]} == {}
