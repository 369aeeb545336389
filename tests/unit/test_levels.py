"""The test run itself: levels that cannot run are said to, and a required one fails."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.thorough
LAB = Path(__file__).parents[1] / "lab"
CONFTEST = Path(__file__).parents[1] / "conftest.py"
# As .ci/run has it.
AGAIN = "--last-failed --last-failed-no-failures none"
PASSES = 'def test_it() -> None:\n    """Pass."""\n'
FAILS = PASSES + "    assert False\n"
FAILS_LATER = (
    "import pytest\n@pytest.fixture\ndef thing():\n    yield\n    assert False\ndef test_it(thing) -> None:\n    pass\n"
)


def run(folder: Path, files: dict[str, str], *options: str) -> tuple[int, list[str]]:
    """Run pytest over `files` where no tool is on PATH; return the exit code and the lines that it printed."""
    (folder / "tests").mkdir(exist_ok=True)
    shutil.copy(CONFTEST, folder / "tests")
    for name, content in files.items():
        (folder / "tests" / name).parent.mkdir(exist_ok=True)
        (folder / "tests" / name).write_text(content)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--import-mode=importlib",
        "tests",
        *options,
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment | {"PATH": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()


def test_a_level_that_cannot_run_is_named_with_the_reason(tmp_path: Path) -> None:
    """Without a pulumi the engine level is skipped, and the end of the run says so."""
    code, lines = run(tmp_path, {"unit/test_a.py": PASSES, "engine/test_a.py": PASSES})
    assert code == 0
    assert lines[-3:] == [
        "unit: 1 passed, 0 failed",
        "engine: could not run, there is no pulumi on PATH",
        "1 passed, 0 failed, 1 skipped",
    ]


def test_a_required_level_that_cannot_run_fails_the_run(tmp_path: Path) -> None:
    """A green run cannot mean that nothing ran."""
    code, lines = run(tmp_path, {"unit/test_a.py": PASSES, "engine/test_a.py": PASSES}, "--require=engine")
    assert code == 1
    assert lines[-2:] == [
        "engine: could not run, there is no pulumi on PATH; it is required",
        "1 passed, 1 failed, 0 skipped",
    ]


def test_a_required_level_without_a_test_fails_the_run(tmp_path: Path) -> None:
    """A level whose tests were moved away or deselected is noticed."""
    code, lines = run(tmp_path, {"unit/test_a.py": PASSES}, "--require=mocked")
    assert code == 1
    assert lines[-2:] == ["mocked: none ran, 0 skipped", "1 passed, 0 failed, 0 skipped"]


def test_failures_are_counted_by_level_and_once(tmp_path: Path) -> None:
    """A test that passes and fails in its teardown is one failure, and no pass."""
    code, lines = run(tmp_path, {"unit/test_a.py": FAILS, "properties/test_a.py": FAILS_LATER})
    assert code == 1
    assert lines[-3:] == [
        "unit: 0 passed, 1 failed",
        "properties: 0 passed, 1 failed",
        "0 passed, 2 failed, 0 skipped",
    ]


def test_a_file_that_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    """A broken import does not vanish from the count."""
    code, lines = run(tmp_path, {"unit/test_a.py": "import nowhere\n"})
    assert code != 0
    assert lines[-2:] == ["unit: 0 passed, 1 failed", "0 passed, 1 failed, 0 skipped"]


@pytest.mark.parametrize("level", ["unit", "properties"])
def test_a_level_is_chosen_by_its_marker(tmp_path: Path, level: str) -> None:
    """The folder is the marker, so `-m` picks a level."""
    code, lines = run(tmp_path, {"unit/test_a.py": PASSES, "properties/test_a.py": PASSES}, "-m", level)
    assert code == 0
    assert lines[-2:] == [f"{level}: 1 passed, 0 failed", "1 passed, 0 failed, 0 skipped"]


def test_an_unknown_level_is_refused(tmp_path: Path) -> None:
    """A slip in `--require` cannot weaken it."""
    code, lines = run(tmp_path, {"unit/test_a.py": PASSES}, "--require=labs")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert any("--require: unknown level labs; give some of unit" in line for line in lines)


def test_a_test_that_needs_the_engine_is_named_where_there_is_none(tmp_path: Path) -> None:
    """Whatever its level: the others of that level run."""
    needs = "def test_engine(engine: str) -> None:\n    assert engine\n"
    code, lines = run(tmp_path, {"unit/test_a.py": PASSES + needs})
    assert code == 0
    assert lines[-3:] == [
        "unit: 1 passed, 0 failed, 1 skipped",
        "unit: 1 could not run, engine: there is no pulumi on PATH",
        "1 passed, 0 failed, 1 skipped",
    ]
    code, lines = run(tmp_path, {}, "--require=engine")
    assert code == 1
    assert lines[-1] == "1 passed, 1 failed, 0 skipped"


def test_the_last_lines_list_the_slowest_tests(tmp_path: Path) -> None:
    """Ten of them, the slowest first, before the levels."""
    slow = "import time\ndef test_slow() -> None:\n    time.sleep(0.3)\n"
    code, lines = run(tmp_path, {"unit/test_a.py": PASSES, "unit/test_b.py": slow + PASSES})
    assert code == 0
    shown = lines[-5:-2]
    assert shown[0].split()[2] == "tests/unit/test_b.py::test_slow"
    times = [float(line.split()[0]) for line in shown]
    assert times == sorted(times, reverse=True)
    assert times[0] >= 0.3


def test_the_last_lines_tell_how_each_failure_ended(tmp_path: Path) -> None:
    """What is left of a long log is its end."""
    fails = 'def test_it() -> None:\n    raise ValueError("first" + 20 * "\\nline" + "\\nlast")\n'
    _, lines = run(tmp_path, {"unit/test_a.py": fails})
    told = lines.index("failed: tests/unit/test_a.py::test_it")
    assert lines[told + 1 : told + 11] == ["  line"] * 9 + ["  last"]


def test_a_count_goes_on_in_a_second_run(tmp_path: Path) -> None:
    """What ran apart is in one sum with the others, which fails if one of either failed."""
    count = tmp_path / "count"
    files = {"unit/test_a.py": FAILS, "properties/test_b.py": PASSES}
    code, lines = run(tmp_path, files, "-m", "unit", "--store-count", str(count))
    assert code == 1
    assert lines[-1] == "0 passed, 1 failed, 0 skipped"
    code, lines = run(tmp_path, {}, "-m", "properties", "--add-count", str(count))
    assert code == 1
    assert lines[-3:] == [
        "unit: 0 passed, 1 failed",
        "properties: 1 passed, 0 failed",
        "1 passed, 1 failed, 0 skipped",
    ]


def test_what_measures_loss_runs_in_two_processes_of_several(tmp_path: Path) -> None:
    """And nowhere else, so that there are never more than two such labs at once."""
    files = {f"lab/test_{name}.py": f"Traffic = None\n{PASSES}" for name in "abcd"}
    files |= {f"lab/test_{name}.py": PASSES for name in "efgh"}
    _, lines = run(tmp_path, files, "-vv", "-p", "xdist", "-n", "4", "--dist", "loadfile", "--no-loadscope-reorder")
    where = {line.split("::")[0][-4]: line.split("]")[0][1:] for line in lines if "SKIPPED tests/lab/" in line}
    assert sorted(where) == list("abcdefgh")
    assert {where[name] for name in "abcd"} <= {"gw0", "gw1"}
    assert {where[name] for name in "efgh"} & {"gw2", "gw3"}


def test_a_test_that_passes_when_it_is_run_again_is_named(tmp_path: Path) -> None:
    """Its failure is never hidden, though the run is good."""
    assert AGAIN in (CONFTEST.parents[1] / ".ci/run").read_text()
    count = tmp_path / "count"
    once = "from pathlib import Path\nFILE = Path(__file__).with_suffix('.was')\ndef test_it() -> None:\n"
    once += "    was = FILE.exists()\n    FILE.touch()\n    assert was\n"
    files = {"unit/test_a.py": once, "unit/test_b.py": PASSES}
    assert run(tmp_path, files, "--store-count", str(count))[0] == 1
    code, lines = run(tmp_path, {}, *AGAIN.split(), "--add-count", str(count))
    assert code == 0
    assert "failed, and passed when run again: tests/unit/test_a.py::test_it" in lines
    assert lines[-1] == "2 passed, 0 failed, 0 skipped"


def test_a_first_run_that_did_not_end_is_told(tmp_path: Path) -> None:
    """Its tests would be missing from the sum without a word."""
    code, lines = run(tmp_path, {"unit/test_a.py": PASSES}, "--add-count", str(tmp_path / "count"))
    assert code == pytest.ExitCode.USAGE_ERROR
    assert any("the run before this one did not end" in line for line in lines)


def _asks_for_an_engine(function: ast.FunctionDef) -> bool:
    calls = {
        node.func.id for node in ast.walk(function) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    return bool(calls & {"Stack", "Chaos"})


@pytest.mark.parametrize("path", sorted(LAB.glob("*.py")), ids=lambda path: path.name)
def test_what_runs_the_engine_in_the_lab_is_skipped_where_there_is_none(path: Path) -> None:
    """A test or fixture that makes a stack of the real engine asks for the engine."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.FunctionDef) or not _asks_for_an_engine(node):
            continue
        if node.name.startswith("test_") or any("fixture" in ast.unparse(each) for each in node.decorator_list):
            assert "engine" in {argument.arg for argument in node.args.args}, node.name
