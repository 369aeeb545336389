"""Where the peers of a host seek it: at one endpoint, or at an address of each IP version."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from mesh.config.external_fields import is_address
from mesh.errors import PlacedFault
from mesh.wireguard.wg_quick import Endpoint

__all__ = ["Sought", "choose_endpoint"]

# What a router does not forward from outside.
_LOCAL = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")))


@dataclass(frozen=True, slots=True)
class Sought:
    """The addresses or the name at which the peers of a host seek it, and the port there; none of a roaming one."""

    addresses: tuple[str, ...] = ()
    port: int | None = None

    def chosen_by(self, other: "Sought") -> str:
        """Return which of the addresses mesh gives to a host that is sought at those of `other`."""
        versions = {_version(address) for address in other.addresses}
        fitting = [address for address in self.addresses if {_version(address)} == versions]
        return [*fitting, *self.addresses][0]


def choose_endpoint(
    host: str, places: Mapping[Endpoint, str], uses: Mapping[Endpoint | None, int]
) -> tuple[Sought, list[PlacedFault]]:
    """Return where a host is sought, and why mesh could not keep that; `places` are where each endpoint stands.

    What has more `uses` comes first.
    """
    (address, port), *others = sorted(places, key=lambda endpoint: (-uses[endpoint], endpoint))
    if not others:
        return Sought((address,), port), []
    versions = {_version(each) for each, _ in places}
    if len(places) == 2 and versions == {4, 6} and len({each for _, each in places}) == 1:
        return Sought((address, others[0][0]), port), []
    local = [endpoint for endpoint in places if _is_local(endpoint[0])]
    if len(places) - len(local) == 1:
        outside = next(place for endpoint, place in places.items() if endpoint not in local)
        words = (
            f"{host} has an Endpoint of a local network, and another in {outside}; give the other one here and on the "
            f"host first, and after the first up the local address as localIps of {host}, and one site to all hosts of "
            "that network"
        )
        return Sought((address,), port), [PlacedFault(places[local[0]], words)]
    first, *rest = places.values()
    words = f"{host} has another Endpoint in {first}; mesh has one for each IP version, so make them the same first"
    return Sought((address,), port), [PlacedFault(rest[0], words)]


def _version(text: str) -> int | None:
    return ip_address(text).version if is_address(text) else None


def _is_local(text: str) -> bool:
    return is_address(text) and any(ip_address(text) in network for network in _LOCAL)
