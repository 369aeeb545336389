"""Each row of the threat model names tests that exist, or says how to live with what stays open."""

import ast
import re

from tests.documents import ROOT, read

_PAGE = read(ROOT / "docs/security.md")
_MODEL = _PAGE.partition("## Threat model")[2].partition("\n## ")[0]
_ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in _MODEL.splitlines() if line.startswith("|")]


def functions(path: str) -> set[str]:
    """Return the names of the tests of a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_test_that_the_page_names_is_there() -> None:
    """By file and function."""
    named = re.findall(r"`(tests/[a-z_/]+\.py)::(\w+)`", _PAGE)
    assert len(named) > 25
    assert [(path, name) for path, name in named if name not in functions(path)] == []


def test_every_row_is_shown_by_a_test_or_accepted() -> None:
    """And each test and each acceptance belongs to a row."""
    tests = {int(number) for number in re.findall(r"(?m)^(\d+)\. ", _MODEL)}
    accepted = {name for names in re.findall(r"(?m)^- ([a-z, ]+): ", _MODEL) for name in names.split(", ")}
    used_tests: set[int] = set()
    used_names: set[str] = set()
    for *_, shown in _ROWS[2:]:
        parts = re.fullmatch(r"(\d+)?(?:, )?(?:accepted ([a-z]))?", shown)
        assert parts, shown
        assert parts[1] or parts[2], shown
        used_tests |= {int(parts[1])} if parts[1] else set()
        used_names |= {parts[2]} if parts[2] else set()
    assert used_tests == tests
    assert used_names == accepted
