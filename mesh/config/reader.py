"""Read the stack file into values, or report all that is wrong with it at once.

The shape of the file is in `models`, rules across entries are in `rules`, and `topology` makes the plan. The caller
reads the stack; nothing here knows Pulumi.
"""

import re
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel

from mesh.config.fields import is_host_name
from mesh.config.interface_name import interface_name_fault, is_interface_name
from mesh.config.models import Configuration, Host, Interface
from mesh.config.rules.across_entries import faults_across_entries
from mesh.config.validation import join_path, read_entry
from mesh.errors import ConfigurationError, PlacedFault

__all__ = ["read_configuration"]

_HOSTS = "mesh:hosts"
_INTERFACES = "mesh:interfaces"
_ROTATION = "mesh:rotation"
_WHOLE_NUMBER = re.compile(r"[1-9][0-9]{0,9}")

Model = TypeVar("Model", bound=BaseModel)


def _read_section(
    model: type[Model], raw: object, section: str, empty: str
) -> tuple[dict[str, Model], list[PlacedFault]]:
    """Return the entries that can be checked further and the faults of all."""
    if raw is None:
        return {}, [PlacedFault(section, f"missing; {empty}")]
    if not isinstance(raw, Mapping):
        return {}, [PlacedFault(section, f"not a mapping; {empty}")]
    entries: dict[str, Model] = {}
    faults: list[PlacedFault] = []
    for name, value in raw.items():
        path = join_path(section, name)
        if section == _HOSTS and not is_host_name(name):
            faults.append(
                PlacedFault(path, "not a host name; use letters, digits and - in labels of 1 to 63, joined by dots")
            )
        elif section == _INTERFACES and (reason := interface_name_fault(name)):
            faults.append(PlacedFault(path, reason))
        entry, found = read_entry(model, value, section, name)
        faults.extend(found)
        if entry is not None and isinstance(name, str):
            entries[name] = entry
    return entries, faults


def read_configuration(hosts: object, interfaces: object, rotation: str | None = None) -> Configuration:
    """Return the configuration that the values of `mesh:hosts`, `mesh:interfaces` and `mesh:rotation` describe.

    Raises:
        ConfigurationError: With every fault of all, each with its place in the file; no fault repeats a value that
            could be a secret.
    """
    read_hosts, faults = _read_section(Host, hosts, _HOSTS, "name each host and give its ssh.address and ssh.hostKey")
    read_interfaces, found = _read_section(
        Interface, interfaces, _INTERFACES, "name each interface and list its hosts, or give {} for none"
    )
    faults.extend(found)
    number = _WHOLE_NUMBER.fullmatch(rotation or "1")
    if number is None or int(number[0]) >= 2**31:
        faults.append(PlacedFault(_ROTATION, "not usable; give a whole number from 1 up, or remove it"))
    for name, interface in read_interfaces.items():
        raw = interfaces.get(name) if isinstance(interfaces, Mapping) else None
        # A list that is missing, or holds no names, is reported already.
        if not interface.hosts and isinstance(raw, Mapping) and raw.get("hosts") in ([], ()):
            path = join_path(_INTERFACES, name, "hosts")
            faults.append(PlacedFault(path, "no hosts; list at least one, or remove the interface"))
    declared = [name for name in hosts if isinstance(name, str)] if isinstance(hosts, Mapping) else []
    # Names that cannot be used are reported above; what follows from them would only repeat it.
    usable = {name: entry for name, entry in read_interfaces.items() if is_interface_name(name)}
    faults.extend(faults_across_entries(declared, {n: h for n, h in read_hosts.items() if is_host_name(n)}, usable))
    if faults or number is None:
        raise ConfigurationError(faults)
    return Configuration(hosts=read_hosts, interfaces=read_interfaces, rotation=int(number[0]))
