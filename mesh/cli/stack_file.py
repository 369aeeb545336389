"""A stack file that a command changes in place: its comments, order and quoting are the user's, and stay.

The models say what the fields mean. Only commands read the file itself; the program gets its values from Pulumi.
"""

from collections.abc import Collection, Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from mesh.cli.output_file import replace_file
from mesh.cli.yaml_text import YamlText
from mesh.config.adopted import faults_in_clear
from mesh.config.hosts_file import NO_VALUES
from mesh.config.models import Configuration
from mesh.config.schema import editor_line_in_project
from mesh.config.sections import (
    ADOPTED,
    HOSTS,
    HOSTS_FILE,
    INTERFACES,
    name_of_section,
    sections_in_file,
    sections_with_encrypted,
)
from mesh.config.stack import read_stack
from mesh.errors import ConfigurationError, MeshError, PlacedFault, show_name

__all__ = [
    "HOSTS",
    "HOSTS_FILE",
    "INTERFACES",
    "StackFile",
]


def _parts(content: Any) -> tuple[dict[str, Any], Any]:
    """Return what lies below `config`, and the hosts; an empty mapping of its own where there is no configuration."""
    content = content if isinstance(content, dict) else {}
    config = content.get("config")
    if isinstance(config, dict):
        return config, config.get(name_of_section(config, HOSTS))
    # A file of hosts alone, which a stack names as its hostsFile.
    alone = "config" not in content and all(host is None or isinstance(host, dict) for host in content.values())
    return {}, content if alone else None


def _plain(raw: bytes) -> Any:
    """Return the values of a file as Pulumi reads it: an alias is the value that it stands for."""
    return YAML(typ="safe").load(raw.decode("utf-8-sig"))


def _entries(content: Any, section: str) -> dict[str, Any]:
    config, hosts = _parts(content)
    found = hosts if section == HOSTS else config.get(name_of_section(config, section))
    return found if isinstance(found, dict) else {}


