"""What an import makes of a database of wg-meshconf, and what it refuses."""

import csv
import io
import time
from pathlib import Path
from typing import Any

import pytest

from mesh.cli.importers.stack import add_meshes
from mesh.cli.importers.wg_meshconf import read_wg_meshconf
from mesh.cli.stack_file import StackFile
from mesh.errors import ConfigurationError
from mesh.wireguard.keys import generate_key_pair

KEYS = {name: generate_key_pair() for name in ("bernard", "carol", "edgeworth")}
ADDRESSES = {"bernard": "fd12:1::1/64", "carol": "fd12:2::1/64", "edgeworth": "fd12:3::1/64"}
ENDPOINTS = {"bernard": "78.11.11.11", "carol": "2001:db8::3", "edgeworth": ""}
# As the README of wg-meshconf shows it.
README = """\
"Name","Address","Endpoint","AllowedIPs","ListenPort","PersistentKeepalive","FwMark","PrivateKey","DNS","MTU","Table",\
"PreUp","PostUp","PreDown","PostDown","SaveConfig"
"tokyo1","10.1.0.1/16","tokyo1.com","","51820","","","yJndNh80ToNWGOfDlbtho1wHAEZGa7ZhNpsHf7AJVUM=","","","","","","","",""
"germany1","10.2.0.1/16","germany1.com","","51820","","","SEOaOjTrhR4do1iUrTTRRHZs6xCA3Q/H0yHW3ZpkHko=","","","","","","","",""
"canada1","10.3.0.1/16","canada1.com","","51820","","","2D34jpbTsU+KeBqfItTEbL5m7nYcBomWWJGTYCT6eko=","","","","","","","",""
"shanghai1","10.4.0.1/16","shanghai1.com","","51820","","","CGyR7goj/uGH3TQHgVknpb9ZBR+/yMfkve+kVNGBYlg=","","","","","","","",""
"""


def database(**changes: str) -> str:
    """Return the database of three hosts; `changes` are columns of every line."""
    stream = io.StringIO()
    rows: list[dict[str, str]] = []
    for name, key in KEYS.items():
        rows.append({"Name": name, "Address": ADDRESSES[name], "Endpoint": ENDPOINTS[name], "AllowedIPs": "",
                     "ListenPort": "51820", "PrivateKey": key.private_key, "MTU": "1400", "PostUp": "",
                     **changes})  # fmt: skip
    writer = csv.DictWriter(stream, list(rows[0]), quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def refused(content: str | bytes, where: str = "database.csv") -> tuple[str, ...]:
    """Return what is wrong with a database."""
    with pytest.raises(ConfigurationError) as caught:
        read_wg_meshconf(content, "wg0", where)
    assert all(key.private_key not in str(caught.value) for key in KEYS.values())
    return caught.value.faults


def written(tmp_path: Path, content: str | bytes) -> Any:
    """Return the configuration in a stack file that a database was imported into."""
    file = StackFile(tmp_path / "Pulumi.office.yaml", complete=True)
    add_meshes(file, [read_wg_meshconf(content, "wg0")])
    return file.content["config"]


def test_a_database_of_wg_meshconf_becomes_the_mesh_that_it_generates() -> None:
    """It has no preshared keys, and a new one is made."""
    mesh = read_wg_meshconf(database(), "wg0")
    assert mesh.keys == {f"wg0/{name}": key.private_key for name, key in KEYS.items()}
    assert (mesh.port, mesh.mtu) == (51820, 1400)
    assert [(each.host, str(each.address), each.externals) for each in mesh.members] == [
        ("bernard", "fd12:1::1/64", ("78.11.11.11",)),
        ("carol", "fd12:2::1/64", ("2001:db8::3",)),
        ("edgeworth", "fd12:3::1/64", ()),
    ]


def test_the_layout_of_its_readme_is_kept(tmp_path: Path) -> None:
    """Each host has an address with the length of a range, and all of the range is sent to it."""
    mesh = read_wg_meshconf(README, "wg0")
    assert [(each.host, str(each.ipv4), [*map(str, each.routes)], each.externals) for each in mesh.members] == [
        ("canada1", "10.3.0.1", ["10.3.0.0/16"], ("canada1.com",)),
        ("germany1", "10.2.0.1", ["10.2.0.0/16"], ("germany1.com",)),
        ("shanghai1", "10.4.0.1", ["10.4.0.0/16"], ("shanghai1.com",)),
        ("tokyo1", "10.1.0.1", ["10.1.0.0/16"], ("tokyo1.com",)),
    ]
    assert written(tmp_path, README)["mesh:interfaces"]["wg0"]["ipv4"] == "10.0.0.0/13"


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + database(),
        b"\xef\xbb\xbf" + database().encode(),
        database().encode("utf-16"),
        database().replace('"', ""),
        database().replace(",", ";"),
        database().replace('"', "").replace(",", "\t"),
        database().replace("\r\n", "\n"),
        database().replace("Name", "name").replace("PrivateKey", " PRIVATEKEY "),
        database() + ",,,,,,,\r\n\r\n",
        database().replace('"PostUp"', '"B\xfcro"').encode("latin-1"),
    ],
    ids=["mark", "mark in bytes", "utf-16", "no quotes", "semicolons", "tabs", "lf", "case", "empty lines", "latin-1"],
)
def test_how_a_spreadsheet_saved_it_makes_no_difference(content: str | bytes) -> None:
    """Marks, separators, quotes and line ends are each program's own."""
    assert read_wg_meshconf(content, "wg0") == read_wg_meshconf(database(), "wg0")


