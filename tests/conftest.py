"""Sort tests into levels by folder, and never let a level that cannot run look as if it had passed.

A test's level is its folder: unit, properties, mocked, rehearsed, engine, lab. What a level needs of the machine is
asked once; without it the level is skipped with the reason, or fails with `--require=LEVEL,…`. Sample values of one
level belong in its folder.
"""

import copy
import gc
import importlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

LEVELS = {
    "unit": "values, messages and refusals, one module at a time",
    "properties": "what holds for every configuration",
    "mocked": "the resource graph, without an engine",
    "rehearsed": "the whole program without an engine, and stand-ins for hosts",
    "engine": "the real engine with a state, without hosts",
    "lab": "booted hosts with packets between them",
}
# By these names, a file of tests tells that it measures lost packets. Of several processes, two do that, and they come
# first where all compete for a processor.
MEASURING = {"Traffic", "Walk", "pinging"}
MEASURING_PROCESSES = {"gw0", "gw1"}
MEASURING_PRIORITY = -15
# So does this one of those that boot virtual machines.
MACHINES = "require_machines"
SLOWEST = 10
HERE = Path(__file__).parent
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


def _engine_lacks() -> str | None:
    return None if shutil.which("pulumi") else "there is no pulumi on PATH"


def _lab_lacks() -> str | None:
    try:
        lab = importlib.import_module("tests.lab.lab")
    except ModuleNotFoundError as missing:
        return f"there is no module {missing.name}"
    try:
        lab.require_lab()
        # The first root takes some 20 seconds, and a Debian mirror.
        lab.ensure_root("trixie", lab.lab_directory() / "roots")
    except lab.LabUnavailableError as unavailable:
        return f"it {unavailable}"
    except RuntimeError as error:
        lines = str(error).splitlines()
        return f"there is no guest root and none can be made: {lines[0]} {lines[-1]}"
    return None


_LACKS: dict[str, Callable[[], str | None]] = {"engine": _engine_lacks, "lab": _lab_lacks}


@cache
def what_level_lacks(level: str) -> str | None:
    """Return why `level` cannot run on this machine, or None if it can."""
    return _LACKS[level]() if level in _LACKS else None


def level_of(path: Path) -> str | None:
    """Return the level of the test file at `path`, or None for one that is in no level's folder."""
    folder = path.relative_to(HERE).parts[0] if path.is_relative_to(HERE) else ""
    return folder if folder in LEVELS else None


def _end_of(text: str) -> str:
    """Return the last lines that pytest marks as the error, at most ten."""
    marked = [line for line in text.splitlines() if line.startswith("E  ")] or text.splitlines()
    return "\n".join(f"  {line.removeprefix('E').strip()}" for line in marked[-10:])


