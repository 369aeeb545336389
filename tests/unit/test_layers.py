"""The layers of the program, kept by reading the imports of every module.

A rule for a file that does not exist yet holds as soon as it does.
"""

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "mesh").rglob("*.py"))
SOURCES = [*MODULES, *ROOT.glob("__main__.py")]

# Each package leans on those before it only. What is not in a package is a floor of its own, at its place.
FLOORS = (
    "process",
    "errors",
    "progress",
    "wireguard",
    "config",
    "plan",
    "stored",
    "keyring",
    "remote",
    "rollout",
    "doctor",
    "providers",
    "component",
    "cli",
)
# None of these needs an engine or a host, so that the plan and every fault come before the first resource.
PURE = ("errors", "wireguard", "config", "plan", "stored", "keyring")
# Decisions that are pure too, in packages that are not.
PURE_MODULES = (
    "mesh.remote.replies",
    "mesh.remote.reports",
    "mesh.remote.examinations",
    "mesh.rollout.departures",
    "mesh.rollout.host_differences",
    "mesh.rollout.kernel_differences",
    "mesh.rollout.pending_work",
    "mesh.rollout.switch_plan",
    "mesh.rollout.verification",
    "mesh.rollout.drift",
    "mesh.rollout.fault",
    "mesh.rollout.unreachable",
    "mesh.doctor.answers",
    "mesh.doctor.causes",
    "mesh.doctor.diagnosis",
    "mesh.doctor.firewalls",
    "mesh.doctor.told",
    "mesh.doctor.concerning",
    "mesh.doctor.host_causes",
    "mesh.doctor.names",
    "mesh.doctor.trail",
    "mesh.cli.page.content",
    "mesh.cli.page.site_map",
    "mesh.cli.known_names",
    "mesh.cli.partial_up",
    "mesh.cli.redaction",
    "mesh.cli.stand_in_addresses",
)
ENGINE = {"pulumi", "pulumi_command", "pulumi_random"}
# What only these modules may import, by the path from the root.
ONLY_IN = {
    "pulumi_command": {"mesh/component/enrolment.py"},
    "asyncssh": {
        f"mesh/remote/{name}.py"
        for name in ("login", "listener", "signing", "ssh", "commands", "orders", "sessions", "new_connection")
    },
}
LINES = 260


@dataclass(frozen=True)
class Import:
    """A module, or a name of one, that is imported; `is_lazy` where that happens in a function or for types only."""

    name: str
    is_lazy: bool

    @property
    def package(self) -> str:
        """The first part of the name."""
        return self.name.split(".")[0]


def read_imports(tree: ast.AST, is_lazy: bool = False) -> Iterator[Import]:
    """Yield every import below `tree`, a `from` import once for each name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, is_lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layer; name the module in full"
            yield from (Import(f"{node.module}.{alias.name}", is_lazy) for alias in node.names)
        else:
            deferred = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            typed = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            yield from read_imports(node, is_lazy or deferred or typed)


@cache
def parse(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def imports_of(path: Path) -> list[Import]:
    """Return every import of a file."""
    return list(read_imports(parse(path)))


def label(path: Path) -> str:
    """Return the path from the root."""
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    """Return the dotted name under which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def stack_access(tree: ast.Module) -> set[str]:
    """Return which of `pulumi.Config` and `pulumi.export` a module reaches for."""
    wanted = {"pulumi.Config", "pulumi.export"}
    imported = {found.name for found in read_imports(tree)}
    used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return wanted & (imported | used)


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    """Return modules that import one another in a circle, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as cycle:
        return list(cycle.args[1])
    return []


def floor(name: str) -> str:
    """Return the floor of a module of ours by its dotted name; empty for the package itself and its way in."""
    return name.split(".")[1] if "." in name and name != "mesh.__main__" else ""


def is_pure(path: Path) -> bool:
    """Tell whether a module has to do without an engine and hosts."""
    return floor(module_name(path)) in PURE or module_name(path) in PURE_MODULES


def test_every_module_stands_on_a_floor() -> None:
    """And every floor is there."""
    assert {floor(module_name(path)) for path in MODULES} - {""} == set(FLOORS)
    assert set(PURE_MODULES) <= {module_name(path) for path in MODULES}


def offenders(paths: Iterable[Path], wrong: Callable[[Path], set[str]]) -> dict[str, set[str]]:
    """Return what is wrong with each of these files, by its path from the root, where something is."""
    return {label(path): found for path in paths if (found := wrong(path))}


def test_a_package_leans_on_those_before_it_only() -> None:
    """Also in functions: what runs later is still a dependency."""

    def above(path: Path) -> set[str]:
        ours = {found.name.split(".")[1] for found in imports_of(path) if found.package == "mesh"}
        return {name for name in ours if FLOORS.index(name) > FLOORS.index(floor(module_name(path)))}

    assert offenders((path for path in MODULES if floor(module_name(path))), above) == {}


def test_a_pure_module_knows_no_engine_and_no_host() -> None:
    """It runs before the first resource is registered, and needs neither Pulumi nor SSH."""

    def impure(path: Path) -> set[str]:
        return {found.package for found in imports_of(path)} & (ENGINE | {"asyncssh"})

    assert offenders(filter(is_pure, MODULES), impure) == {}


def test_a_pure_module_leans_on_pure_modules_only() -> None:
    """An import of ours must not bring the engine in by a second step."""
    names = {module_name(path) for path in MODULES}

    def impure(path: Path) -> set[str]:
        ours = {found.name for found in imports_of(path) if found.package == "mesh"}
        modules = {name if name in names else name.rpartition(".")[0] for name in ours}
        return {name for name in modules if floor(name) not in PURE and name not in PURE_MODULES}

    assert offenders(filter(is_pure, MODULES), impure) == {}


def test_tables_are_of_the_kind_that_cuts_nothing_off() -> None:
    """Names and endpoints with dots for their end would look alike."""

    def makers(path: Path) -> set[str]:
        return {found.name for found in imports_of(path) if found.name.startswith("rich.table")}

    assert set(offenders(MODULES, makers)) == {"mesh/cli/console.py"}


def test_providers_know_the_dynamic_part_of_pulumi_only() -> None:
    """They are loaded in another process, where the rest of the program is not running."""
    from_pulumi = {found.name for found in imports_of(ROOT / "mesh/providers.py") if found.package in ENGINE}
    assert {name for name in from_pulumi if not name.startswith("pulumi.dynamic")} == set()


def test_only_the_program_reads_and_exports_the_stack() -> None:
    """Where values come from and go to is on one page, the program's."""
    assert offenders(MODULES, lambda path: stack_access(parse(path))) == {}


