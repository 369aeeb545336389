"""What an import makes of a folder of wg-quick files, and what it refuses."""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mesh.cli.importers.found import FoundMesh
from mesh.cli.importers.stack import add_meshes
from mesh.cli.importers.wg_quick import read_wg_quick_files, read_wg_quick_folder
from mesh.cli.stack_file import StackFile
from mesh.errors import ConfigurationError, MeshError
from mesh.wireguard.keys import generate_key_pair, generate_preshared_key
from mesh.wireguard.text import MOST_BYTES
from mesh.wireguard.wg_quick import read_wg_quick

KEYS = {name: generate_key_pair() for name in ("bernard", "carol", "edgeworth")}
PRESHARED = generate_preshared_key()
ADDRESSES = {"bernard": "fd12:1::1/64", "carol": "fd12:2::1/64", "edgeworth": "fd12:3::1/64"}
ENDPOINTS = {"bernard": "78.11.11.11:51820", "carol": "[2001:db8::3]:51820", "edgeworth": ""}


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


def addressed(*addresses: tuple[str, str]) -> dict[str, str]:
    """Return the same with other addresses: for each host what it has itself, and what its peers send to it."""
    given = files()
    for path in given:
        for number, (own, sent) in enumerate(addresses, 1):
            given[path] = given[path].replace(f"fd12:{number}::1/64", own).replace(f"fd12:{number}::/64", sent)
    return given


def read(found: Mapping[str, str | bytes]) -> FoundMesh:
    """Return the one mesh in a folder."""
    (mesh,) = read_wg_quick_files(found, None)
    return mesh


def refused(found: Mapping[str, str | bytes], interface: str | None = None) -> str:
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
    assert "  bernard.conf: the file name does not tell the interface; give --interface" in refused(flat)
    (mesh,) = read_wg_quick_files(flat, "wg1")
    assert mesh.interface == "wg1"
    assert mesh.members == read(files()).members


def test_how_an_editor_saved_a_file_makes_no_difference() -> None:
    """A byte-order mark, line ends of Windows, Latin-1 in a comment."""
    saved: dict[str, str | bytes] = {**files()}
    plain = files()
    saved["bernard/wg0.conf"] = "\ufeff" + plain["bernard/wg0.conf"].replace("\n", "\r\n")
    saved["carol/wg0.conf"] = b"# B\xfcro\n" + plain["carol/wg0.conf"].encode()
    saved["edgeworth/wg0.conf"] = plain["edgeworth/wg0.conf"].encode("utf-16")
    assert read(saved) == read(plain)


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        (
            "db_01.conf",
            "db_01.conf: the name of the file is no host name (letters, digits and - joined by dots); rename",
        ),
        (
            "db_01/wg0.conf",
            "db_01/wg0.conf: the name of the folder is no host name (letters, digits and - joined by do",
        ),
        ("db_01/wg0.conf", "rename it, to db-01 for one"),
        ("a\nb/wg0.conf", "'a\\nb/wg0.conf': the name of the folder is no host name"),
        ("bernard.conf", "bernard/wg0.conf: bernard.conf is the file of bernard too; leave one of the two out"),
    ],
)
def test_a_file_name_that_is_no_host_name_is_refused_by_that_name(path: str, fault: str) -> None:
    """Not by a place in a stack file that is not written."""
    given = files()
    given[path] = given["bernard/wg0.conf"]
    assert fault in refused(given, "wg0")


def test_a_file_name_that_is_no_interface_name_is_refused() -> None:
    """With how else to say it."""
    given = files()
    given["bernard/my mesh.conf"] = given.pop("bernard/wg0.conf")
    assert "bernard/my mesh.conf: no interface can be called so; rename it as the interface is called" in refused(given)
    assert "b.conf: no interface can be called so; give another with --interface" in refused({"b.conf": ""}, "my mesh")


