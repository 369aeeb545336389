"""What an import makes of a mesh's own files is that mesh."""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from mesh.cli.importers.stack import add_meshes
from mesh.cli.importers.wg_quick import read_wg_quick_files
from mesh.cli.stack_file import StackFile
from mesh.config.reader import read_configuration
from mesh.errors import ConfigurationError
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


_RANGES = ["10.{0}.0.{1}/32", "10.{0}.0.0/16", "10.{0}.0.0/24", "fd12:{0}::/64", "fd12:{0}::/48", "192.168.{0}.0/24"]
_STRAY = ["10.0.0.0/8", "10.1.0.0/16", "192.168.0.0/16", "fd12:1::/64", "192.168.1.128/25", "0.0.0.0/0"]


@st.composite
def hand_made(draw: st.DrawFn) -> dict[str, str]:
    """Return files as hands and tools write them, with prefixes of any length, of which some fit together."""
    names = [*_HOSTS[: draw(st.integers(2, 4))], *_PHONES[: draw(st.integers(0, 1))]]
    addresses = draw(st.sampled_from([["10.{0}.0.1/16"], ["10.{0}.0.1/32", "fd12:{0}::1/64"], ["fd12:{0}::1/64"]]))
    usual = draw(st.lists(st.sampled_from(_RANGES), min_size=1, max_size=4, unique=True))
    sent = {name: [each.format(number, 1) for each in usual] for number, name in enumerate(names, 1)}
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        name = draw(st.sampled_from(names))
        sent[name] = [*sent[name], draw(st.sampled_from(_STRAY))]
    files = {}
    for own, host in enumerate((name for name in names if name in _HOSTS), 1):
        lines = ["[Interface]", f"PrivateKey = {_KEYS[host].private_key}", "ListenPort = 51825"]
        lines.append(f"Address = {', '.join(address.format(own) for address in addresses)}")
        for peer in draw(st.permutations(names)):
            # A list of all hosts may hold the host itself.
            if draw(st.integers(0, 20)):
                lines += ["[Peer]", f"PublicKey = {_KEYS[peer].public_key}", f"AllowedIPs = {','.join(sent[peer])}"]
                lines += [f"PresharedKey = {_PRESHARED_KEY}", f"Endpoint = 5.0.0.{names.index(peer) + 1}:51825"]
        files[f"{host}/testwg.conf"] = "\n".join(lines)
    return files


def _sends(tables: Mapping[str, Iterable[str]], address: str) -> str | None:
    """Return to whom WireGuard sends a packet: who has the narrowest prefix around its address."""
    found = [
        (network.prefixlen, peer)
        for peer, prefixes in tables.items()
        for network in map(ip_network, prefixes)
        if ip_address(address) in network
    ]
    return max(found)[1] if found else None


def _tables(text: str, host: str) -> dict[str, list[str]]:
    """Return what WireGuard lets each peer have once it has read a file: of one prefix, the last peer has it."""
    owners: dict[str, str] = {}
    key = ""
    for line in text.splitlines():
        word, _, value = line.partition(" = ")
        key = value if word == "PublicKey" else key
        if word == "AllowedIPs" and key != _KEYS[host].public_key:
            owners.update(dict.fromkeys((str(ip_network(each, strict=False)) for each in value.split(",")), key))
    tables: dict[str, list[str]] = {}
    for prefix, owner in owners.items():
        tables.setdefault(owner, []).append(prefix)
    return tables


_PROBES = [f"10.{number}.0.{last}" for number in range(1, 6) for last in (1, 7)]
_PROBES += [f"10.{number}.9.9" for number in range(1, 6)] + ["10.99.0.1", "192.168.1.1", "192.168.1.200", "192.168.9.1"]
_PROBES += [f"fd12:{number}:{net}::{last}" for number in range(1, 6) for net in (0, 7) for last in (1, 9)]


@settings(max_examples=100)
@given(hand_made())
def test_what_is_taken_goes_where_it_went(files: dict[str, str]) -> None:
    """To every address, as WireGuard chooses among prefixes; and hosts are told of all that they send now."""
    file = StackFile(Path("none.yaml"), complete=True)
    try:
        add_meshes(file, read_wg_quick_files(files, None))
    except ConfigurationError:
        event("refused")
        return
    event("taken")
    found = {
        name: {**entry, "ssh": {"address": f"a.{name}", "hostKey": HOST_KEY}} for name, entry in file.hosts.items()
    }
    plan = plan_meshes(read_configuration(found, file.content["config"]["mesh:interfaces"]))["testwg"]
    keys = {participant.name: participant.public_key for participant in plan.participants if participant.public_key}
    keys |= {name: _KEYS[name].public_key for name in found}
    pairs = Pairs(build_roster(plan, keys, {name: {"system": "", "ssh": {}} for name in found}))
    for path, text in files.items():
        host = path.partition("/")[0]
        before = _tables(text, host)
        after = {keys[peer]: pairs.allowed_ips(host, peer) for peer in pairs.peers_of(host)}
        assert {peer: set(prefixes) - set(after.get(peer, ())) for peer, prefixes in before.items()} == {
            peer: set() for peer in before
        }
        for probe in _PROBES:
            if sent := _sends(before, probe):
                assert _sends(after, probe) == sent
