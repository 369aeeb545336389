"""Give IPv4 addresses of a mesh's prefix to participants that have none, in the stack file, where they stay.

IPv6 addresses follow from names. A prefix of IPv4 is too small for that, so each address is written down once.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from ruamel.yaml.comments import CommentedMap

from mesh.cli.stack_file import INTERFACES, StackFile
from mesh.errors import MeshError

__all__ = ["allocate_addresses"]


def allocate_addresses(file: StackFile) -> dict[str, str]:
    """Write an address for each participant without one, and return them by `interface/participant`.

    Those that are there are kept, and one that became free is given last: its former owner may still be spoken to.

    Raises:
        MeshError: If a prefix is unusable or has no address left; the file is then as before.
    """
    given: dict[str, str] = {}
    for name, entry in file.section(INTERFACES).items():
        if isinstance(entry, dict) and entry.get("ipv4"):
            given |= {f"{name}/{owner}": address for owner, address in _fill(name, entry)}
    if given:
        file.write()
    return given


def _fill(interface: str, entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
    try:
        prefix = IPv4Network(entry["ipv4"])
    except ValueError:
        raise MeshError(f"{INTERFACES}.{interface}.ipv4: not an IPv4 prefix; give one such as 10.20.0.0/24") from None
    sections = dict.fromkeys(sorted(entry.get("hosts") or ()), "members")
    sections |= dict.fromkeys(sorted(entry.get("peers") or ()), "peers")
    free = _free(prefix, entry)
    for owner, section in sections.items():
        own = entry.setdefault(section, CommentedMap())
        if own.get(owner) is None:
            own[owner] = CommentedMap()
        if own[owner].get("ipv4"):
            continue
        address = next(free, None)
        if address is None:
            raise MeshError(
                f"{INTERFACES}.{interface}.ipv4: {prefix} has no address left for {owner}; give a larger one"
            )
        own[owner]["ipv4"] = str(address)
        yield owner, str(address)


def _read_route(route: object) -> IPv4Network | None:
    try:
        return IPv4Network(str(route))
    except ValueError:
        # It is of IPv6, or a fault that the preview tells.
        return None


def _free(prefix: IPv4Network, entry: dict[str, Any]) -> Iterator[IPv4Address]:
    """Yield addresses above the highest that is taken, then those below; none in a range that somebody routes."""
    entries = [own for section in ("members", "peers") for own in (entry.get(section) or {}).values()]
    named = [own for own in entries if isinstance(own, dict)]
    taken = {str(own["ipv4"]) for own in named if own.get("ipv4")}
    ranges = [_read_route(route) for own in named for route in own.get("routes") or ()]
    inside = [found for found in ranges if found is not None and found.overlaps(prefix)]
    free = (address for address in prefix.hosts() if not any(address in found for found in inside))
    rest = [address for address in free if str(address) not in taken]
    highest = max((IPv4Address(address) for address in taken), default=prefix.network_address)
    yield from (address for address in rest if address > highest)
    yield from (address for address in rest if address <= highest)
