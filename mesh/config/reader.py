"""Read the stack file into values, or say everything that is wrong with it at once.

The shape of the file belongs in `settings`, rules across entries in `consistency`, and what follows from the file in
`topology`. The mappings come from whoever reads the stack; nothing here knows Pulumi.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from pydantic import BaseModel

from mesh.config.fields import is_host_name
from mesh.config.interface_name import interface_name_fault, is_interface_name
from mesh.config.models import Bastion, Configuration, Host, Interface, MemberOverrides, SshSettings
from mesh.config.rules.across_entries import faults_across_entries
from mesh.config.validation import join_path, read_entry
from mesh.errors import ConfigurationError, show_name
from mesh.wireguard import keys

__all__ = [
    "Adopted",
    "Bastion",
    "Configuration",
    "Host",
    "Interface",
    "MemberOverrides",
    "SshSettings",
    "read_adopted",
    "read_configuration",
]

_HOSTS = "mesh:hosts"
_INTERFACES = "mesh:interfaces"
_ROTATION = "mesh:rotation"
_ADOPTED = "mesh:adopted"
_WHOLE_NUMBER = re.compile(r"[1-9][0-9]{0,9}")
_NO_PRESHARED_KEY = "A" * 43 + "="

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Adopted:
    """Keys that exist already and are taken over instead of made; printing it shows none of them."""

    private_keys: Mapping[tuple[str, str], str] = field(default_factory=dict, repr=False)
    preshared_keys: Mapping[str, str] = field(default_factory=dict, repr=False)

    def private_key(self, interface: str, host: str) -> str | None:
        """Return the private key that `host` brings to `interface`, if it brings one."""
        return self.private_keys.get((interface, host))

    def preshared_key(self, interface: str) -> str | None:
        """Return the preshared key that `interface` brings, if it brings one."""
        return self.preshared_keys.get(interface)


def _read_section(model: type[Model], raw: object, section: str, empty: str) -> tuple[dict[str, Model], list[str]]:
    """Return the entries that can be checked further and the faults of all."""
    if raw is None:
        return {}, [f"{section}: missing; {empty}"]
    if not isinstance(raw, Mapping):
        return {}, [f"{section}: not a mapping; {empty}"]
    entries: dict[str, Model] = {}
    faults: list[str] = []
    for name, value in raw.items():
        path = join_path(section, name)
        if section == _HOSTS and not is_host_name(name):
            faults.append(f"{path}: not a host name; use letters, digits and - in labels of 1 to 63, joined by dots")
        elif section == _INTERFACES and (reason := interface_name_fault(name)):
            faults.append(f"{path}: {reason}")
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
        faults.append(f"{_ROTATION}: not usable; give a whole number from 1 up, or remove it")
    for name, interface in read_interfaces.items():
        path = join_path(_INTERFACES, name, "hosts")
        if not interface.hosts and not any(fault.startswith(path) for fault in faults):
            faults.append(f"{path}: no hosts; list at least one, or remove the interface")
    declared = [name for name in hosts if isinstance(name, str)] if isinstance(hosts, Mapping) else []
    # Names that cannot be used are told above; deriving from them would only repeat it.
    usable = {name: entry for name, entry in read_interfaces.items() if is_interface_name(name)}
    faults.extend(faults_across_entries(declared, {n: h for n, h in read_hosts.items() if is_host_name(n)}, usable))
    if faults or number is None:
        raise ConfigurationError(faults)
    return Configuration(hosts=read_hosts, interfaces=read_interfaces, rotation=int(number[0]))


def read_adopted(adopted: object, configuration: Configuration) -> Adopted:
    """Return the keys of `mesh:adopted`: `testwg/bernard` names a private key and `testwg` a preshared key.

    Raises:
        ConfigurationError: With every fault at once; none repeats a key.
    """
    if adopted is None:
        return Adopted()
    if not isinstance(adopted, Mapping):
        raise ConfigurationError([f"{_ADOPTED}: not a mapping; give keys by interface/host, or by interface"])
    private_keys: dict[tuple[str, str], str] = {}
    preshared_keys: dict[str, str] = {}
    faults: list[str] = []
    for name, value in adopted.items():
        path = join_path(_ADOPTED, name)
        interface_name, slash, host = name.partition("/") if isinstance(name, str) else ("", "", "")
        interface = configuration.interfaces.get(interface_name)
        if interface is None:
            faults.append(f"{path}: no interface of that name; name it as in {_INTERFACES}, or remove the key")
        elif slash and host not in interface.hosts:
            faults.append(f"{path}: {show_name(host)} is no host of that interface; correct the name or remove the key")
        elif not isinstance(value, str) or not keys.is_key(value):
            faults.append(f"{path}: not a WireGuard key; give 44 characters of base64, as wg prints them")
        elif slash:
            private_keys[interface_name, host] = value
        elif value == _NO_PRESHARED_KEY:
            faults.append(f"{path}: all zeros, which is no preshared key to WireGuard; remove it to have one made")
        else:
            preshared_keys[interface_name] = value
    faults.extend(_shared_private_keys(private_keys))
    if faults:
        raise ConfigurationError(faults)
    return Adopted(MappingProxyType(private_keys), MappingProxyType(preshared_keys))


def _shared_private_keys(private_keys: Mapping[tuple[str, str], str]) -> list[str]:
    # WireGuard drops a peer that has the host's own public key, without an error.
    owners: dict[tuple[str, str], str] = {}
    faults: list[str] = []
    for (interface, host), private_key in private_keys.items():
        other = owners.setdefault((interface, keys.public_key_of(private_key)), host)
        if other != host:
            path = join_path(_ADOPTED, f"{interface}/{host}")
            faults.append(
                f"{path}: the key of host {other!r} too; each host needs its own, so remove one to have it made"
            )
    return faults
