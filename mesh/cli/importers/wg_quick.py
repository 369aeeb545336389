"""A folder of wg-quick files: `HOST/IF.conf`, or `HOST.conf` for one interface."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from mesh.cli.importers.files import read_bytes, show_path
from mesh.cli.importers.found import FoundMesh
from mesh.cli.importers.join import join_configurations
from mesh.cli.importers.misfits import find_own_faults
from mesh.cli.importers.source import MOST_HOSTS, Source, some
from mesh.config.fields import is_host_name
from mesh.config.interface_name import is_interface_name
from mesh.errors import ConfigurationError, PlacedFault, show_name
from mesh.wireguard.wg_quick import WgQuick, read_wg_quick

__all__ = ["read_wg_quick_files", "read_wg_quick_folder"]

_SUFFIX = ".conf"


def read_wg_quick_folder(folder: Path, interface: str | None) -> list[FoundMesh]:
    """Return the meshes of the files in a folder; `interface` names or chooses one.

    Raises:
        ConfigurationError: With every fault; none repeats a key.
    """
    if not folder.is_dir():
        words = "no folder; give the one that holds HOST/IF.conf"
        raise ConfigurationError([PlacedFault(show_path(folder), words)], "import")
    faults: list[PlacedFault] = []
    found = _find_files(folder, faults)
    paths = [
        path
        for path in found
        if _names(path.relative_to(folder).as_posix(), interface)[0] in (None, interface or path.stem)
    ]
    if interface and found and not paths:
        names = some({path.stem for path in found})
        words = f"no files of {show_name(interface)} in it; there are some of {names}"
        raise ConfigurationError([PlacedFault(show_path(folder), words)], "import")
    if len(paths) > MOST_HOSTS:
        words = f"more than {MOST_HOSTS:,} files; import one interface after another with --interface"
        raise ConfigurationError([PlacedFault(show_path(folder), words)], "import")
    contents: dict[str, bytes] = {}
    # A host that is left out would be taken for a peer that is not managed.
    for path in paths:
        if path.suffix != _SUFFIX:
            words = f"ends in {path.suffix}; call it {path.stem}{_SUFFIX}, or take it out"
            faults.append(PlacedFault(show_path(path), words))
            continue
        try:
            contents[path.relative_to(folder).as_posix()] = read_bytes(path)
        except ConfigurationError as error:
            faults.extend(error.placed)
    return read_wg_quick_files(contents, interface, show_path(folder), faults)


def _find_files(folder: Path, faults: list[PlacedFault]) -> list[Path]:
    """Return what is called as a configuration in a folder and the folders in it, and add those that hide theirs."""
    found = []
    for path in _entries(folder, faults):
        inside = _entries(path, faults) if path.is_dir() else [path]
        found += [each for each in inside if each.suffix.lower() == _SUFFIX]
    return found


def _entries(folder: Path, faults: list[PlacedFault]) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        words = f"cannot be read, {error.strerror}; see that you can read the folder, or take it out"
        faults.append(PlacedFault(show_path(folder), words))
        return []


def read_wg_quick_files(
    contents: Mapping[str, bytes | str], interface: str | None, folder: str = "", unread: Iterable[PlacedFault] = ()
) -> list[FoundMesh]:
    """Return the meshes of files, by their path in `folder`; `unread` are the faults of those that could not be read.

    Raises:
        ConfigurationError: With every fault; none repeats a key.
    """
    files = _Files(folder, list(unread))
    for path, content in sorted(contents.items()):
        files.add(path, content, interface)
    return files.meshes()


def _names(path: str, interface: str | None) -> tuple[str | None, str]:
    """Return of which interface and host a file is."""
    place = PurePosixPath(path)
    return (place.stem, place.parent.name) if place.parent.name else (interface, place.stem)


class _Files:
    """What was read of a folder; meshes of which a host could not be read are `incomplete`."""

    def __init__(self, folder: str, faults: list[PlacedFault]) -> None:
        self.folder = folder
        self.faults = faults
        self.hosts: dict[str, dict[str, WgQuick]] = {}
        self.incomplete: set[str] = set()

    def add(self, path: str, content: bytes | str, interface: str | None) -> None:
        where = show_path(PurePosixPath(self.folder, path))
        name, host = _names(path, interface)
        if name is None:
            self.faults.append(PlacedFault(where, "the file name does not tell the interface; give --interface"))
            return
        if interface not in (None, name):
            return
        self.faults.extend(_name_faults(where, path, name, host))
        hosts = self.hosts.setdefault(name, {})
        if host in hosts:
            words = f"{hosts[host].where} is the file of {host} too; leave one of the two out"
            self.faults.append(PlacedFault(where, words))
            return
        try:
            hosts[host] = read_wg_quick(content, where)
        except ConfigurationError as error:
            self.faults.extend(error.placed)
            self.incomplete.add(name)

    def meshes(self) -> list[FoundMesh]:
        found = []
        if not self.hosts and not self.faults:
            words = "no such files in it; lay them there as HOST/IF.conf, or as HOST.conf with --interface"
            self.faults.append(PlacedFault(self.folder or "folder", words))
        for name, hosts in sorted(self.hosts.items()):
            if name in self.incomplete:
                self.faults.extend(find_own_faults(hosts))
                continue
            try:
                found.append(join_configurations(name, hosts, Source(self.folder or "folder")))
            except ConfigurationError as error:
                self.faults.extend(error.placed)
        if self.faults:
            raise ConfigurationError(dict.fromkeys(self.faults), "import")
        return found


def _name_faults(where: str, path: str, interface: str, host: str) -> Iterator[PlacedFault]:
    is_flat = "/" not in path
    if not is_interface_name(interface):
        advice = "give another with --interface" if is_flat else "rename it as the interface is called on the host"
        yield PlacedFault(where, f"no interface can be called so; {advice}")
    if not is_host_name(host):
        better = re.sub("[^a-zA-Z0-9.]+", "-", host).strip("-.")
        yield PlacedFault(
            where,
            f"the name of the {'file' if is_flat else 'folder'} is no host name (letters, digits and - joined by "
            f"dots); rename it{f', to {better} for one' if is_host_name(better) else ''}",
        )