def test_the_faults_of_all_files_are_told_at_once() -> None:
    """Also what is wrong with a host alone, where another one could not be read."""
    given = files(bernard=("ListenPort", "DNS = 1.1.1.1\nListenPort"), carol=("ListenPort = ", "ListenPort = x"))
    given["edgeworth/wg1.conf"] = given["edgeworth/wg0.conf"].replace("fd12:3::1/64", "fd12:3::x")
    told = refused(given)
    assert "3 faults" in told
    for fault in ("bernard/wg0.conf:4: DNS: ", "carol/wg0.conf:4: ListenPort: ", "edgeworth/wg1.conf:3: Address: "):
        assert fault in told


def test_the_documentation_shows_faults_as_they_are() -> None:
    """Word by word; lines are folded there."""
    given = files(bernard=("ListenPort", "\n\n\nMTU = x\nListenPort"), carol=("ListenPort", "\nPostUp = x\nListenPort"))
    given["db_01/wg0.conf"] = given.pop("edgeworth/wg0.conf")
    with pytest.raises(ConfigurationError) as caught:
        read_wg_quick_files(given, None, "conf")
    shown = (Path(__file__).parents[2] / "docs" / "tasks" / "import.md").read_text()
    assert " ".join(str(caught.value).split()) in " ".join(shown.split())


def test_a_folder_is_read_with_its_own_name_in_every_fault(tmp_path: Path) -> None:
    """What is no file of a mesh is left alone, and one that is too large is not read."""
    for path, text in files(bernard=("MTU", "MTU")).items():
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text(text)
    (tmp_path / "README").write_text("x")
    (tmp_path / "bernard" / "old").mkdir()
    (mesh,) = read_wg_quick_folder(tmp_path, None)
    assert mesh == read(files())
    (tmp_path / "bernard" / "wg0.conf").write_text("x")
    with (tmp_path / "carol" / "wg0.conf").open("wb") as large:
        large.truncate(MOST_BYTES + 1)
    with pytest.raises(ConfigurationError) as caught:
        read_wg_quick_folder(tmp_path, None)
    assert sorted(fault.partition(": ")[0] for fault in caught.value.faults) == [
        f"{tmp_path}/bernard/wg0.conf:1",
        f"{tmp_path}/carol/wg0.conf",
    ]
    with pytest.raises(ConfigurationError, match=r"bernard/wg0\.conf: no folder; give the one that holds"):
        read_wg_quick_folder(tmp_path / "bernard" / "wg0.conf", None)


def test_a_list_of_all_hosts_may_hold_the_host_itself() -> None:
    """WireGuard ignores it, and so many tools write one list for all."""
    given = files()
    for path, host in ((path, path.partition("/")[0]) for path in files()):
        given[path] += f"[Peer]\nPublicKey = {KEYS[host].public_key}\nAllowedIPs = {ADDRESSES[host]}\n"
    assert read(given) == read(files())


def test_hosts_that_share_a_subnet_send_each_other_addresses_only() -> None:
    """Each is a /128 to its peers, and keeps the length of its own."""
    shared = addressed(*((f"fd12::{number}/64", f"fd12::{number}/128") for number in (1, 2, 3)))
    assert [str(member.address) for member in read(shared).members] == ["fd12::1/64", "fd12::2/64", "fd12::3/64"]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("fd12:1::1/64", "fd12:1::1/64, 10.0.0.1/24", "carol/wg0.conf:3: no IPv4 address, and bernard has one"),
        (
            "fd12:1::1/64",
            "fd12:1::1/64, fd12:9::1/64",
            "bernard/wg0.conf:3: 2 IPv6 addresses; a host of a mesh has one",
        ),
        ("Address = fd12:1::1/64", "MTU = 1400", "bernard/wg0.conf: no Address; give the one that the host has"),
        ("ListenPort", "PostUp = x\nDNS = y\nListenPort", "bernard/wg0.conf:4: PostUp: mesh has no place for it"),
        (
            "fd12:2::/64",
            "fd12:2::1/128",
            "bernard/wg0.conf:5: carol is sent fd12:2::1/128, and mesh would send it fd12:2::/64; make its",
        ),
        (
            "fd12:2::/64",
            "fd12:2::/64, ::/0",
            "bernard/wg0.conf:5: carol is sent everything; take that out of its AllowedIPs first, and",
        ),
        (
            "fd12:2::/64",
            "fd12:2::/64, fd12:3::/80",
            "bernard/wg0.conf:5: carol is sent fd12:3::/80, where edgeworth is too; take that out of its",
        ),
        (
            "2001:db8::3",
            "2001:db8::4",
            "edgeworth/wg0.conf:11: carol has another Endpoint in bernard/wg0.conf:5; mesh has one for each",
        ),
        (
            "ListenPort = 51820",
            "ListenPort = 1",
            "folder: ports 1 (bernard/wg0.conf:4), 51820 (carol/wg0.conf:4); a mesh has one for all hosts, so",
        ),
        ("PrivateKey", "Address", "bernard/wg0.conf:2: Address: not usable; give addresses"),
        (
            "fd12:2::/64",
            "fd12:2::/64, fd12:2::/80",
            "carol is sent fd12:2::/80, and what holds it; take that out of its",
        ),
        (
            "fd12:3::/64",
            "fd12:3::/64, fd12:2::/64",
            "bernard/wg0.conf:5: carol is sent nothing, since a later peer has fd12:2::/64 too and WireGuard lets the",
        ),
    ],
)
def test_what_mesh_could_not_keep_stops_the_import(old: str, new: str, fault: str) -> None:
    """In words that name the host."""
    assert fault in refused(files(bernard=(old, new)))