class Tally:
    """Count the outcome of each test by level; a test that fails in any phase has failed."""

    def __init__(self, required: set[str]) -> None:
        """Keep which levels must run."""
        self.required = required
        self.outcomes: dict[str, tuple[str, str]] = {}
        self.figures: list[str] = []
        self.seconds: dict[str, float] = {}
        self.reasons: dict[str, str] = {}
        self.failures: dict[str, str] = {}

    def store(self, file: Path) -> None:
        """Leave what was counted for a later run to add to."""
        file.write_text(json.dumps([self.outcomes, self.figures, self.seconds, self.reasons, self.failures]))

    def add(self, file: Path) -> None:
        """Add what an earlier run counted."""
        outcomes, figures, seconds, reasons, failures = json.loads(file.read_text())
        self.outcomes = {name: (level, word) for name, (level, word) in outcomes.items()} | self.outcomes
        self.figures = [*figures, *self.figures]
        self.seconds = seconds | self.seconds
        self.reasons = reasons | self.reasons
        self.failures = failures | self.failures

    def _note(self, nodeid: str, outcome: str) -> None:
        folders = Path(nodeid.partition("::")[0]).parts
        name = next((part for part in folders if part in LEVELS), "other")
        _, before = self.outcomes.get(nodeid, (name, ""))
        # A test that passed and failed in its teardown has failed; one that was skipped never passed.
        worse = next(word for word in ("failed", "skipped", "passed") if word in {before, outcome})
        self.outcomes[nodeid] = (name, worse)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how a phase of a test ended, and how long it took."""
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.skipped and isinstance(report.longrepr, tuple):
            self.reasons[report.nodeid] = str(report.longrepr[2]).removeprefix("Skipped: ")
        if report.failed:
            self.failures.setdefault(report.nodeid, _end_of(report.longreprtext))
        if report.when == "call" or report.outcome != "passed":
            self._note(report.nodeid, report.outcome)
        if report.when == "call":
            self.figures.extend(f"{name}: {value}" for name, value in report.user_properties)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that could not be read as failed, or skipped as a whole."""
        if report.outcome != "passed":
            self._note(report.nodeid, report.outcome)

    def count(self, outcome: str, level: str | None = None) -> int:
        """Return how many tests ended so, of one level or of all."""
        return sum(found == outcome and level in {None, name} for name, found in self.outcomes.values())

    def levels(self) -> list[str]:
        """Return the levels that had tests or had to have some, in the order of the list above."""
        seen = {name for name, _ in self.outcomes.values()} | self.required
        return [*(level for level in LEVELS if level in seen), *sorted(seen - LEVELS.keys())]

    def unmet(self) -> list[str]:
        """Return the required levels of which no test ran."""
        return [level for level in LEVELS if level in self.required and not self._ran(level)]

    def _ran(self, level: str) -> int:
        return self.count("passed", level) + self.count("failed", level)

    def lines(self) -> Iterator[str]:
        """Yield what was measured, how each failure ended, the slowest, and how each level ran, or why not."""
        yield from self.figures
        for name, end in self.failures.items():
            _, word = self.outcomes[name]
            yield f"{'failed, and passed when run again' if word == 'passed' else 'failed'}: {name}\n{end}"
        for name, seconds in sorted(self.seconds.items(), key=lambda item: -item[1])[:SLOWEST]:
            yield f"{seconds:6.1f} s  {name}"
        for level in self.levels():
            passed, failed, skipped = (self.count(word, level) for word in ("passed", "failed", "skipped"))
            lack = what_level_lacks(level)
            if lack:
                yield f"{level}: could not run, {lack}" + ("; it is required" if level in self.required else "")
            elif not self._ran(level):
                yield f"{level}: none ran, {skipped} skipped"
            else:
                yield f"{level}: {passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")
                yield from self._skipped(level)

    def _skipped(self, level: str) -> Iterator[str]:
        names = (name for name, (found, word) in self.outcomes.items() if found == level and word == "skipped")
        reasons = Counter(self.reasons.get(name, "") for name in names)
        yield from (f"{level}: {count} could not run, {reason}" for reason, count in sorted(reasons.items()))