def test_several_addresses_are_one_cell_whatever_separates_columns(tmp_path: Path) -> None:
    """Between addresses it is a comma."""
    both = database().replace("::1/64", "::1/64,10.0.0.1/32").replace(",10.0.0.1", ", 10.0.0.1", 1)
    for number in (2, 3):
        both = both.replace(f"fd12:{number}::1/64,10.0.0.1", f"fd12:{number}::1/64,10.0.0.{number}")
    members = written(tmp_path, both.replace('","', '";"'))["mesh:interfaces"]["wg0"]["members"]
    assert members["carol"] == {"address": "fd12:2::1/64", "ipv4": "10.0.0.2"}


_NETWORK = (
    "since a later peer has 10.1.0.0/16 too and WireGuard lets the last have it, and mesh would send it 10.1.0.1/32"
)
_DROPPED = (
    "mesh has no place for it and would drop it; do without it here and on the host first, or leave this mesh as it is"
)
_NO_ENDPOINT = "not usable; give an address or a name and a port, such as 78.11.11.11:51820 or [2001:db8::1]:51820"
_NONE = "none; run wg-meshconf init, which fills it in, and genconfig, and let the hosts run that"
_UPDATE = "run wg-meshconf updatepeer {} --address 10.1.0.1/32, then genconfig, and let the hosts run that first"


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        (
            database(PostUp="reboot").replace("reboot", "", 2),
            [
                f"database.csv:4: PostUp: {_DROPPED}",
            ],
        ),
        (
            database(Address="10.1.0.1/16"),
            [
                f"database.csv:2: bernard is sent nothing, {_NETWORK}; {_UPDATE.format('bernard')}",
                f"database.csv:3: carol is sent nothing, {_NETWORK}; {_UPDATE.format('carol')}",
                "database.csv:4: edgeworth is sent 10.1.0.0/16, where bernard, carol are too; "
                + _UPDATE.format("edgeworth"),
            ],
        ),
        (
            database(PrivateKey="x").replace("78.11.11.11", "78.11.11.11:5"),
            [
                "database.csv:2: PrivateKey: not a WireGuard key; give 44 characters of base64, as wg prints them",
                f"database.csv:2: Endpoint: {_NO_ENDPOINT}",
                "database.csv:3: PrivateKey: not a WireGuard key; give 44 characters of base64, as wg prints them",
                "database.csv:4: PrivateKey: not a WireGuard key; give 44 characters of base64, as wg prints them",
            ],
        ),
        (
            database().replace('"carol"', '"db_01"'),
            ["database.csv:3: Name: no host name; use letters, digits and - joined by dots"],
        ),
        (
            database().replace('"carol"', '"bernard"'),
            [
                "database.csv:2: Name: the name of several lines; give each host its own",
                "database.csv:3: Name: the name of several lines; give each host its own",
            ],
        ),
        (
            database(ListenPort="").replace(KEYS["edgeworth"].private_key, ""),
            [
                f"database.csv:2: ListenPort: {_NONE}",
                f"database.csv:3: ListenPort: {_NONE}",
                f"database.csv:4: PrivateKey: {_NONE}",
            ],
        ),
        (
            database().replace('"PostUp"', '"Comment"').replace('""\r\n', '"the first"\r\n', 1),
            ["database.csv:2: cell 8 is in no column that is known; take it out"],
        ),
        (
            database().replace('"PostUp"', '"MTU"'),
            ["database.csv:1: column MTU is there twice; take one of the two out"],
        ),
        (database() + '"x', ["database.csv:5: a quote or a line does not end as it should; write it again"]),
        (
            database() + f'"{"x" * 70_000}"',
            ["database.csv:5: a cell of more than 65,536 characters; check that it is the right file"],
        ),
        (
            database() + 'x,fd12:4::1/64,,,,"a\nb",,\ny,z,,,,x,,',
            [
                "database.csv:5: PrivateKey: not a WireGuard key; give 44 characters of base64, as wg prints them",
                "database.csv:7: Address: not usable; give addresses such as 10.0.0.1/24 or fd00:1::1/64",
                "database.csv:7: PrivateKey: not a WireGuard key; give 44 characters of base64, as wg prints them",
            ],
        ),
        (
            "a,b\n1,2\n",
            ["database.csv:1: no column Name, Address, Endpoint, PrivateKey; give the database.csv of wg-meshconf"],
        ),
        (
            "",
            ["database.csv:1: no column Name, Address, Endpoint, PrivateKey; give the database.csv of wg-meshconf"],
        ),
        (database().splitlines()[0], ["database.csv: no hosts; give the database.csv of wg-meshconf"]),
    ],
    ids=["hook", "one range", "key", "name", "names", "gaps", "column", "columns", "quote", "cell", "lines", "other",
         "empty", "header"],
)  # fmt: skip
def test_a_database_that_cannot_be_kept_is_refused(content: str, faults: list[str]) -> None:
    """Each fault names the file and the line, and a way out that its user has; none repeats a key."""
    assert sorted(refused(content)) == sorted(faults)


def test_the_file_is_called_as_its_user_calls_it() -> None:
    """In faults of lines, and in those of the whole."""
    assert refused("", "office/hosts.csv")[0].startswith("office/hosts.csv:1: no column")
    different = database(MTU="1400").replace("1400", "1420", 1)
    found = "hosts.csv: MTU 1400 (hosts.csv:3), 1420 (hosts.csv:2); a mesh has one for all hosts"
    assert refused(different, "hosts.csv") == (f"{found}, so make them the same first",)


def test_a_database_of_hundreds_of_hosts_is_read_in_seconds() -> None:
    """All of them are peers of all others."""
    rows = ["Name,Address,Endpoint,ListenPort,PrivateKey"]
    rows += [
        f"h{n},10.{n // 250}.{n % 250}.1/24,h{n}.example.org,51820,{generate_key_pair().private_key}"
        for n in range(200)
    ]
    began = time.process_time()
    mesh = read_wg_meshconf("\n".join(rows), "wg0")
    assert time.process_time() - began < 20
    assert len(mesh.members) == 200
    told = refused("\n".join([*rows, *(f"h{n},,,," for n in range(200, 1200))]))
    assert told[0] == "database.csv:1002: more than 1,000 lines, the most that is read; check that it is the right file"