def test_a_name_as_endpoint_is_kept(tmp_path: Path) -> None:
    """It becomes the external name; one that the stack file has otherwise stops the import."""
    given = {path: text.replace("78.11.11.11", "VPN.example.org") for path, text in files().items()}
    (mesh,) = read_wg_quick_files(given, None)
    assert [each.externals for each in mesh.members] == [("vpn.example.org",), ("2001:db8::3",), ()]
    path = tmp_path / "Pulumi.office.yaml"
    path.write_text("config: {}\n")
    file = StackFile(path, complete=True)
    add_meshes(file, [mesh])
    assert file.hosts["bernard"]["externalName"] == "vpn.example.org"
    assert "externalIps" not in file.hosts["bernard"]
    del file.content["config"]["mesh:interfaces"]["wg0"]
    file.hosts["bernard"]["externalName"] = "other.example.org"
    with pytest.raises(ConfigurationError) as caught:
        add_meshes(file, [mesh])
    assert "mesh:hosts.bernard.externalName: another place than its peers send to, vpn.example.org" in str(caught.value)


def test_an_endpoint_may_have_every_name_that_the_stack_file_takes(tmp_path: Path) -> None:
    """Underscores are in names of many networks at home, and resolvers take them."""
    given = {path: text.replace("78.11.11.11", "my_host.lan") for path, text in files().items()}
    hosts = written(tmp_path, read(given))["mesh:hosts"]
    assert hosts["bernard"]["externalName"] == "my_host.lan"
    assert "bernard/wg0.conf:9: Endpoint: not usable; give" in refused(files(bernard=("[2001:db8::3]", "lan.3")))


def test_a_mesh_of_ipv4_addresses_keeps_them_and_gets_ipv6_beside(tmp_path: Path) -> None:
    """As most meshes made by hand are: one network, and an address of it for each host."""
    given = addressed(*((f"10.0.0.{number}/24", f"10.0.0.{number}/32") for number in (1, 2, 3)))
    mesh = read(given)
    assert mesh.notes == (
        "bernard, carol, edgeworth: gets an IPv6 address beside its IPv4 address; the tunnels are verified by it",
    )
    interface = written(tmp_path, mesh)["mesh:interfaces"]["wg0"]
    assert interface["ipv4"] == "10.0.0.0/24"
    assert interface["members"] == {name: {"ipv4": f"10.0.0.{number}"} for number, name in enumerate(KEYS, 1)}


