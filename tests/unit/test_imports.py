"""What an import makes of the files of other tools, and what it refuses."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mesh.cli.importers.fleet import read_fleet
from mesh.cli.importers.found import FoundMesh
from mesh.cli.importers.stack import add_meshes, hosts_without_address
from mesh.cli.importers.wg_meshconf import read_wg_meshconf
from mesh.cli.importers.wg_quick import read_wg_quick_files
from mesh.cli.stack_file import StackFile
from mesh.errors import ConfigurationError
from mesh.wireguard.keys import generate_key_pair, generate_preshared_key
from mesh.wireguard.wg_quick import read_wg_quick

KEYS = {name: generate_key_pair() for name in ("bernard", "carol", "edgeworth")}
PRESHARED = generate_preshared_key()
ADDRESSES = {"bernard": "fd12:1::1/64", "carol": "fd12:2::1/64", "edgeworth": "fd12:3::1/64"}
ENDPOINTS = {"bernard": "78.11.11.11:51820", "carol": "[2001:db8::3]:51820", "edgeworth": ""}
FLEET = """{
  # written by fleet
  hosts = {
    bernard.encryptionKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    edgeworth.encryptionKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIELc1m...";
  };
  secrets = {
    testwg-key = [
      {
        owners = [ "bernard" ];
        createdAt = "2026-04-23T16:39:29.532714437Z";
        public.raw = "<PLAINTEXT>T7F6A+6jU87kz4c8GftttyU+xB0KhHIaplDV65psb3M=";
        secret.raw = "<ENCRYPTED><BASE64-ENCODED>abc";
      }
      {
        owners = [ "edgeworth" ];
        createdAt = "2026-04-23T16:39:43.337788671Z";
        public.raw = "<PLAINTEXT>QgERRQnE+blQaVNMNiQZ+uk+HEOFKVTmvg4O+MqQ0hA=";
        secret.raw = "<ENCRYPTED><BASE64-ENCODED>abc";
      }
    ];
    testwg-psk = {
      owners = [ "bernard" "edgeworth" ];
      createdAt = "2026-04-23T16:39:30.126077659Z";
      secret.raw = "<ENCRYPTED><BASE64-ENCODED>abc";
    };
    other-key = { owners = [ "bernard" ]; public.raw = "<PLAINTEXT>ssh"; };
  };
}
"""


def files(**changes: tuple[str, str]) -> dict[str, str]:
    """Return three hosts' files, each with a text replaced as `changes` say."""
    made = {}
    for host, key in KEYS.items():
        text = f"[Interface]\nPrivateKey = {key.private_key}\nAddress = {ADDRESSES[host]}\nListenPort = 51820\n"
        for peer, other in KEYS.items():
            if peer != host:
                subnet = ADDRESSES[peer].replace("::1/", "::/")
                text += f"[Peer]\nPublicKey = {other.public_key}\nPresharedKey = {PRESHARED}\nAllowedIPs = {subnet}\n"
                text += f"Endpoint = {ENDPOINTS[peer]}\n" if ENDPOINTS[peer] else ""
                text += "PersistentKeepalive = 25\n" if not ENDPOINTS[host] else ""
        made[f"{host}/wg0.conf"] = text.replace(*changes.get(host, ("", "")))
    return made


def read(found: Mapping[str, str]) -> FoundMesh:
    """Return the one mesh in a folder."""
    (mesh,) = read_wg_quick_files(found, None)
    return mesh


def refused(found: Mapping[str, str], interface: str | None = None) -> str:
    """Return the faults of a folder that cannot be imported."""
    with pytest.raises(ConfigurationError) as caught:
        read_wg_quick_files(found, interface)
    for key in KEYS.values():
        assert key.private_key not in str(caught.value)
    return str(caught.value)


