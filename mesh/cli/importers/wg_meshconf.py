"""The database of wg-meshconf: a CSV file with a line for each host and its private key.

What `genconfig` of wg-meshconf 2.5.1 writes for each host is what is taken over, so the hosts are expected to run that.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from mesh.cli.importers.found import FoundMesh
from mesh.cli.importers.join import join_configurations
from mesh.cli.importers.misfits import find_own_faults
from mesh.cli.importers.source import MOST_HOSTS, Source
from mesh.cli.importers.table import read_table
from mesh.config.fields import is_host_name
from mesh.config.interface_name import is_interface_name
from mesh.errors import ConfigurationError, PlacedFault
from mesh.wireguard.addressing import Network
from mesh.wireguard.keys import ZERO_KEY, is_key, public_key_of
from mesh.wireguard.wg_quick import (
    ConfiguredPeer,
    Setting,
    WgQuick,
    read_settings,
    settle_allowed_ips,
)
from mesh.wireguard.wg_values import read_addresses

__all__ = ["read_wg_meshconf"]

_OWN = (
    "PrivateKey",
    "Address",
    "ListenPort",
    "MTU",
    "DNS",
    "FwMark",
    "Table",
    "PreUp",
    "PostUp",
    "PreDown",
    "PostDown",
)
_COLUMNS = ("Name", "Endpoint", "AllowedIPs", "PersistentKeepalive", "SaveConfig", *_OWN)
_NEEDED = ("Name", "Address", "Endpoint", "PrivateKey")

Row = Mapping[str, str]


class _Database(Source):
    """Its AllowedIPs derive from each host's Address, and hosts run what `genconfig` makes of it."""

    def send(self, host: str, own: WgQuick, wanted: Iterable[Network]) -> str:
        del wanted
        words = " ".join(f"--address {address.ip}/{address.max_prefixlen}" for address in own.addresses)
        return f"run wg-meshconf updatepeer {host} {words}, then genconfig, and let the hosts run that first"

    def leave_out(self, name: str, own: WgQuick | None, prefix: Network) -> str:
        if own and any(address.network == prefix for address in own.addresses):
            return self.send(name, own, ())
        return "take that out of its AllowedIPs, run wg-meshconf genconfig, and let the hosts run that first"


@dataclass(frozen=True, slots=True)
class _Host:
    """A line of the database: what the host is told of itself, and what all others are told of it."""

    name: str
    own: WgQuick
    peer: ConfiguredPeer


def read_wg_meshconf(content: bytes | str, interface: str, where: str = "database.csv") -> FoundMesh:
    """Return the mesh in a database, under the name that its `interface` has on the hosts; `where` names the file.

    Raises:
        ConfigurationError: With every fault; none repeats a key.
    """
    faults: list[PlacedFault] = []
    if not is_interface_name(interface):
        faults.append(PlacedFault("--interface", "no interface can be called so; give its name"))
    table = read_table(content, where, _COLUMNS, MOST_HOSTS)
    if missing := [name for name in _NEEDED if name not in table.columns]:
        words = f"no column {', '.join(missing)}; give the database.csv of wg-meshconf"
        faults.append(PlacedFault(f"{where}:1", words))
        raise ConfigurationError(faults, "import")
    faults += table.faults
    if not table.rows:
        faults.append(PlacedFault(where, "no hosts; give the database.csv of wg-meshconf"))
    hosts: list[_Host] = []
    for place, row in table.rows.items():
        try:
            hosts.append(_read_host(place, row))
        except ConfigurationError as error:
            faults.extend(error.placed)
    faults.extend(_same_names(table.rows))
    own = {host.name: host.own for host in hosts}
    if faults:
        raise ConfigurationError([*faults, *find_own_faults(own)], "import")
    return join_configurations(interface, {host.name: _with_peers(host, hosts) for host in hosts}, _Database(where))


def _same_names(rows: Mapping[str, Row]) -> Iterator[PlacedFault]:
    uses = Counter(row.get("Name") for row in rows.values())
    for place, row in rows.items():
        if (name := row.get("Name")) and uses[name] > 1:
            yield PlacedFault(f"{place}: Name", "the name of several lines; give each host its own")


def _read_host(place: str, row: Row) -> _Host:
    faults: list[PlacedFault] = []
    name = row.get("Name", "")
    if not is_host_name(name):
        faults.append(PlacedFault(f"{place}: Name", "no host name; use letters, digits and - joined by dots"))
    needed = ["PrivateKey", *(["ListenPort"] if "Endpoint" in row else [])]
    advice = "none; run wg-meshconf init, which fills it in, and genconfig, and let the hosts run that"
    faults += [PlacedFault(f"{place}: {column}", advice) for column in needed if column not in row]
    parts = []
    # What is wrong with an Address is wrong with the AllowedIPs that derive from it, so it is reported once.
    derived = (_peer_settings,) if _has_addresses(row) else ()
    for settings in (_own_settings, *derived):
        try:
            parts.append(read_settings(settings(place, row), place))
        except ConfigurationError as error:
            faults.extend(error.placed)
    if faults:
        raise ConfigurationError(faults, "import")
    own, others = parts
    return _Host(name, own, replace(others.peers[0], name=name))


def _has_addresses(row: Row) -> bool:
    try:
        addresses = read_addresses(row.get("Address", ""))
    except ValueError:
        return False
    return len(addresses) == len(set(addresses))


def _own_settings(place: str, row: Row) -> Iterator[Setting]:
    """Yield what `genconfig` writes of a host into its own file."""
    yield Setting(place, "[Interface]")
    yield from (Setting(place, name, row[name]) for name in _OWN if name in row)
    if "SaveConfig" in row:
        # Whatever else there is means no.
        yield Setting(place, "SaveConfig", "true" if row["SaveConfig"].lower() == "true" else "false")


def _peer_settings(place: str, row: Row) -> Iterator[Setting]:
    """Yield what `genconfig` writes of a host into the files of all others."""
    yield Setting(place, "[Peer]")
    key = row.get("PrivateKey", "")
    # One that is none is reported of the host itself.
    yield Setting(place, "PublicKey", public_key_of(key if is_key(key) else ZERO_KEY))
    for column in ("Address", "AllowedIPs"):
        if column in row:
            yield Setting(place, "AllowedIPs", row[column])
    if "Endpoint" in row and "ListenPort" in row:
        yield Setting(place, "Endpoint", f"{row['Endpoint']}:{row['ListenPort']}")
    if "PersistentKeepalive" in row:
        yield Setting(place, "PersistentKeepalive", row["PersistentKeepalive"])


def _with_peers(host: _Host, hosts: Iterable[_Host]) -> WgQuick:
    return replace(host.own, peers=settle_allowed_ips(other.peer for other in hosts if other is not host))