def test_both_ip_versions_are_kept(tmp_path: Path) -> None:
    """Addresses without a network's length get the smallest prefix that holds all."""
    both = ((f"fd12:{number}::", f"10.0.0.{number + 6}/32") for number in (1, 2, 3))
    given = addressed(*((f"{own}1/64, {ipv4}", f"{own}/64, {ipv4}") for own, ipv4 in both))
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


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("ListenPort", "MTU = 900\nListenPort", "bernard/wg0.conf:4: MTU: not usable; give bytes from 1280 to 9000"),
        (
            "fd12:1::",
            "fe80::",
            "bernard/wg0.conf:3: Address: not an address that peers can send to; give one of your own",
        ),
        ("fd12:1::1/64", "fd12:1::1/16", "bernard/wg0.conf:3: Address: a subnet that swallows other networks; give a"),
        (
            "[2001:db8::3]",
            "127.0.0.1",
            "bernard/wg0.conf:5: Endpoint: a loopback address cannot be an endpoint; give the",
        ),
        ("fd12:2::/64", "fd12:2::/64, 2000::/4", "bernard/wg0.conf:5: AllowedIPs: wider than /8 (IPv4) or /16"),
        ("fd12:2::/64", "fd12:2::/64, 10.0.0.0/8", "bernard/wg0.conf:5: AllowedIPs: 10.0.0.0/8 is IPv4, and the inter"),
    ],
)
def test_what_the_stack_file_cannot_hold_is_told_by_the_file_that_is_there(
    tmp_path: Path, old: str, new: str, fault: str
) -> None:
    """The stack file is not written yet, so a place in it would say nothing."""
    given = {path: text.replace(old, new).replace("fd12:1::/64", "fd12:1::/16") for path, text in files().items()}
    if "/16" not in new:
        given = {path: text.replace("fd12:1::/16", "fd12:1::/64") for path, text in given.items()}
    with pytest.raises(ConfigurationError) as caught:
        written(tmp_path, read(given))
    assert fault in str(caught.value)
    assert "mesh:" not in str(caught.value)


def test_a_range_around_each_hosts_address_is_kept(tmp_path: Path) -> None:
    """It becomes a route to the host whose address is in it, unless another one is in it too."""
    given = addressed(*((f"10.{number}.0.1/16", f"10.{number}.0.0/16") for number in (1, 2, 3)))
    mesh = read(given)
    kept = "is sent all of 10.1.0.0/16, which becomes its routes; take that out of the stack file after the first up"
    assert mesh.notes[0] == f"bernard: {kept} if nothing else is there"
    interface = written(tmp_path, mesh)["mesh:interfaces"]["wg0"]
    assert interface["ipv4"] == "10.0.0.0/14"
    assert interface["members"]["carol"] == {"ipv4": "10.2.0.1", "routes": ["10.2.0.0/16"]}
    for path in given:
        given[path] = given[path].replace("10.2.0.", "10.1.9.").replace("10.1.9.0/16", "10.1.9.0/24")
    assert "carol/wg0.conf:5: bernard is sent 10.1.0.0/16, where carol is too; take that out of its Al" in refused(
        given
    )
    given["bernard/wg0.conf"] += PHONE.replace("fd12:9::7/128", "10.3.0.9/32")
    assert "edgeworth is sent 10.3.0.0/16, where phone is too; take that out of its AllowedIPs here and" in refused(
        given
    )


def test_networks_behind_two_hosts_do_not_hold_each_other() -> None:
    """Both are told, each by its file."""
    given = files(
        bernard=("fd12:2::/64", "fd12:2::/64, 2001:db8::/32"), carol=("fd12:1::/64", "fd12:1::/64, 2001:db8:5::/48")
    )
    told = refused(given)
    assert "bernard/wg0.conf:5: carol is sent 2001:db8::/32, where bernard is too" in told
    assert "carol/wg0.conf:5: bernard is sent 2001:db8:5::/48, where carol is too" in told


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
        "it is not in the files of carol, edgeworth, which get it"
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
        ("AllowedIPs", "Endpoint = [fd00::1]:5\nAllowedIPs", "the hosts have several endpoints of it"),
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
    assert f"bernard/wg0.conf:16: peer phone has no file here, and {fault}" in refused(given)


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
    given = addressed(*((f"{address}/32", f"{address}/32") for address in ("10.0.0.1", "192.168.1.1", "172.16.0.1")))
    assert "folder: 10.0.0.1 and 192.168.1.1 are in no network of 8 bits or more" in refused(given)