_TALLY = pytest.StashKey[Tally]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer `--require`, and to count over two runs."""
    parser.addoption(
        "--require", default="", metavar="LEVELS", help="fail where one of these levels, joined by commas, cannot run"
    )
    parser.addoption("--store-count", type=Path, help="leave the count in this file, for a later run to add to")
    parser.addoption(
        "--add-count", type=Path, help="add the count that earlier runs left in this file, and leave the sum"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Name the levels as markers and start counting."""
    required = {level.strip() for level in str(config.getoption("--require")).split(",") if level.strip()}
    if unknown := required - LEVELS.keys():
        raise pytest.UsageError(
            f"--require: unknown level {', '.join(sorted(unknown))}; give some of {', '.join(LEVELS)}"
        )
    if (file := config.getoption("--add-count")) and not file.exists():
        raise pytest.UsageError(f"--add-count: {file} is missing, so the run before this one did not end; see above")
    for level, meaning in LEVELS.items():
        config.addinivalue_line("markers", f"{level}: {meaning}")
    config.addinivalue_line("markers", "loss: in a file that measures what packets are lost, so it runs before others")
    config.addinivalue_line(
        "markers", "thorough: takes seconds for what another test shows in part; make test-fast leaves it"
    )
    config.addinivalue_line(
        "markers", "kernel: in a file that boots virtual machines, so it runs by make test-kernel or make test-aarch64"
    )
    config.stash[_TALLY] = Tally(required)
    config.pluginmanager.register(config.stash[_TALLY], "levels")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark each test with the level of its folder, and those of files that measure loss."""
    if level := level_of(item.path):
        item.add_marker(level)
    if _measures(item.path):
        item.add_marker("loss")
    if MACHINES in vars(getattr(item, "module", None) or object):
        item.add_marker("kernel")


def pytest_collection_finish() -> None:
    """Leave what was imported and collected out of every later garbage collection: it stays to the end."""
    gc.collect()
    gc.freeze()


@cache
def _measures(file: Path) -> bool:
    """Tell whether a file of the lab measures lost packets."""
    return level_of(file) == "lab" and bool(MEASURING & set(re.findall(r"\w+", file.read_text(encoding="utf-8"))))


@cache
def _is_whole(file: Path) -> bool:
    """Tell whether the tests of a file belong into one process: those of the lab only where they share a mesh."""
    return level_of(file) != "lab" or 'scope="module"' in file.read_text(encoding="utf-8")


def _waits(file: Path) -> bool:
    """Tell whether a file runs parts of the host program, which wait for one another."""
    return file.name.startswith("test_host_")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with hosts, which wait more than they compute, and of these with what takes longest in one process."""
    items.sort(key=lambda item: (level_of(item.path) != "lab", not _is_whole(item.path), not _waits(item.path)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each process of `--dist loadfile` one file after the other, but single tests where these are apart."""
    if config.getvalue("dist") != "loadfile":
        return None
    # Where this is asked for, it is there.
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]  # noqa: PLC0415

    class Scheduling(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if _is_whole(config.rootpath / file) else nodeid

        def _assign_work_unit(self, node: Any) -> None:
            """Give measuring to those processes that do it, and before all else."""
            fitting = [False] if node.gateway.id not in MEASURING_PROCESSES else [True, False]
            for kind in fitting:
                for scope in self.workqueue:
                    if _measures(config.rootpath / scope.partition("::")[0]) == kind:
                        self.workqueue.move_to_end(scope, last=False)
                        super()._assign_work_unit(node)
                        return
            node.shutdown()

    return Scheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail a test of a level that cannot run, before any of its fixtures is made."""
    if hasattr(item.config, "workerinput"):
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, MEASURING_PRIORITY if _measures(item.path) else 0)
    level = level_of(item.path)
    needed = {level, *(["engine"] if "engine" in getattr(item, "fixturenames", ()) else [])}
    lack, level = next(((what, name) for name in needed if name and (what := what_level_lacks(name))), (None, level))
    if lack and level in item.config.stash[_TALLY].required:
        pytest.fail(f"{level}: {lack}; it is required", pytrace=False)
    if lack:
        pytest.skip(f"{level}: {lack}")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Say at the very end which levels ran; fail if one that is required did not."""
    tally = session.config.stash[_TALLY]
    if hasattr(session.config, "workerinput"):
        # One of several processes, which has seen a part only.
        yield
        return
    if file := session.config.option.store_count:
        tally.store(file)
    if file := session.config.option.add_count:
        tally.add(file)
        tally.store(file)
    # The summary that pytest prints in the wrapped hooks reads the exit status, so it is settled before.
    if (tally.unmet() or tally.count("failed")) and not session.config.option.collectonly:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    yield
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is None or session.config.option.collectonly:
        return
    terminal.ensure_newline()
    for line in tally.lines():
        terminal.write_line(line)
    counts = (f"{tally.count(word)} {word}" for word in ("passed", "failed", "skipped"))
    terminal.write_line(", ".join(counts))


@pytest.fixture(scope="session")
def engine() -> str:
    """Return the engine's path; a test that asks for it, by whatever fixture, does not run where there is none."""
    found = shutil.which("pulumi")
    assert found
    return found


_SEED_HOSTS: dict[str, Any] = {
    "bernard": {
        "system": "x86_64-linux",
        "externalIps": ["78.11.11.11"],
        "ssh": {"address": "10.0.0.5", "user": "root", "port": 22, "hostKey": HOST_KEY},
    },
    "edgeworth": {"system": "aarch64-linux", "ssh": {"address": "10.0.0.6", "hostKey": HOST_KEY}},
}


@pytest.fixture
def hosts() -> dict[str, Any]:
    """Return `mesh:hosts` of the seed, to be changed at will."""
    return copy.deepcopy(_SEED_HOSTS)


@pytest.fixture
def interfaces() -> dict[str, Any]:
    """Return `mesh:interfaces` of the seed, to be changed at will."""
    return {"testwg": {"hosts": ["bernard", "edgeworth"], "port": 51825}}