def written(tmp_path: Path, *meshes: FoundMesh, text: str = "config: {}\n") -> Any:
    """Return the configuration in a stack file that meshes were imported into."""
    path = tmp_path / "Pulumi.office.yaml"
    path.write_text(text)
    file = StackFile(path, complete=True)
    add_meshes(file, meshes)
    file.write()
    return StackFile(path).content["config"]


def test_a_folder_of_wg_quick_files_becomes_a_mesh(tmp_path: Path) -> None:
    """Addresses, endpoints, port and keys are kept, and nothing that would be so anyway is written."""
    mesh = read(files())
    assert mesh.keys == {**{f"wg0/{name}": key.private_key for name, key in KEYS.items()}, "wg0": PRESHARED}
    assert mesh.notes == ()
    assert written(tmp_path, mesh) == {
        "mesh:hosts": {
            "bernard": {"externalIps": ["78.11.11.11"], "ssh": {"address": "78.11.11.11"}},
            "carol": {"externalIps": ["2001:db8::3"], "ssh": {"address": "2001:db8::3"}},
            "edgeworth": {"ssh": {}},
        },
        "mesh:interfaces": {
            "wg0": {
                "hosts": ["bernard", "carol", "edgeworth"],
                "port": 51820,
                "members": {name: {"address": address} for name, address in ADDRESSES.items()},
            }
        },
    }


def test_files_named_after_hosts_need_the_name_of_the_interface() -> None:
    """As wg-meshconf and many hands lay them."""
    flat = {path.replace("/wg0", ""): text for path, text in files().items()}
    assert "'bernard.conf': of which interface is not said; give it with --interface" in refused(flat)
    (mesh,) = read_wg_quick_files(flat, "wg1")
    assert mesh.interface == "wg1"
    assert mesh.members == read(files()).members


def test_hosts_that_share_a_subnet_send_each_other_addresses_only() -> None:
    """Each is a /128 to its peers, and keeps the length of its own."""
    shared = files()
    for path in shared:
        for number in (1, 2, 3):
            shared[path] = shared[path].replace(f"fd12:{number}::1/64", f"fd12::{number}/64")
            shared[path] = shared[path].replace(f"fd12:{number}::/64", f"fd12::{number}/128")
    assert [str(member.address) for member in read(shared).members] == ["fd12::1/64", "fd12::2/64", "fd12::3/64"]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("fd12:1::1/64", "fd12:1::1/64, 10.0.0.1/24", "wg0 on carol: no IPv4 address, and bernard has one"),
        ("fd12:1::1/64", "fd12:1::1/64, fd12:9::1/64", "wg0 on bernard: 2 IPv6 addresses; a host of a mesh has one at"),
        ("Address = fd12:1::1/64", "MTU = 1400", "wg0 on bernard: no address; give the file that holds it"),
        ("ListenPort", "PostUp = x\nDNS = y\nListenPort", "wg0 on bernard: PostUp, DNS: mesh has no place for it"),
        ("fd12:2::/64", "fd12:2::1/128", "sends fd12:2::1/128 to carol, and mesh would send fd12:2::/64; make that"),
        ("fd12:2::/64", "fd12:2::/64, ::/0", "wg0 on carol: is sent everything; take that out of AllowedIPs, and name"),
        ("fd12:2::/64", "fd12:2::/64, fd12:3::/80", "wg0 on carol: is sent fd12:3::/80, where edgeworth is too"),
        ("2001:db8::3", "2001:db8::4", "wg0 on carol: its peers seek it at several endpoints"),
        ("ListenPort = 51820", "ListenPort = 1", "wg0 on bernard: listens on 1 and is sought at 51820"),
        ("PrivateKey", "Address", "bernard/wg0.conf:2: Address: not usable; give addresses"),
    ],
)
def test_what_mesh_could_not_keep_stops_the_import(old: str, new: str, fault: str) -> None:
    """In words that name the host."""
    assert fault in refused(files(bernard=(old, new)))


