"""The database of wg-meshconf: a CSV file with a line for each host and its private key.

What its `genconfig` would write for each host is what is taken over, so the hosts are expected to run that.
"""

import csv
import io
from collections.abc import Iterator, Mapping

from mesh.cli.importers.found import FoundMesh
from mesh.cli.importers.join import join_configurations
from mesh.errors import ConfigurationError, InvalidKeyError
from mesh.wireguard.keys import public_key_of
from mesh.wireguard.wg_quick import Setting, WgQuick, read_settings

__all__ = ["read_wg_meshconf"]

_OWN = ("PrivateKey", "Address", "ListenPort", "MTU")
_OTHERS = ("DNS", "FwMark", "Table", "PreUp", "PostUp", "PreDown", "PostDown", "SaveConfig")
_NEEDED = {"Name", "Address", "Endpoint", "PrivateKey"}
# Where the database has none, its `init` gives this one.
_PORT = "51820"

Row = Mapping[str, str]


def read_wg_meshconf(text: str, interface: str) -> FoundMesh:
    """Return the mesh in a database, under the name that its `interface` has on the hosts.

    Raises:
        ConfigurationError: With every fault; none repeats a key.
    """
    rows = _read_rows(text)
    faults: list[str] = []
    hosts: dict[str, WgQuick] = {}
    for place, row in rows.items():
        try:
            hosts[row["Name"]] = read_settings(_settings(place, rows), place)
        except ConfigurationError as error:
            faults.extend(error.faults)
    if not faults and len(hosts) < len(rows):
        faults.append("Name: the name of several lines; give each host its own")
    if faults:
        raise ConfigurationError(dict.fromkeys(faults), "import")
    return join_configurations(interface, hosts)


def _read_rows(text: str) -> dict[str, Row]:
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        missing = _NEEDED - set(reader.fieldnames or ())
        rows = {f"line {reader.line_num}": {name or "": value for name, value in row.items()} for row in reader}
    except csv.Error:
        raise ConfigurationError(["database: not a CSV file; give the database.csv of wg-meshconf"], "import") from None
    if missing or not rows:
        what = f"no column {', '.join(sorted(missing))}" if missing else "no hosts"
        raise ConfigurationError([f"database: {what}; give the database.csv of wg-meshconf"], "import")
    # A short line leaves columns empty, and a long one makes a list of what has no column.
    return {
        place: {name: value if isinstance(value, str) else "" for name, value in row.items()}
        for place, row in rows.items()
    }


def _settings(place: str, rows: Mapping[str, Row]) -> Iterator[Setting]:
    own = rows[place]
    yield place, "[Interface]", ""
    for name in (*_OWN, *_OTHERS):
        if own.get(name):
            yield place, name, own[name]
    for other, row in rows.items():
        if other == place:
            continue
        yield other, "[Peer]", ""
        try:
            yield other, "PublicKey", public_key_of(row["PrivateKey"])
        except InvalidKeyError:
            # Its own line tells it.
            yield other, "PublicKey", public_key_of("A" * 43 + "=")
        yield other, "AllowedIPs", ",".join(filter(None, (row["Address"], row.get("AllowedIPs"))))
        if row["Endpoint"]:
            host = f"[{row['Endpoint']}]" if ":" in row["Endpoint"] else row["Endpoint"]
            yield other, "Endpoint", f"{host}:{row.get('ListenPort') or _PORT}"
        if row.get("PersistentKeepalive"):
            yield other, "PersistentKeepalive", row["PersistentKeepalive"]
        for one, two, key in _preshared_keys(own):
            if {one, two} == {own["Name"], row["Name"]}:
                yield place, "PresharedKey", key


def _preshared_keys(row: Row) -> Iterator[tuple[str, str, str]]:
    for entry in (row.get("PresharedKeys") or "").split(","):
        one, _, rest = entry.partition(":")
        two, _, key = rest.partition(":")
        if key:
            yield one, two, key
