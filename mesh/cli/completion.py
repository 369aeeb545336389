"""What a shell completes: names of stacks, hosts and interfaces, as the stack files of the project have them.

It asks neither pulumi nor a host. Where there is no project, or a file has a fault, nothing is completed; a command
says what is wrong.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mesh.cli.project import find_project
from mesh.cli.stack_file import HOSTS, HOSTS_FILE, INTERFACES
from mesh.cli.stack_places import list_stack_files
from mesh.config.hosts_file import NO_VALUES
from mesh.config.sections import name_of_section
from mesh.errors import MeshError

__all__ = ["complete_host", "complete_interface", "complete_stack", "names_in_file"]


def _files(context: typer.Context) -> list[Path]:
    """Return the file of the stack that is given, or all."""
    # What stands before an option that has no value yet is still among the arguments.
    given = [word for word in (context.params.get("stack"), *context.args) if isinstance(word, str)]
    files = list_stack_files()
    return [path for stack, path in files.items() if stack in given] or list(files.values())


def names_in_file(path: Path, key: str) -> list[str]:
    """Return the names below a key of a stack file, none where that cannot be read."""
    yaml = YAML(typ="safe")
    try:
        config = yaml.load(path)["config"]
        found: Any = config.get(name_of_section(config, key))
        if key == HOSTS and (hosts_file := config.get(name_of_section(config, HOSTS_FILE))):
            found = yaml.load(find_project() / hosts_file)
    except (YAMLError, OSError, *NO_VALUES):
        return []
    return [str(name) for name in found] if isinstance(found, Mapping) else []


def _beginning(context: typer.Context, key: str, incomplete: str) -> list[str]:
    try:
        files = _files(context)
    except MeshError:
        return []
    return sorted({name for path in files for name in names_in_file(path, key) if name.startswith(incomplete)})


def complete_host(context: typer.Context, incomplete: str) -> list[str]:
    """Return the hosts whose names begin so, of the stack that is given, or of all."""
    return _beginning(context, HOSTS, incomplete)


def complete_interface(context: typer.Context, incomplete: str) -> list[str]:
    """Return the interfaces whose names begin so, of the stack that is given, or of all."""
    return _beginning(context, INTERFACES, incomplete)


def complete_stack(incomplete: str) -> list[str]:
    """Return the stacks that have a file in the project and whose names begin so."""
    try:
        return [name for name in list_stack_files() if name.startswith(incomplete)]
    except MeshError:
        return []
