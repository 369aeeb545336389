"""What is wrong with the configurations of hosts one by one, before they are joined."""

from collections.abc import Iterator, Mapping

from mesh.cli.importers.inside import find_address_faults
from mesh.errors import PlacedFault
from mesh.wireguard.wg_quick import WgQuick

__all__ = ["find_own_faults", "misfits", "unkept_settings"]


def find_own_faults(hosts: Mapping[str, WgQuick]) -> list[PlacedFault]:
    """Return what is wrong with hosts of which some others could not be read."""
    return [*unkept_settings(hosts), *misfits(hosts)]


def unkept_settings(hosts: Mapping[str, WgQuick]) -> Iterator[PlacedFault]:
    """Yield the settings that mesh has no place for."""
    for own in hosts.values():
        for name in own.others:
            yield PlacedFault(
                f"{own.place(name)}: {name}",
                "mesh has no place for it and would drop it; do without it here and on the host first, or leave this "
                "mesh as it is",
            )


def misfits(hosts: Mapping[str, WgQuick]) -> Iterator[PlacedFault]:
    """Yield what no host of a mesh can have: no key, the key of another one, addresses that mesh could not keep."""
    owners: dict[str, WgQuick] = {}
    for own in hosts.values():
        if own.public_key is None:
            yield PlacedFault(own.where, "no PrivateKey; give the one that the host has")
        elif (other := owners.setdefault(own.public_key, own)) is not own:
            words = f"the key in {other.place('PrivateKey')} too; give each host its own"
            yield PlacedFault(own.place("PrivateKey"), words)
    yield from find_address_faults(hosts)