def test_a_name_as_endpoint_is_kept(tmp_path: Path) -> None:
    """It becomes the external name; one that the stack file has otherwise stops the import."""
    given = {path: text.replace("78.11.11.11", "VPN.example.org") for path, text in files().items()}
    (mesh,) = read_wg_quick_files(given, None)
    assert [each.external for each in mesh.members] == ["VPN.example.org", "2001:db8::3", None]
    path = tmp_path / "Pulumi.office.yaml"
    path.write_text("config: {}\n")
    file = StackFile(path, complete=True)
    add_meshes(file, [mesh])
    assert file.hosts["bernard"]["externalName"] == "VPN.example.org"
    assert "externalIps" not in file.hosts["bernard"]
    del file.content["config"]["mesh:interfaces"]["wg0"]
    file.hosts["bernard"]["externalName"] = "other.example.org"
    with pytest.raises(ConfigurationError) as caught:
        add_meshes(file, [mesh])
    assert "mesh:hosts.bernard.externalName: another place than its peers send to, VPN.example.org" in str(caught.value)


def test_a_mesh_of_ipv4_addresses_keeps_them_and_gets_ipv6_beside(tmp_path: Path) -> None:
    """As most meshes made by hand are: one network, and an address of it for each host."""
    given = files()
    for path in given:
        for number in (1, 2, 3):
            given[path] = given[path].replace(f"fd12:{number}::1/64", f"10.0.0.{number}/24")
            given[path] = given[path].replace(f"fd12:{number}::/64", f"10.0.0.{number}/32")
    mesh = read(given)
    assert mesh.notes == (
        "bernard, carol, edgeworth: gets an IPv6 address beside its IPv4 address; a mesh proves itself by it",
    )
    interface = written(tmp_path, mesh)["mesh:interfaces"]["wg0"]
    assert interface["ipv4"] == "10.0.0.0/24"
    assert interface["members"] == {name: {"ipv4": f"10.0.0.{number}"} for number, name in enumerate(KEYS, 1)}


def test_both_ip_versions_are_kept(tmp_path: Path) -> None:
    """Addresses without a network's length get the smallest prefix that holds all."""
    given = files()
    for path in given:
        for number, last in ((1, 7), (2, 8), (3, 9)):
            given[path] = given[path].replace(f"fd12:{number}::1/64", f"fd12:{number}::1/64, 10.0.0.{last}/32")
            given[path] = given[path].replace(f"fd12:{number}::/64", f"fd12:{number}::/64, 10.0.0.{last}/32")
    interface = written(tmp_path, read(given))["mesh:interfaces"]["wg0"]
    assert interface["ipv4"] == "10.0.0.0/28"
    assert interface["members"]["carol"] == {"address": "fd12:2::1/64", "ipv4": "10.0.0.8"}


def test_more_than_a_host_owns_becomes_its_routes(tmp_path: Path) -> None:
    """Who does not send it yet is told."""
    more = ("AllowedIPs = fd12:2::/64", "AllowedIPs = fd12:2::/64, 2001:db8:5::/64")
    mesh = read(files(bernard=more))
    assert mesh.notes == ("edgeworth: sends 2001:db8:5::/64 to carol too, with the first up",)
    members = written(tmp_path, mesh)["mesh:interfaces"]["wg0"]["members"]
    assert members["carol"] == {"address": "fd12:2::1/64", "routes": ["2001:db8:5::/64"]}


PHONE = f"""
# phone
[Peer]
PublicKey = {generate_key_pair().public_key}
PresharedKey = {PRESHARED}
AllowedIPs = fd12:9::7/128
"""


def test_a_peer_without_a_file_becomes_one_that_is_not_managed(tmp_path: Path) -> None:
    """Under the name that a comment gives it; the others get it too."""
    given = files()
    given["bernard/wg0.conf"] += PHONE
    mesh = read(given)
    assert "\n".join(mesh.notes) == (
        "phone: no file has its key, so it becomes a peer that is not managed here; if it is a host, give its file; "
        "carol, edgeworth: gets it too"
    )
    peers = written(tmp_path, mesh)["mesh:interfaces"]["wg0"]["peers"]
    assert peers == {"phone": {"publicKey": PHONE.split()[5], "address": "fd12:9::7/128"}}


