"""A stack file that a command changes in place: its comments, order and quoting are the user's, and stay.

The models say what the fields mean. Only commands read the file itself; the program gets its values from Pulumi.
"""

import io
import os
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError
from ruamel.yaml.util import load_yaml_guess_indent

from mesh.cli.project import find_project
from mesh.config.hosts_file import NO_VALUES, read_hosts
from mesh.config.models import Configuration
from mesh.config.reader import read_configuration
from mesh.config.schema import editor_line_in_project
from mesh.errors import MeshError, show_name

__all__ = [
    "HOSTS",
    "HOSTS_FILE",
    "INTERFACES",
    "StackFile",
    "find_or_name_stack_file",
    "find_stack_file",
    "list_stack_files",
    "stack_of",
]

HOSTS = "mesh:hosts"
HOSTS_FILE = "mesh:hostsFile"
INTERFACES = "mesh:interfaces"
_ROTATION = "mesh:rotation"

_CONFIG = re.compile("^config:", re.MULTILINE)


def _path_of(stack: str) -> Path:
    return find_project() / "stacks" / f"Pulumi.{stack}.yaml"


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


def find_stack_file(name: str) -> Path:
    """Return the file that `name` means: a path, or a stack whose file is in the project's folder `stacks`.

    Raises:
        MeshError: If there is neither.
    """
    if Path(name).is_file():
        return Path(name).resolve()
    path = _path_of(name)
    if path.is_file():
        return path.resolve()
    raise MeshError(f"{name}: no such stack file; give its path, or a stack that has one in stacks/")


def find_or_name_stack_file(name: str) -> Path:
    """Return the file that `name` means, also where it is not there yet: then `name` is a stack's, or ends in .yaml."""
    if Path(name).is_file() or name.endswith(".yaml"):
        return Path(name).resolve()
    return _path_of(name).resolve()


class StackFile:
    """A stack file that is changed in place, with its comments, order and quoting kept."""

    def __init__(self, path: Path, *, complete: bool = False) -> None:
        """Read the file; `complete` makes the file, and its sections, where they are missing.

        A file without a configuration gets the line by which editors check it, if it lies in a project.

        Raises:
            MeshError: If it is no YAML, or has no hosts.
        """
        self.path = path
        self._yaml = YAML()
        self._yaml.preserve_quotes = True
        self._yaml.width = 2**16
        try:
            text = path.read_text(encoding="utf-8") if path.exists() or not complete else ""
            # JSON is YAML too, in braces, and gets its configuration below.
            if complete and not _CONFIG.search(text) and not text.lstrip().startswith("{"):
                # `pulumi stack init` may have made the file, with nothing in it but what decrypts secrets.
                end = "" if text.endswith("\n") or not text else "\n"
                text = f"{editor_line_in_project(path)}{text}{end}config: {{}}\n"
            _, indent, offset = load_yaml_guess_indent(text)
            self._yaml.indent(mapping=2, sequence=indent or 2, offset=offset or 0)
            self.content: Any = self._yaml.load(text)
        except (YAMLError, *NO_VALUES) as error:
            # Its own words may repeat what stands there, and that may be a key.
            mark = getattr(error, "problem_mark", None)
            place = f"line {mark.line + 1}" if mark else "it"
            raise MeshError(f"{path.name}: cannot be read as YAML; correct {place}") from None
        self._complete = complete
        if complete and (self.content is None or isinstance(self.content, dict)):
            self.content = self.content or CommentedMap()
            if not self.content.get("config"):
                self.content["config"] = CommentedMap()
            if not self._config.get(HOSTS_FILE):
                self._config.setdefault(HOSTS, CommentedMap())

    @property
    def _config(self) -> dict[str, Any]:
        """What lies below `config`; an empty mapping of its own where that is none, as in a file of hosts alone."""
        config = self.content.get("config") if isinstance(self.content, dict) else None
        return config if isinstance(config, dict) else {}

    @cached_property
    def hosts(self) -> dict[str, Any]:
        """The entries of all hosts, to be changed in place.

        Raises:
            MeshError: If there are none, or they are in a file of their own.
        """
        content = self.content if isinstance(self.content, dict) else {}
        config = content.get("config")
        if isinstance(config, dict):
            if file := config.get(HOSTS_FILE):
                raise MeshError(f"{self.path.name}: its hosts are in {file}; name that file instead")
            hosts = config.get(HOSTS)
        else:
            # A file of hosts alone, which a stack names as its hostsFile.
            hosts = content if all(host is None or isinstance(host, dict) for host in content.values()) else None
        if not isinstance(hosts, dict) or not (hosts or self._complete):
            raise MeshError(f"{self.path.name}: no hosts below config and {HOSTS}; name each there")
        for name, host in hosts.items():
            # A name alone is enough where `ssh NAME` knows the way.
            hosts[name] = CommentedMap() if host is None else host
        return hosts

    def section(self, name: str) -> dict[str, Any]:
        """Return the entries below `name`, to be changed in place.

        Raises:
            MeshError: If there are none.
        """
        entries = self._config.get(name)
        if not isinstance(entries, dict):
            raise MeshError(
                f"{self.path.name}: nothing below config and {name}; check that this is the file of the stack"
            )
        return entries

    def select(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the entries of `names`, or of all hosts where there are none.

        Raises:
            MeshError: For a name that is no host.
        """
        wanted = list(names) or list(self.hosts)
        for name in wanted:
            if name not in self.hosts:
                raise MeshError(f"{self.path.name}: {show_name(name)} is no host there; give one of {HOSTS}")
        return {name: self.hosts[name] for name in wanted}

    def configuration(self) -> Configuration:
        """Return what the file describes.

        Raises:
            ConfigurationError: With every fault of the file.
        """
        file = self._config.get(HOSTS_FILE)
        # Pulumi runs the program in its project's folder, from where it reads that file.
        folder = next((up for up in self.path.parents if (up / "Pulumi.yaml").is_file()), self.path.parent)
        hosts = read_hosts(self._config.get(HOSTS), file, folder) if file else self.hosts
        rotation = self._config.get(_ROTATION)
        return read_configuration(hosts, self._config.get(INTERFACES), None if rotation is None else str(rotation))

    def text(self) -> str:
        """Return the file as it would be written."""
        stream = io.StringIO()
        self._yaml.dump(self.content, stream)
        return stream.getvalue()

    def write(self) -> None:
        """Replace the file at once, so that an interruption leaves the old one."""
        fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        fresh.write_text(self.text(), encoding="utf-8")
        if self.path.exists():
            fresh.chmod(self.path.stat().st_mode)
        fresh.replace(self.path)
