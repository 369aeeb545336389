"""Give IPv4 addresses of a mesh's prefix to participants that have none, in the stack file, where they stay.

IPv6 addresses follow from names. A prefix of IPv4 is too small for that, so each address is written down once.
"""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network
from itertools import chain
from typing import Any

from ruamel.yaml.comments import CommentedMap

from mesh.cli.stack_file import INTERFACES, StackFile
from mesh.cli.yaml_values import is_shared
from mesh.errors import MeshError

__all__ = ["allocate_addresses"]


def allocate_addresses(file: StackFile) -> dict[str, str]:
    """Write an address for each participant without one, and return them by `interface/participant`.

    Those that are there are kept, and one that became free is given last: its former owner may still be spoken to.

    Raises:
        MeshError: If a prefix or an entry is unusable, or no address is left; the file is then as before.
    """
    given: dict[str, str] = {}
    interfaces = file.section(INTERFACES)
    for name, entry in interfaces.items():
        if isinstance(entry, dict) and entry.get("ipv4"):
            given |= {f"{name}/{owner}": address for owner, address in _fill(name, interfaces)}
    if given:
        file.write()
    return given


def _fill(interface: str, interfaces: Any) -> Iterator[tuple[str, str]]:
    place, entry = f"{INTERFACES}.{interface}", interfaces[interface]
    prefix = _read_prefix(entry["ipv4"])
    if prefix is None:
        raise MeshError(f"{place}.ipv4: not an IPv4 prefix; give one of 8 to 30 bits such as 10.20.0.0/24")
    hosts = entry.get("hosts") or []
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
        raise MeshError(f"{place}.hosts: not usable; give a list of hosts")
    own = {section: _entries(place, entry, section) for section in ("members", "peers")}
    free = _free(prefix, [*own["members"].values(), *own["peers"].values()])
    owners = [(host, "members") for host in sorted(set(hosts))] + [(peer, "peers") for peer in sorted(own["peers"])]
    for owner, section in owners:
        if own[section].get(owner, {}).get("ipv4"):
            continue
        address = next(free, None)
        if address is None:
            raise MeshError(f"{place}.ipv4: {prefix} has no address left for {owner}; give a larger one")
        _check_own(interfaces, interface)
        if not entry.get(section):
            entry[section] = CommentedMap()
        _check_own(entry, section, place)
        if not entry[section].get(owner):
            entry[section][owner] = CommentedMap()
        _check_own(entry[section], owner, f"{place}.{section}")
        entry[section][owner]["ipv4"] = str(address)
        yield owner, str(address)


def _check_own(holder: CommentedMap, key: str, place: str = INTERFACES) -> None:
    if is_shared(holder, key):
        words = "an alias or a merge has it elsewhere too, and an address is of one alone; write it out at each place"
        raise MeshError(f"{place}.{key}: {words}")


def _entries(place: str, entry: dict[str, Any], section: str) -> dict[str, dict[str, Any]]:
    """Return the entries of members or peers by name; one that says nothing is empty.

    Raises:
        MeshError: If they are none, or have an address that is none.
    """
    found = entry.get(section) or {}
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise MeshError(f"{place}.{section}: not usable; give a mapping of names")
    for name, own in found.items():
        if own is not None and not (isinstance(own, dict) and isinstance(own.get("routes") or [], list)):
            raise MeshError(f"{place}.{section}.{name}: not usable; give a mapping, and routes as a list")
        if own and own.get("ipv4") and ("/" in str(own["ipv4"]) or _read_prefix(own["ipv4"]) is None):
            raise MeshError(f"{place}.{section}.{name}.ipv4: not an IPv4 address; correct it, or leave it out")
    return {name: own or {} for name, own in found.items()}


def _read_prefix(value: object) -> IPv4Network | None:
    try:
        # The library reads numbers as addresses too.
        return IPv4Network(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _free(prefix: IPv4Network, entries: Sequence[dict[str, Any]]) -> Iterator[IPv4Address]:
    """Yield addresses above the highest that is taken, then those below; none in a range that somebody routes."""
    taken = {int(IPv4Address(own["ipv4"])) for own in entries if own.get("ipv4")}
    # Some are of IPv6, or a fault that the preview tells.
    routes = [_read_prefix(route) for own in entries for route in own.get("routes") or ()]
    inside = [found for found in routes if found is not None and found.overlaps(prefix)]
    first, last = int(prefix.network_address) + 1, int(prefix.broadcast_address)
    above = max(taken, default=first - 1) + 1
    for number in chain(range(max(above, first), last), range(first, min(above, last))):
        address = IPv4Address(number)
        if number not in taken and not any(address in found for found in inside):
            yield address