def test_an_address_that_no_network_has_for_a_host_is_told() -> None:
    """Both ends of a /31 are hosts, which a mesh cannot keep where it is the first of all wider ones too."""
    given = addressed(*((f"10.0.0.{number - 1}/31", f"10.0.0.{number - 1}/32") for number in (1, 2, 3)))
    assert (
        "10.0.0.0 is the first or the last address of every network that holds all, which a mesh gives to no host; "
        "give another one first"
    ) in refused(given)


def test_a_host_that_two_meshes_seek_at_different_places_is_refused(tmp_path: Path) -> None:
    """It has one external address for all its meshes."""
    other = {
        path.replace("wg0", "wg1"): text.replace("78.11.11.11", "78.11.11.12").replace("fd12:", "fd13:")
        for path, text in files().items()
    }
    meshes = read_wg_quick_files({**files(), **other}, None)
    with pytest.raises(ConfigurationError, match=r"carol/wg1.conf:5: Endpoint: another place than in carol/wg0"):
        written(tmp_path, *meshes)


@pytest.mark.parametrize("order", [("wg0", "wg1"), ("wg1", "wg0")])
def test_a_host_that_is_roaming_in_one_mesh_only_stops_the_import_of_the_other(
    tmp_path: Path, order: tuple[str, str]
) -> None:
    """It would get an endpoint there, and lose its keepalive, whichever comes first."""
    given = {**files(), **another_mesh()}
    given["bernard/wg1.conf"] = given["bernard/wg1.conf"].replace("Endpoint = 192.168.1.7:51821\n", "")
    meshes = {mesh.interface: mesh for mesh in read_wg_quick_files(given, None)}
    told = {
        "wg0": "edgeworth has no endpoint on wg0, and would get 192.168.1.7:51820 there for bernard, carol, by what it "
        "has on wg1; a host has one place for all its meshes, so ",
        "wg1": "bernard has no endpoint on wg1, and would get 78.11.11.11:51821 there for carol, edgeworth, by what "
        "it has on wg0; a host has one place for all its meshes, so ",
    }
    again = "give {} that Endpoint on {} first, here and on the host, or import into another stack"
    with pytest.raises(ConfigurationError) as together:
        written(tmp_path, *meshes.values())
    assert together.value.faults == (
        f"edgeworth/wg0.conf: {told['wg0']}{again.format('bernard, carol', 'wg0')}",
        f"bernard/wg1.conf: {told['wg1']}{again.format('carol, edgeworth', 'wg1')}",
    )
    first, second = (meshes[name] for name in order)
    written(tmp_path, first)
    text = (tmp_path / "Pulumi.office.yaml").read_text()
    with pytest.raises(ConfigurationError) as after:
        written(tmp_path, second, text=text)
    given_first = f"if that is right on {first.interface} too, give it in the stack file first, or import into another"
    assert f"{told[first.interface]}{given_first}" in str(after.value)
    assert told[second.interface] in str(after.value)
    assert (tmp_path / "Pulumi.office.yaml").read_text() == text


def another_mesh() -> dict[str, str]:
    """Return the files of another mesh of the same hosts, of which the last has an endpoint there."""
    other = {path.replace("wg0", "wg1"): text.replace("fd12:", "fd13:") for path, text in files().items()}
    other = {path: text.replace("51820", "51821") for path, text in other.items()}
    for path in ("bernard/wg1.conf", "carol/wg1.conf"):
        own = f"PublicKey = {KEYS['edgeworth'].public_key}\n"
        other[path] = other[path].replace(own, f"{own}Endpoint = 192.168.1.7:51821\n")
    for path in ("carol/wg1.conf", "edgeworth/wg1.conf"):
        other[path] = other[path].replace("Endpoint = 78.11.11.11:51821\n", "")
    return other


