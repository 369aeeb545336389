"""What an import makes of a mesh's own files is that mesh."""

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mesh.cli.importers.stack import add_meshes
from mesh.cli.importers.wg_quick import read_wg_quick_files
from mesh.cli.stack_file import StackFile
from mesh.config.reader import read_configuration
from mesh.plan.pairs import Pairs
from mesh.plan.roster_builder import build_roster
from mesh.plan.topology import plan_meshes
from mesh.wireguard.keys import generate_key_pair, generate_preshared_key
from tests.strategies import HOST_KEY

_HOSTS = [f"host-{number}" for number in range(4)]
_PHONES = ["phone", "tablet"]
_KEYS = {name: generate_key_pair() for name in (*_HOSTS, *_PHONES)}
_PRESHARED_KEY = generate_preshared_key()

Section = dict[str, Any]


@st.composite
def meshes(draw: st.DrawFn) -> tuple[Section, Section, bool]:
    """Return `mesh:hosts`, an interface as it could have been made by hand, and whether its hosts have IPv6 inside."""
    names = draw(st.lists(st.sampled_from(_HOSTS), min_size=1, unique=True))
    phones = draw(st.lists(st.sampled_from(_PHONES), unique=True))
    hosts: Section = {}
    own: dict[str, Section] = {}
    inside = draw(st.sampled_from(["derived", "own", "shared", "none"]))
    has_ipv4 = inside == "none" or draw(st.booleans())
    for number, name in enumerate([*names, *phones], 1):
        entry: Section = {}
        if inside == "own":
            entry["address"] = (
                f"fd12:{number}::{draw(st.integers(1, 9))}/64" if name in names else f"fd13::{number}/128"
            )
        elif inside == "shared":
            entry["address"] = f"fd12::{number}/64"
        elif name in phones and inside == "derived":
            entry["address"] = f"fd13::{number}/128"
        if has_ipv4:
            entry["ipv4"] = f"10.20.0.{number}"
        if draw(st.booleans()):
            entry["routes"] = [f"2001:db8:{number}::/48", *([f"192.168.{number}.0/24"] if has_ipv4 else [])]
        if name in names:
            hosts[name] = {"ssh": {"address": f"10.0.0.{number}", "hostKey": HOST_KEY}}
            if number == 1 or draw(st.booleans()):
                hosts[name]["externalIps"] = [f"5.0.0.{number}"]
        else:
            entry["publicKey"] = _KEYS[name].public_key
            if draw(st.booleans()):
                entry["endpoint"] = f"5.0.0.{number}:51900"
        own[name] = entry
    interface: Section = {"hosts": names, "port": 51825, "members": {name: own[name] for name in names}}
    interface |= {"peers": {name: own[name] for name in phones}} if phones else {}
    interface |= {"ipv4": "10.20.0.0/24"} if has_ipv4 else {}
    return hosts, interface, inside != "none"


def _pairs(hosts: Section, interface: Section) -> Pairs:
    plan = plan_meshes(read_configuration(hosts, {"testwg": interface}))["testwg"]
    logins = {name: {"system": "", "ssh": {}} for name in hosts}
    return Pairs(build_roster(plan, {name: key.public_key for name, key in _KEYS.items()}, logins))


def _file(pairs: Pairs, host: str, *, has_ipv6: bool) -> str:
    own = pairs.participants[host]
    addresses = [own["address"]] if has_ipv6 else []
    addresses += [f"{own['ipv4']}/24"] if own.get("ipv4") else []
    lines = ["[Interface]", f"PrivateKey = {_KEYS[host].private_key}", f"Address = {', '.join(addresses)}"]
    lines.append("ListenPort = 51825")
    for peer in pairs.peers_of(host):
        allowed = pairs.allowed_ips(host, peer)
        # By hand, nobody gave an IPv6 address.
        kept = [prefix for number, prefix in enumerate(allowed) if has_ipv6 or number]
        lines += ["", f"# {peer}", "[Peer]", f"PublicKey = {_KEYS[peer].public_key}", f"AllowedIPs = {', '.join(kept)}"]
        lines.append(f"PresharedKey = {_PRESHARED_KEY}")
        if endpoint := pairs.endpoint(host, peer):
            lines.append(f"Endpoint = {endpoint}")
    return "\n".join(lines)


@given(meshes())
def test_the_files_of_a_mesh_are_imported_as_that_mesh(mesh: tuple[Section, Section, bool]) -> None:
    """Every host has the address, and sends each peer what it did, to the same place."""
    hosts, interface, has_ipv6 = mesh
    before = _pairs(hosts, interface)
    files = {f"{host}/testwg.conf": _file(before, host, has_ipv6=has_ipv6) for host in hosts}
    file = StackFile(Path("none.yaml"), complete=True)
    add_meshes(file, read_wg_quick_files(files, None))
    found = {name: {**entry, "ssh": hosts[name]["ssh"]} for name, entry in file.hosts.items()}
    after = _pairs(found, file.content["config"]["mesh:interfaces"]["testwg"])
    for name, participant in before.participants.items():
        assert after.participants[name].get("ipv4") == participant.get("ipv4")
        if name in hosts:
            assert after.participants[name]["address"] == participant["address"]
            assert {peer: set(after.allowed_ips(name, peer)) for peer in after.peers_of(name)} == {
                peer: set(before.allowed_ips(name, peer)) for peer in before.peers_of(name)
            }
            assert {peer: after.endpoint(name, peer) for peer in after.peers_of(name)} == {
                peer: before.endpoint(name, peer) for peer in before.peers_of(name)
            }
