"""A folder of wg-quick files: `HOST/IF.conf`, or `HOST.conf` for one interface."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from mesh.cli.importers.found import FoundMesh
from mesh.cli.importers.join import join_configurations
from mesh.errors import ConfigurationError, show_name
from mesh.wireguard.wg_quick import WgQuick, read_wg_quick

__all__ = ["read_wg_quick_files"]


def read_wg_quick_files(files: Mapping[str, str], interface: str | None) -> list[FoundMesh]:
    """Return the meshes in `files`, texts by their path in the folder; `interface` names or chooses one.

    Raises:
        ConfigurationError: With every fault; none repeats a key.
    """
    faults: list[str] = []
    found: dict[str, dict[str, WgQuick]] = {}
    for path, text in sorted(files.items()):
        place = PurePosixPath(path)
        folder = place.parent.name
        name, host = (place.stem, folder) if folder else (interface, place.stem)
        if name is None:
            faults.append(f"{show_name(path)}: of which interface is not said; give it with --interface")
        elif interface in (None, name):
            try:
                found.setdefault(name, {})[host] = read_wg_quick(text, path)
            except ConfigurationError as error:
                faults.extend(error.faults)
    if not found and not faults:
        faults.append("folder: no such files in it; lay them there as HOST/IF.conf, or as HOST.conf with --interface")
    if faults:
        raise ConfigurationError(faults, "import")
    return [join_configurations(name, hosts) for name, hosts in sorted(found.items())]