def test_what_the_hosts_of_the_stack_file_change_of_a_mesh_is_told_or_refused(tmp_path: Path) -> None:
    """Their sites change where peers send to, and small links the MTU."""
    text = "config:\n  mesh:hosts:\n"
    for number, host in enumerate(("bernard", "carol"), 1):
        text += f"    {host}: {{site: office, localIps: [192.168.1.{number}]}}\n"
    with pytest.raises(ConfigurationError) as caught:
        written(tmp_path, read(files()), text=text)
    assert caught.value.faults[0] == (
        "carol/wg0.conf:5: Endpoint: bernard has 78.11.11.11:51820 on wg0, and would get 192.168.1.1:51820 there for "
        "carol, by what it has in the stack file; a host has one place for all its meshes, so give carol that Endpoint "
        "on wg0 first, here and on the host, or import into another stack"
    )
    (tmp_path / "Pulumi.fresh.yaml").write_text("config:\n  mesh:hosts: {bernard: {linkMtu: 1400}}\n")
    file = StackFile(tmp_path / "Pulumi.fresh.yaml", complete=True)
    assert add_meshes(file, [read(files())]) == [
        "wg0: MTU 1320 with the first up, by the linkMtu of hosts in the stack file"
    ]


def test_what_a_mesh_has_for_all_hosts_is_told_of_each_that_has_it_not() -> None:
    """The MTU and the keepalive of tunnels that run."""
    mesh = read(files(bernard=("ListenPort", "MTU = 1380\nListenPort"), edgeworth=("PersistentKeepalive = 25\n", "")))
    assert mesh.notes == (
        "edgeworth: no keepalive, and since it is roaming one of 25 s with the first up",
        "carol: no MTU in its file, and 1380 with the first up, as bernard",
        "edgeworth: no MTU in its file, and 1380 with the first up, as bernard",
    )
    part = files()["edgeworth/wg0.conf"].replace("PersistentKeepalive = 25\n", "", 1)
    assert read({**files(), "edgeworth/wg0.conf": part}).notes == (
        "edgeworth: a keepalive for some of its peers only, and with the first up 25 s for all",
    )


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
    text = "config:\n  mesh:hosts: {bernard: {externalIps: [1.2.3.4]}}\n  mesh:interfaces: {wg0: {hosts: [bernard]}}\n"
    with pytest.raises(ConfigurationError) as caught:
        written(tmp_path, read(files()), text=text)
    assert "mesh:interfaces.wg0: is there already; take it out" in str(caught.value)
    assert "mesh:hosts.bernard.externalIps: begins with another address" in str(caught.value)


_HOSTS, _INTERFACES = "config:\n  mesh:hosts: ", "config:\n  mesh:interfaces: "


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{_INTERFACES}abc\n", "mesh:interfaces: not a mapping"),
        (f"{_INTERFACES}[a]\n", "mesh:interfaces: not a mapping"),
        (f"{_HOSTS}{{bernard: abc}}\n", "mesh:hosts.bernard: not usable; give"),
        (f"{_HOSTS}{{zz: abc}}\n", "mesh:hosts.zz: not usable; give"),
        (f"{_HOSTS}{{bernard: {{externalIps: 5}}}}\n", "mesh:hosts.bernard.externalIps: not usable; give"),
        (f"{_HOSTS}{{bernard: {{ssh: abc}}}}\n", "mesh:hosts.bernard.ssh: not usable; give"),
        (f"{_HOSTS}{{zz: {{ssh: abc}}}}\n", "mesh:hosts.zz.ssh: not usable; give"),
        ("config:\n  mesh:hostsFile: hosts.yaml\n", "its hosts are in 'hosts.yaml', and an import writes hosts below"),
    ],
)
def test_what_the_stack_file_has_already_must_be_usable(tmp_path: Path, text: str, told: str) -> None:
    """Before anything is written: the keys would be in the stack by then."""
    path = tmp_path / "Pulumi.office.yaml"
    path.write_text(text)
    with pytest.raises(MeshError) as caught:
        add_meshes(StackFile(path, complete=True), [read(files())])
    assert told in str(caught.value)
    assert path.read_text() == text


@pytest.mark.parametrize(
    "text",
    ["encryptionsalt: v1:a\n", _INTERFACES, f"{_HOSTS}{{bernard: }}\n", f"{_HOSTS}\n  mesh:interfaces:  # mine\n"],
)
def test_entries_that_say_nothing_are_filled(tmp_path: Path, text: str) -> None:
    """As those that are not there."""
    found = written(tmp_path, read(files()), text=text)
    assert list(found["mesh:interfaces"]) == ["wg0"]
    assert list(found["mesh:hosts"]) == ["bernard", "carol", "edgeworth"]


