"""What a program of one's own imports, and that nothing else is promised."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import mesh

ROOT = Path(__file__).parents[2]
# A deprecated part of the command package, which we do not use, warns while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*CopyToRemote:DeprecationWarning")


def test_the_package_promises_one_name() -> None:
    """Everything else may move."""
    assert mesh.__all__ == ["Mesh"]
    assert mesh.Mesh.__name__ == "Mesh"
    with pytest.raises(AttributeError, match="no attribute 'Stack'"):
        _ = mesh.Stack


def test_the_arguments_of_the_component_stay() -> None:
    """Their names and order are in programs of others."""
    parameters = inspect.signature(mesh.Mesh).parameters
    assert list(parameters) == ["interface", "hosts", "settings", "adopted", "opts"]
    assert [name for name, found in parameters.items() if found.default is inspect.Parameter.empty] == [
        "interface",
        "hosts",
    ]
    assert {parameters[name].kind for name in ("adopted", "opts")} == {inspect.Parameter.KEYWORD_ONLY}


def test_importing_the_package_brings_no_engine_in() -> None:
    """Commands and the rules of the stack file start in a tenth of a second."""
    code = "import sys, mesh, mesh.config.reader; print('pulumi' in sys.modules, 'asyncssh' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["False", "False"]


def test_the_types_are_for_others_too() -> None:
    """The marker makes type checkers of other programs read ours; tests/typing/api.py is such a program."""
    assert (ROOT / "mesh" / "py.typed").exists()
