"""Read a whole stack: all its sections, with every fault of all at once."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mesh.config.adopted import Adopted, examine_adopted
from mesh.config.hosts_file import read_hosts
from mesh.config.models import Configuration
from mesh.config.reader import UNREAD, examine
from mesh.config.sections import (
    ADOPTED,
    HOSTS,
    HOSTS_FILE,
    INTERFACES,
    ROTATION,
    encrypted_faults,
    unknown_sections,
)
from mesh.errors import ConfigurationError, PlacedFault

__all__ = ["StackValues", "read_stack"]


@dataclass(frozen=True, slots=True)
class StackValues:
    """What a stack asks for, free of faults, and the keys that it brings."""

    configuration: Configuration
    adopted: Adopted


def read_stack(
    sections: Mapping[str, object],
    folder: Path,
    in_clear: Iterable[PlacedFault] = (),
    encrypted: Collection[str] = (),
) -> StackValues:
    """Return what the sections of a stack say; a file of hosts is looked for from `folder`.

    `in_clear` are the faults of keys that are not encrypted, and `encrypted` the sections in which any value is, which
    only the caller can know.

    Raises:
        ConfigurationError: With these and every other fault of all sections; none shows a value that could be a secret.
    """
    sealed = [*encrypted_faults(encrypted)]
    faults = [*unknown_sections(sections), *sealed]
    if any(fault.place not in sections for fault in sealed):
        # What it holds is not known here, and whatever else is found may follow from that.
        raise ConfigurationError(faults)
    hosts: object = UNREAD
    try:
        hosts = read_hosts(sections.get(HOSTS), sections.get(HOSTS_FILE), folder)
    except ConfigurationError as error:
        faults.extend(error.placed)
    rotation = "" if ROTATION in sections and sections[ROTATION] is None else sections.get(ROTATION)
    examined = examine(hosts, sections.get(INTERFACES), rotation)
    faults.extend(examined.faults)
    adopted, found = examine_adopted(sections.get(ADOPTED), examined.interfaces)
    faults.extend([*in_clear, *found])
    if faults or examined.configuration is None:
        raise ConfigurationError(faults)
    return StackValues(examined.configuration, adopted)