def lay(folder: Path) -> Path:
    """Write three hosts' files into a folder."""
    for path, text in files().items():
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_text(text)
    return folder


def _dangle(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_dangle, "carol/wg0.conf: cannot be read, No such file or directory; give a file that you can read"),
        (_loop, "carol/wg0.conf: cannot be read, Too many levels of symbolic links; give a file that you can read"),
        (_become_folder, "carol/wg0.conf: cannot be read, Is a directory; give a file that you can read"),
        (lambda path: path.rename(path.with_suffix(".CONF")), "carol/wg0.CONF: ends in .CONF; call it wg0.conf, or ta"),
    ],
)
def test_a_host_whose_file_cannot_be_read_is_not_left_out(
    tmp_path: Path, change: Callable[[Path], None], told: str
) -> None:
    """It would become a peer that is not managed."""
    change(lay(tmp_path) / "carol/wg0.conf")
    with pytest.raises(ConfigurationError) as caught:
        read_wg_quick_folder(tmp_path, None)
    assert told in str(caught.value)


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root could read it, so that it is only told to be closed here."""
    real = Path.iterdir

    def closed(path: Path) -> Iterator[Path]:
        if path.name == "carol":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return iter(list(real(path)))

    lay(tmp_path)
    monkeypatch.setattr(Path, "iterdir", closed)
    with pytest.raises(ConfigurationError, match="carol: cannot be read, Permission denied; see that you can read the"):
        read_wg_quick_folder(tmp_path, None)


def test_an_interface_that_no_file_is_of_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    """The files are there."""
    lay(tmp_path)
    with pytest.raises(ConfigurationError, match="no files of 'zz' in it; there are some of wg0"):
        read_wg_quick_folder(tmp_path, "zz")


def test_a_forwarded_port_is_kept(tmp_path: Path) -> None:
    """As the port of the one host, whose peers send to it."""
    given = {path: text.replace("78.11.11.11:51820", "78.11.11.11:6000") for path, text in files().items()}
    mesh = read(given)
    assert (mesh.port, mesh.notes) == (51820, ())
    interface = written(tmp_path, mesh)["mesh:interfaces"]["wg0"]
    assert interface["port"] == 51820
    assert interface["members"]["bernard"] == {"address": "fd12:1::1/64", "externalPort": 6000}
    assert interface["members"]["carol"] == {"address": "fd12:2::1/64"}


def test_an_endpoint_of_each_ip_version_is_kept(tmp_path: Path) -> None:
    """First comes what roaming hosts use, and whose is another with the first up is told."""
    given = files(carol=("78.11.11.11", "[2001:db8::1]"))
    mesh = read(given)
    assert mesh.notes == ()
    assert mesh.members[0].externals == ("78.11.11.11", "2001:db8::1")
    assert written(tmp_path, mesh)["mesh:hosts"]["bernard"]["externalIps"] == ["78.11.11.11", "2001:db8::1"]
    (again,) = read_wg_quick_files(files(edgeworth=("78.11.11.11", "[2001:db8::1]")), None)
    assert again.members[0].externals == ("2001:db8::1", "78.11.11.11")
    assert again.notes == ("carol: sends to another address of bernard with the first up",)


def test_a_local_address_between_some_is_told_with_what_holds_it() -> None:
    """An import cannot know which hosts are in one site."""
    assert (
        "carol/wg0.conf:5: bernard has an Endpoint of a local network, and another in edgeworth/wg0.conf:5; give the "
        "other one here and on the host first, and after the first up the local address as localIps of bernard, and one"
    ) in refused(files(carol=("78.11.11.11", "192.168.1.5")))


def test_an_external_address_that_the_stack_file_lacks_is_told(tmp_path: Path) -> None:
    """Some peers send there."""
    mesh = read(files(carol=("78.11.11.11", "[2001:db8::1]")))
    text = "config:\n  mesh:hosts: {bernard: {externalIps: [78.11.11.11]}}\n"
    with pytest.raises(ConfigurationError, match=r"bernard.externalIps: lacks 2001:db8::1, to which some of its peers"):
        written(tmp_path, mesh, text=text)
