"""Read the stack file into values, or report all that is wrong with it at once.

The shape of the file is in `models`, rules across entries are in `rules`, and `topology` makes the plan. The caller
reads the stack; nothing here knows Pulumi.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from mesh.config.fields import NO_HOST_NAME, is_host_name
from mesh.config.host_models import Settings
from mesh.config.interface_name import interface_name_fault, is_interface_name
from mesh.config.models import Configuration, Host, Hosts, Interface, Interfaces
from mesh.config.plain import plain
from mesh.config.rules.across_entries import faults_across_entries
from mesh.config.sections import HOSTS, INTERFACES, ROTATION
from mesh.config.validation import join_path, read_entry
from mesh.errors import ConfigurationError, PlacedFault

__all__ = ["UNREAD", "examine", "read_configuration"]

# Instead of hosts whose file cannot be read.
UNREAD = object()
_WHOLE_NUMBER = re.compile(r"[1-9][0-9]{0,9}")

Model = TypeVar("Model", bound=Settings)


def _read_section(
    model: type[Model], raw: object, section: str, empty: str
) -> tuple[dict[str, Model], list[PlacedFault]]:
    """Return the entries, without what is faulty in them, and the faults of all."""
    if raw is UNREAD:
        return {}, []
    if raw is None:
        return {}, [PlacedFault(section, f"missing; {empty}")]
    if not isinstance(raw, Mapping):
        return {}, [PlacedFault(section, f"not a mapping; {empty}")]
    entries: dict[str, Model] = {}
    faults: list[PlacedFault] = []
    for name, value in raw.items():
        path = join_path(section, name)
        if section == HOSTS and not is_host_name(name):
            faults.append(PlacedFault(path, NO_HOST_NAME))
        elif section == INTERFACES and (reason := interface_name_fault(name)):
            faults.append(PlacedFault(path, reason))
        entries[name], found = read_entry(model, value, section, name)
        faults.extend(found)
    return entries, faults


@dataclass(frozen=True, slots=True)
class Examined:
    """What could be read of a stack file: its faults, its interfaces if it has any, and all of it if it has no fault.

    Entries with faults are there too, without what is faulty in them.
    """

    faults: tuple[PlacedFault, ...]
    interfaces: dict[str, Interface] | None
    configuration: Configuration | None


def examine(hosts: object, interfaces: object, rotation: object = None) -> Examined:
    """Return what the values of `mesh:hosts`, `mesh:interfaces` and `mesh:rotation` describe, and all their faults.

    `hosts` are UNREAD where their file could not be read, which is a fault that the caller has told.
    """
    hosts, interfaces = plain(hosts) if hosts is not UNREAD else hosts, plain(interfaces)
    read_hosts, faults = _read_section(Host, hosts, HOSTS, "name each host and give its ssh.address and ssh.hostKey")
    read_interfaces, found = _read_section(
        Interface, interfaces, INTERFACES, "name each interface and list its hosts, or give {} for none"
    )
    faults.extend(found)
    number = _WHOLE_NUMBER.fullmatch("1" if rotation is None else str(plain(rotation)))
    if number is None or int(number[0]) >= 2**31:
        faults.append(PlacedFault(ROTATION, "not usable; give a whole number from 1 up, or remove it"))
    for name, interface in read_interfaces.items():
        # A list that is missing, or holds no names, is reported already.
        if not interface.hosts and not interface.is_unsure("hosts"):
            path = join_path(INTERFACES, name, "hosts")
            faults.append(PlacedFault(path, "no hosts; list at least one, or remove the interface"))
    # Names that cannot be used are reported above; what follows from them would only repeat it.
    usable = {name: entry for name, entry in read_interfaces.items() if is_interface_name(name)}
    declared = hosts.keys() if isinstance(hosts, Mapping) else None
    faults.extend(faults_across_entries(declared, _with_unread(read_hosts, usable), usable))
    configuration = None
    if not faults and number is not None:
        configuration = Configuration(hosts=read_hosts, interfaces=read_interfaces, rotation=int(number[0]))
    return Examined(
        tuple(dict.fromkeys(faults)), read_interfaces if isinstance(interfaces, Mapping) else None, configuration
    )


def _with_unread(hosts: Hosts, interfaces: Interfaces) -> dict[str, Host]:
    """Return the hosts, with an entry of which nothing is known for each that is listed, and not described rightly."""
    unread, _ = read_entry(Host, UNREAD, HOSTS)
    known = {name: host if is_host_name(name) else unread for name, host in hosts.items()}
    # At the end, since of two hosts with one claim the later one in the file is told.
    return known | {name: unread for mesh in interfaces.values() for name in mesh.hosts if name not in known}


def read_configuration(hosts: object, interfaces: object, rotation: object = None) -> Configuration:
    """Return the configuration that the values of `mesh:hosts`, `mesh:interfaces` and `mesh:rotation` describe.

    Raises:
        ConfigurationError: With every fault of all, each with its place in the file; no fault repeats a value that
            could be a secret.
    """
    examined = examine(hosts, interfaces, rotation)
    if examined.configuration is None:
        raise ConfigurationError(examined.faults)
    return examined.configuration
