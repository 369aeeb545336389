"""The table of supported systems says what the lab has run, no more and no less."""

from pathlib import Path

from tests.lab.roots import RECIPES

_PAGE = Path(__file__).parents[2] / "docs/reference/supported-systems.md"
_SUITES = {"bookworm": "Debian 12", "trixie": "Debian 13"}
_PROCESSORS = {"": "x86_64", "arm64": "aarch64"}
_INITS = {"systemd-sysv": "systemd", "openrc": "OpenRC"}


def _run_in_the_lab(row: str) -> str:
    lines = (line.split("|") for line in _PAGE.read_text().splitlines() if line.startswith("| "))
    return next(cells[2] for cells in lines if cells[1].strip() == row)


def test_the_distributions_are_those_of_which_the_lab_makes_roots() -> None:
    """A root of another suite has to be named, and one that is gone has to go."""
    made = sorted({_SUITES[recipe.suite] for recipe in RECIPES.values()})
    assert _run_in_the_lab("distribution").strip() == ", ".join(made)


def test_the_init_systems_are_those_in_the_roots() -> None:
    """Each root has one of them."""
    for recipe in RECIPES.values():
        packages = RECIPES[recipe.same_as].packages if recipe.same_as else recipe.packages
        (name,) = (init for package, init in _INITS.items() if package in packages.split())
        assert name in _run_in_the_lab("init system")


def test_the_userlands_are_those_of_the_roots() -> None:
    """GNU, but for a root that has busybox in its place."""
    assert any(recipe.busybox for recipe in RECIPES.values()) == ("busybox" in _run_in_the_lab("userland"))


def test_the_kinds_of_wireguard_are_those_in_the_roots() -> None:
    """A kernel's is claimed only where a root boots its own."""
    told = _run_in_the_lab("WireGuard")
    assert any("wireguard-go" in recipe.packages for recipe in RECIPES.values()) == ("wireguard-go" in told)
    assert any(recipe.boots for recipe in RECIPES.values()) == ("the kernel's" in told)


def test_the_processors_are_those_for_which_the_lab_makes_roots() -> None:
    """Beside the one of the machine that makes them."""
    made = {_PROCESSORS[recipe.architecture] for recipe in RECIPES.values()}
    assert all(name in _run_in_the_lab("processor") for name in made)
    assert ("aarch64" in _run_in_the_lab("processor")) == ("aarch64" in made)