def test_a_router_without_a_file_keeps_its_endpoint_and_the_network_behind_it(tmp_path: Path) -> None:
    """Without a comment it has a number for a name."""
    given = {
        path: text + PHONE.replace("# phone", "").replace("/128", "/128, 2001:db8:7::/64") + "Endpoint = 192.0.2.9:51\n"
        for path, text in files().items()
    }
    peers = written(tmp_path, read(given))["mesh:interfaces"]["wg0"]["peers"]
    assert peers["peer-1"]["endpoint"] == "192.0.2.9:51"
    assert peers["peer-1"]["routes"] == ["2001:db8:7::/64"]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            f"PresharedKey = {PRESHARED}\n",
            "",
            "the preshared key of the mesh would cut it off; give all hosts and peers",
        ),
        ("fd12:9::7/128", "fd12:9::8/128", "the hosts send different prefixes to it; make its AllowedIPs the same"),
        ("AllowedIPs", "Endpoint = [fd00::1]:5\nAllowedIPs", "the hosts seek it at several endpoints"),
        ("fd12:9::7/128", "fd12:9::7/128, ::/0", "it is sent everything; take that out of AllowedIPs first"),
        ("fd12:9::7/128", "fd12:9::7/128, 10.0.0.9/32", "it is sent IPv4, and the hosts have no IPv4 address"),
    ],
    ids=["preshared key", "prefixes", "endpoints", "everything", "ipv4"],
)
def test_a_peer_without_a_file_that_mesh_could_not_keep_is_refused(old: str, new: str, fault: str) -> None:
    """It is not reached, so nothing can be changed on it."""
    given = files()
    given["bernard/wg0.conf"] += PHONE + "Endpoint = 192.0.2.9:51\n"
    given["carol/wg0.conf"] += PHONE.replace(old, new)
    assert f"wg0: peer phone, whose file is not here: {fault}" in refused(given)


def test_names_of_peers_are_free_ones() -> None:
    """A number for a name is no host's, and no comment's."""
    given = files()
    for name, last in (("# peer-1", 7), ("# carol", 8), ("", 9)):
        other = PHONE.replace("# phone", name).replace("fd12:9::7", f"fd12:9::{last}")
        given["bernard/wg0.conf"] += other.replace(PHONE.split()[5], generate_key_pair().public_key)
    assert [peer.name for peer in read(given).peers] == ["peer-1", "peer-2", "peer-3"]


def test_a_server_with_phones_in_its_own_subnet_is_a_mesh(tmp_path: Path) -> None:
    """Then each owns its address only, whatever length the server's has."""
    server = KEYS["bernard"].private_key
    text = f"[Interface]\nPrivateKey = {server}\nAddress = 10.0.0.1/24, fd00:77::1/64\nListenPort = 51820\n"
    text += PHONE.replace("fd12:9::7/128", "10.0.0.2/32, fd00:77::2/128")
    interface = written(tmp_path, read({"bernard/wg0.conf": text}))["mesh:interfaces"]["wg0"]
    assert interface["members"] == {"bernard": {"address": "fd00:77::1/64", "ipv4": "10.0.0.1"}}
    phone = {"publicKey": PHONE.split()[5], "address": "fd00:77::2/64", "ipv4": "10.0.0.2"}
    assert interface["peers"] == {"phone": phone}