@pytest.mark.parametrize(("package", "owners"), ONLY_IN.items())
def test_a_way_to_the_hosts_has_one_owner(package: str, owners: set[str]) -> None:
    """Commands go through enrolment, many hosts at once through the fan-out, and nothing else reaches a host."""
    assert {label(path) for path in SOURCES if package in {found.package for found in imports_of(path)}} <= owners


def test_no_modules_import_one_another_in_a_circle() -> None:
    """Every module can be read after those that it names."""
    names = {module_name(path) for path in MODULES}
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        eager = [found.name for found in imports_of(path) if not found.is_lazy]
        # `from mesh import keys` names the module as a name, `from mesh.wireguard.keys import is_key` before it.
        found = {name if name in names else name.rpartition(".")[0] for name in eager} & names
        graph[module_name(path)] = found - {module_name(path)}
    assert find_cycle(graph) == []


def public_names(tree: ast.Module) -> Iterator[str]:
    """Yield the classes, functions and other names of a module that others may import, but for type variables."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names = [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign) and "TypeVar" not in ast.unparse(node):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
        else:
            names = []
        yield from (name for name in names if not name.startswith("_"))


def test_a_name_means_one_thing() -> None:
    """Who reads it in one module knows it in all, and who searches for it finds it."""
    owners: dict[str, list[str]] = {}
    for path in MODULES:
        for name in public_names(parse(path)):
            owners.setdefault(name, []).append(label(path))
    assert {name: paths for name, paths in owners.items() if len(paths) > 1} == {}


def test_one_module_runs_pulumi() -> None:
    """But for that which looks for the engine: what pulumi is given, and what its failures mean, is said once."""
    runs = {label(path) for path in MODULES if "subprocess" in {found.package for found in imports_of(path)}}
    assert runs == {"mesh/cli/engine.py", "mesh/cli/pulumi_cli.py", "mesh/cli/openssh.py"}


def test_a_module_can_be_read_in_one_go() -> None:
    """A module that has grown long holds two things."""
    long = {label(path): lines for path in MODULES if (lines := len(path.read_text("utf-8").splitlines())) >= LINES}
    assert long == {}


def test_the_reader_sees_every_form_of_import() -> None:
    """The rules above rest on this reader, so that it must not miss an import."""
    source = """
import pulumi.dynamic as dynamic
from mesh.wireguard import keys
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from mesh.component.mesh import Mesh
class Provider:
    import asyncssh
    def create(self):
        from mesh.remote.sessions import ask
try:
    import pulumi_command
except ImportError:
    pass
"""
    assert set(read_imports(ast.parse(source))) == {
        Import("pulumi.dynamic", is_lazy=False),
        Import("mesh.wireguard.keys", is_lazy=False),
        Import("typing.TYPE_CHECKING", is_lazy=False),
        Import("mesh.component.mesh.Mesh", is_lazy=True),
        Import("asyncssh", is_lazy=False),
        Import("mesh.remote.sessions.ask", is_lazy=True),
        Import("pulumi_command", is_lazy=False),
    }


@pytest.mark.parametrize(
    "source", ["import pulumi\npulumi.Config()", "from pulumi import Config", "import pulumi\nf = pulumi.Config"]
)
def test_the_reader_sees_every_form_of_reading_the_stack(source: str) -> None:
    """An alias of the configuration class is as much a use as a call."""
    assert stack_access(ast.parse(source)) == {"pulumi.Config"}


def test_the_reader_sees_every_form_of_a_name() -> None:
    """But for what is private, and for type variables, which mean nothing outside of their module."""
    source = "T = TypeVar('T')\nA = 1\nB: int = 2\n_c = 3\nclass D: pass\nasync def e(): pass\ndef _f(): pass"
    assert list(public_names(ast.parse(source))) == ["A", "B", "D", "e"]


def test_the_reader_sees_a_circle() -> None:
    """Two steps are as much a circle as one."""
    assert set(find_cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}
    assert find_cycle({"a": {"b"}, "b": set()}) == []
