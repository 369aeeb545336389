"""Where the stack files of a project lie, and which stack each is of."""

import os
import re
from pathlib import Path

from mesh.cli.project import find_project
from mesh.errors import MeshError

__all__ = ["find_or_name_stack_file", "find_stack_file", "is_stack_file", "list_stack_files", "stack_of"]

_FILE_VARIABLE = "PULUMI_OPTION_CONFIG_FILE"
# As Pulumi takes a stack of an organization, or of that and a project.
_FULL_NAME = re.compile(r"(?:[A-Za-z0-9_.-]+/){1,2}(?P<stack>[A-Za-z0-9_.-]+)")


def _path_of(stack: str) -> Path:
    full = _FULL_NAME.fullmatch(stack)
    return find_project() / "stacks" / f"Pulumi.{full['stack'] if full else stack}.yaml"


def list_stack_files() -> dict[str, Path]:
    """Return the stack files of the project by the names of their stacks, sorted.

    Raises:
        MeshError: If there is no project.
    """
    files = sorted(_path_of("*").parent.glob(_path_of("*").name))
    return {stack_of(path): path for path in files}


def stack_of(path: Path) -> str:
    """Return the stack whose file has this name."""
    return path.name.removeprefix("Pulumi.").removesuffix(".yaml")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as problem:
        raise MeshError(f"{path}: {problem.strerror}; give a stack, or the path of its file") from None


def _with_real_folder(path: Path) -> Path:
    # Its own name says which stack it is of, also where it is a link to a file of another name.
    return path.parent.resolve() / path.name


def is_stack_file(name: str) -> bool:
    """Tell whether a command was given the path of a stack's file, and not the stack's name."""
    return _is_file(Path(name))


def find_stack_file(name: str) -> Path:
    """Return the file that `name` means: a path, or a stack, whose file Pulumi's own variable names for every stack.

    Without that variable it is in the project's folder `stacks`.

    Raises:
        MeshError: If there is neither.
    """
    named = os.environ.get(_FILE_VARIABLE)
    for path in (Path(name), Path(named) if named else _path_of(name)):
        if _is_file(path):
            return _with_real_folder(path)
    if named:
        raise MeshError(f"{named}: no such stack file; correct {_FILE_VARIABLE}, or unset it")
    raise MeshError(f"{name}: no such stack file; give its path, or a stack that has one in stacks/")


def find_or_name_stack_file(name: str) -> Path:
    """Return the file that `name` means, also where it is not there yet: then `name` is a stack's, or ends in .yaml."""
    is_path = name.endswith(".yaml") or _is_file(Path(name))
    return _with_real_folder(Path(name) if is_path else _path_of(name))