@pytest.mark.parametrize(
    ("hosts", "phone", "prefix"),
    [
        (["10.8.0.1/8", "10.8.0.2/24"], "10.8.0.9/32", "10.8.0.0/24"),
        (["10.8.0.1/32", "10.8.0.2/32"], "10.8.0.9/32", "10.8.0.0/28"),
        (["10.8.0.1/24", "10.8.0.2/24"], "10.0.0.53/32, 10.8.0.9/32", "10.8.0.0/24"),
    ],
)
def test_the_prefix_of_ipv4_addresses_is_one_that_holds_them(
    tmp_path: Path, hosts: list[str], phone: str, prefix: str
) -> None:
    """As narrow as was written, or can be; a peer's address is the one in it."""
    given = {path: text for path, text in files().items() if "edgeworth" not in path}
    for path, text in given.items():
        ours = text.partition(f"[Peer]\nPublicKey = {KEYS['edgeworth'].public_key}")[0]
        for number, address in enumerate(hosts, 1):
            single = address.partition("/")[0]
            ours = ours.replace(f"fd12:{number}::1/64", address).replace(f"fd12:{number}::/64", single)
        given[path] = ours
    given["bernard/wg0.conf"] += PHONE.replace("fd12:9::7/128", phone)
    interface = written(tmp_path, read(given))["mesh:interfaces"]["wg0"]
    assert interface["ipv4"] == prefix
    assert interface["peers"]["phone"]["ipv4"] == "10.8.0.9"


def test_ipv4_addresses_that_no_network_holds_are_refused() -> None:
    """A mesh has one network for all."""
    given = files()
    for path in given:
        for number, address in ((1, "10.0.0.1"), (2, "192.168.1.1"), (3, "172.16.0.1")):
            given[path] = (
                given[path]
                .replace(f"fd12:{number}::1/64", f"{address}/32")
                .replace(f"fd12:{number}::/64", f"{address}/32")
            )
    assert "wg0: 10.0.0.1 and 192.168.1.1 are in no network of 8 bits or more" in refused(given)


def test_a_host_that_two_meshes_seek_at_different_places_is_refused(tmp_path: Path) -> None:
    """It has one external address for all its meshes."""
    other = {
        path.replace("wg0", "wg1"): text.replace("78.11.11.11", "78.11.11.12").replace("fd12:", "fd13:")
        for path, text in files().items()
    }
    meshes = read_wg_quick_files({**files(), **other}, None)
    with pytest.raises(ConfigurationError, match=r"bernard.externalIps: begins with another address than"):
        written(tmp_path, *meshes)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("[Peer]\n# phone\nPublicKey = K", "phone"),
        ("# Name = phone\n[Peer]\nPublicKey = K", "phone"),
        ("### begin phone ###\n[Peer]\nPublicKey = K", "phone"),
        ("# mine\n\n# phone\n[Peer]\nPublicKey = K", "phone"),
        ("# mine\n\n[Peer]\nPublicKey = K", ""),
        ("# laptop\n#[Peer]\n#PublicKey = K\n[Peer]\nPublicKey = K", ""),
        ("# 10.0.0.9\n[Peer]\nPublicKey = K", ""),
        ("[Peer] # Client: phone (8f0c)\nPublicKey = K", "phone"),
        ("[Peer]\n# do not touch\nPublicKey = K # phone", "phone"),
        ("[Peer]\nPublicKey = K\n#Endpoint = 1.2.3.4:5\n", ""),
    ],
)
def test_a_peer_is_called_what_a_comment_says(text: str, name: str) -> None:
    """In the ways in which people and tools write it."""
    key = KEYS["carol"].public_key
    [peer] = read_wg_quick(text.replace("= K", f"= {key}"), "wg0.conf").peers
    assert peer.name == name


def test_preshared_keys_that_differ_are_told_and_left() -> None:
    """The first up makes one for the mesh."""
    mesh = read(files(bernard=(f"PresharedKey = {PRESHARED}\n", "")))
    assert mesh.preshared_key is None
    assert mesh.notes[0].startswith("no preshared key that all pairs share: the first up makes one")


def test_an_interface_that_is_in_the_file_is_not_imported_again(tmp_path: Path) -> None:
    """Nor is a host's endpoint changed."""
    text = "config:\n  mesh:hosts: {bernard: {externalIps: [1.2.3.4]}}\n  mesh:interfaces: {wg0: {hosts: []}}\n"
    with pytest.raises(ConfigurationError) as caught:
        written(tmp_path, read(files()), text=text)
    assert "mesh:interfaces.wg0: is there already; take it out" in str(caught.value)
    assert "mesh:hosts.bernard.externalIps: begins with another address" in str(caught.value)