class StackFile:
    """A stack file that is changed in place, with its comments, order and quoting kept."""

    def __init__(self, path: Path, *, complete: bool = False) -> None:
        """Read the file; `complete` makes the file, and its sections, where they are missing.

        A file without a configuration gets the line by which editors check it, if it lies in a project.

        Raises:
            MeshError: If it cannot be read, is no YAML, or has something else than a configuration.
        """
        self.path = path
        self._complete = complete
        self._before = self._read()
        if self._before is None and not complete:
            raise MeshError(f"{path.name}: no longer exists; see what has removed it")
        self._text = YamlText(self._before or b"", path.name)
        if complete:
            self._add_configuration()

    def _read(self) -> bytes | None:
        """Return what the file holds now, None where there is none."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise MeshError(f"{self.path.name}: {problem.strerror}; see that you can read it") from None

    def _add_configuration(self) -> None:
        if self.content is None or (isinstance(self.content, CommentedMap) and "config" not in self.content):
            # `pulumi stack init` may have made the file, with nothing in it but what decrypts secrets.
            self._text.begin(editor_line_in_project(self.path))
        if not isinstance(self.content, CommentedMap) or not isinstance(self.content.get("config") or {}, dict):
            raise MeshError(f"{self.path.name}: config is no mapping; correct it, or take it out")
        if not self.content.get("config"):
            self.content["config"] = CommentedMap()
        if not self.hosts_file:
            self.section(HOSTS)

    @property
    def content(self) -> Any:
        """All that the file holds, to be changed in place."""
        return self._text.content

    @property
    def _config(self) -> dict[str, Any]:
        return _parts(self.content)[0]

    @property
    def hosts_file(self) -> Any:
        """What the file names as its file of hosts, if anything."""
        return self._config.get(name_of_section(self._config, HOSTS_FILE))

    @cached_property
    def hosts(self) -> dict[str, Any]:
        """The entries of all hosts, to be changed in place.

        Raises:
            MeshError: If there are none, or they are in a file of their own.
        """
        _, hosts = _parts(self.content)
        if file := self.hosts_file:
            raise MeshError(f"{self.path.name}: its hosts are in {file}; name that file instead")
        if not isinstance(hosts, dict) or not (hosts or self._complete):
            raise MeshError(f"{self.path.name}: no hosts below config and mesh:hosts; name each there")
        for name, host in hosts.items():
            # A name alone is enough where `ssh NAME` knows the way.
            hosts[name] = CommentedMap() if host is None else host
        return hosts

    def section(self, name: str) -> dict[str, Any]:
        """Return the entries below `name`, to be changed in place; a file that is completed gets them.

        Raises:
            MeshError: If there are none.
        """
        written = name_of_section(self._config, name)
        if self._complete and self._config.get(written) in (None, {}):
            self._config[written] = CommentedMap()
        entries = self._config.get(written)
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
                raise MeshError(f"{self.path.name}: {show_name(name)} is no host there; give one of mesh:hosts")
        return {name: self.hosts[name] for name in wanted}

    def configuration(self) -> Configuration:
        """Return what the file describes.

        Raises:
            ConfigurationError: With every fault of the file.
        """
        return self._configuration_of(self._config)

    def _configuration_of(self, config: dict[str, Any]) -> Configuration:
        # Pulumi runs the program in its project's folder, from where it reads a file of hosts.
        folder = next((up for up in self.path.parents if (up / "Pulumi.yaml").is_file()), self.path.parent)
        sections = sections_in_file(config)
        written = sections.get(ADOPTED)
        in_clear = faults_in_clear(written, is_secret=True, written=written)
        encrypted = sections_with_encrypted(sections)
        readable = {name: value for name, value in sections.items() if name == ADOPTED or name not in encrypted}
        return read_stack(readable, folder, in_clear, encrypted).configuration

    def _faults(self, raw: bytes) -> list[PlacedFault]:
        """Return what a preview would refuse in a text of this file, but for values that are still missing."""
        try:
            config, hosts = _parts(_plain(raw))
        except (YAMLError, *NO_VALUES):
            return [PlacedFault(self.path.name, "cannot be read as YAML; correct it")]
        # A section without a value is one that is missing.
        given = {name: value for name, value in config.items() if value is not None}
        try:
            self._configuration_of(given or {HOSTS: hosts})
        except ConfigurationError as error:
            return [fault for fault in error.placed if fault.words.partition(";")[0] != "missing"]
        return []

    def check(self) -> None:
        """Check that the file as it was read has no fault, but for values that are still missing.

        Raises:
            ConfigurationError: With every fault.
        """
        if self._before and (faults := self._faults(self._before)):
            raise ConfigurationError(faults, self.path.name)

    def check_unchanged(self) -> None:
        """Check that nobody has changed the file since it was read.

        Raises:
            MeshError: If somebody has.
        """
        if self._read() != self._before:
            raise MeshError(f"{self.path.name}: was changed meanwhile, so nothing was written; run it again")

    def text(self) -> str:
        """Return the file as it would be written."""
        return self._text.dump().decode()

    def _check_others(self, fresh: bytes, section: str, names: Collection[str]) -> None:
        before = _entries(_plain(self._before or b""), section)
        after = _entries(_plain(fresh), section)
        for name, entry in before.items():
            if name not in names and after.get(name) != entry:
                raise MeshError(
                    f"{self.path.name}: not written, since {section}.{name} has by an alias or a merge what would "
                    "change; write it out at each place"
                )

    def write(self, section: str = "", names: Collection[str] = ()) -> None:
        """Replace the file at once, so that an interruption leaves the old one.

        Of a `section` that is named, only the entries of these names may have changed, or be new.

        Raises:
            MeshError: If it was changed meanwhile, cannot be written, or would get a fault that it did not have, or
                other entries would change; then it is as it was.
        """
        fresh = self._text.dump()
        if faults := self._faults(fresh):
            known = self._faults(self._before) if self._before else []
            if new := [fault for fault in faults if fault not in known]:
                raise ConfigurationError(new, f"{self.path.name} was not written, since it would have")
        # Without an anchor, nothing is shared; what is no YAML for Pulumi was told before.
        if section and b"&" in (self._before or b""):
            with suppress(YAMLError, *NO_VALUES):
                self._check_others(fresh, section, names)
        self.check_unchanged()
        replace_file(self.path, fresh)
        self._before = fresh