def database(**changes: str) -> str:
    """Return the database of wg-meshconf with the same mesh; `changes` are columns of every line."""
    stream = io.StringIO()
    rows: list[dict[str, str]] = []
    for name, key in KEYS.items():
        endpoint = ENDPOINTS[name].rpartition(":")[0].strip("[]")
        rows.append({"Name": name, "Address": ADDRESSES[name], "Endpoint": endpoint, "AllowedIPs": "",
                     "ListenPort": "51820", "PrivateKey": key.private_key, "MTU": "1400", "PostUp": "",
                     **changes})  # fmt: skip
    writer = csv.DictWriter(stream, list(rows[0]), quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def test_a_database_of_wg_meshconf_becomes_the_mesh_that_it_generates() -> None:
    """It has no preshared keys, and a new one is made."""
    mesh = read_wg_meshconf(database(), "wg0")
    assert mesh.keys == {f"wg0/{name}": key.private_key for name, key in KEYS.items()}
    assert (mesh.port, mesh.mtu) == (51820, 1400)
    assert [(each.host, str(each.address), each.external) for each in mesh.members] == [
        ("bernard", "fd12:1::1/64", "78.11.11.11"),
        ("carol", "fd12:2::1/64", "2001:db8::3"),
        ("edgeworth", "fd12:3::1/64", None),
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (database(PostUp="reboot"), "wg0 on bernard: PostUp: mesh has no place for it"),
        (
            database(Address="10.1.0.1/16"),
            "wg0 on carol: sends 10.1.0.0/16 to bernard, and mesh would send 10.1.0.1/32",
        ),
        (database(PrivateKey="x"), "line 2: PrivateKey: not a WireGuard key"),
        (database(Name="bernard"), "Name: the name of several lines; give each host its own"),
        ("a,b\n1,2\n", "database: no column Address, Endpoint, Name, PrivateKey; give the database.csv of wg-meshconf"),
        ("", "database: no column"),
    ],
)
def test_a_database_that_cannot_be_kept_is_refused(text: str, fault: str) -> None:
    """Each fault names its line or host, and no key."""
    with pytest.raises(ConfigurationError) as caught:
        read_wg_meshconf(text, "wg0")
    assert fault in str(caught.value)
    assert all(key.private_key not in str(caught.value) for key in KEYS.values())


def test_a_fleet_state_gives_hosts_and_the_public_keys_to_compare(tmp_path: Path) -> None:
    """A host key that was shortened is left for scan; private keys are for adopt."""
    (mesh,) = read_fleet(FLEET, 51825)
    assert mesh.notes[0] == (
        "bernard: public key T7F6A+6jU87kz4c8GftttyU+xB0KhHIaplDV65psb3M=, made 2026-04-23T16:39:29Z; adopt has to "
        "show the same"
    )
    assert mesh.keys == {}
    config = written(tmp_path, mesh)
    assert config["mesh:interfaces"] == {"testwg": {"hosts": ["bernard", "edgeworth"], "port": 51825}}
    assert config["mesh:hosts"]["bernard"]["ssh"]["hostKey"].endswith("9GKJl")
    assert config["mesh:hosts"]["edgeworth"] == {"ssh": {"address": "edgeworth"}}
    assert hosts_without_address(StackFile(tmp_path / "Pulumi.office.yaml")) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[ ]", '{ a = "', "{ a = { b = 1; }; a.b = 2; ", "{" * 10000, "{ secrets = { }; }"]
)
def test_what_is_no_fleet_state_is_refused(text: str) -> None:
    """Without another exception."""
    with pytest.raises(ConfigurationError, match="fleet state: "):
        read_fleet(text, None)
