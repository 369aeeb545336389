"""Whatever is wrong in a stack file is told where it is wrong, and what only follows from it is not."""

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.config.models import Configuration
from mesh.config.reader import read_configuration
from mesh.config.validation import join_path
from mesh.errors import ConfigurationError
from mesh.wireguard.keys import generate_key_pair
from tests.strategies import HOST_KEY

Path = tuple[Any, ...]
SECTIONS = ("mesh:hosts", "mesh:interfaces")


def _ssh(number: int, **more: object) -> dict[str, Any]:
    return {"address": "192.0.2.7", "port": number, "hostKey": HOST_KEY, **more}


def _file() -> dict[str, Any]:
    """Return a file in which each rule across entries rests on something."""
    key = generate_key_pair().public_key
    bastion = {"address": "192.0.2.1", "port": 2200, "hostKey": HOST_KEY}
    other = {**bastion, "port": 2201}
    hosts = {
        "a": {"ssh": _ssh(1), "externalIps": ["78.11.11.11", "2001:db8::1"], "tags": ["hub"]},
        "b": {"ssh": _ssh(1, bastion=bastion), "externalName": "b.example.org", "tags": ["spoke"], "formerly": "old"},
        "c": {"ssh": _ssh(1, bastion=other), "site": "home", "localIps": ["10.1.0.3"], "tags": ["spoke"]},
        "d": {"ssh": _ssh(4), "site": "home", "localIps": ["10.1.0.4"], "tags": ["spoke"]},
        # One address with a, by another port.
        "e": {"ssh": _ssh(5), "externalIps": ["78.11.11.11"], "linkMtu": 1500, "system": "x86_64-linux"},
    }
    members = {
        "a": {"ipv4": "10.20.0.1", "masquerade": True},
        "b": {"ipv4": "10.20.0.2", "exitNode": "off", "address": "fd00:1::2/64"},
        "c": {"ipv4": "10.20.0.3", "routes": ["10.1.0.0/24", "10.2.0.0/24"], "masquerade": True, "exitNode": "off"},
        "d": {"ipv4": "10.20.0.4", "exitNode": "off", "address": "fd00:1::4/64"},
        "e": {"ipv4": "10.20.0.5", "externalPort": 40000, "rotation": 2, "exitNode": "off"},
    }
    peers = {
        "phone": {"ipv4": "10.20.0.8", "tags": ["spoke"], "exitNode": "off", "persistentKeepalive": 15},
        "laptop": {"ipv4": "10.20.0.9", "endpoint": "198.51.100.1:1", "publicKey": key, "tags": ["mobile"]},
    }
    big = {
        "hosts": list(hosts),
        "port": 51000,
        "ipv4": "10.20.0.0/24",
        "prefix": "fd12:3456:789a::/48",
        "relay": "a",
        "exitNode": "a",
        "names": True,
        "mtu": 1400,
        "deadline": 30,
        "forgotten": ["gone"],
        "maxKeyAge": "180d",
        "members": members,
        "peers": peers,
        "peering": [
            {"hub": ["tag:hub"], "spokes": ["tag:spoke"]},
            {"group": ["c", "d"]},
            {"group": ["a", "e", "tag:mobile"]},
        ],
    }
    small = {
        "hosts": ["a", "c"],
        "port": 51001,
        "relay": "auto",
        "exitNode": "a",
        "members": {"c": {"exitNode": "off"}},
    }
    lone: dict[str, Any] = {
        "hosts": ["a", "b"],
        "members": {"b": {"routes": ["10.9.0.0/16"]}, "a": {"ipv4": "10.30.0.1"}},
    }
    lone |= {"ipv4": "10.30.0.0/24", "peers": {"p": {"ipv4": "10.30.0.3"}}}
    lone["members"]["b"]["ipv4"] = "10.30.0.2"
    return {"mesh:hosts": hosts, "mesh:interfaces": {"big": big, "small": small, "lone": lone}}


GOOD = _file()


def _paths(value: object, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for part, inner in entries:
        yield from _paths(inner, (*path, part))


PLACES = list(_paths(GOOD))
# Names of entries are no fields: another one is another entry.
FIELDS = [
    path
    for path in PLACES
    if isinstance(path[-1], str) and path[-2:-1] not in {("members",), ("peers",)} and len(path) > 2
]


def _holder(file: Any, path: Path) -> Any:
    for part in path[:-1]:
        file = file[part]
    return file


def _break(file: dict[str, Any], path: Path) -> str:
    """Put something there that no field takes, and return where the fault has to be told."""
    holder = _holder(file, path)
    holder[path[-1]] = 5.5 if isinstance(holder[path[-1]], dict | list) else {"x": 1}
    return join_path(*path)


def _misspell(file: dict[str, Any], path: Path) -> str:
    """Write the name of a field wrongly, and return where the fault has to be told."""
    holder = _holder(file, path)
    name = f"{path[-1]}x"
    holder[name] = holder.pop(path[-1])
    return join_path(*path[:-1], name)


def _told(file: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(*(file[section] for section in SECTIONS))
    return [fault.place for fault in caught.value.placed]


def _is_at(place: str, broken: str) -> bool:
    return place == broken or re.match(rf"{re.escape(broken)}[.\[]", place) is not None


def test_the_file_is_good() -> None:
    """So that whatever is told is told of what was spoilt."""
    assert isinstance(read_configuration(*(GOOD[section] for section in SECTIONS)), Configuration)


@pytest.mark.parametrize("path", PLACES, ids=lambda path: join_path(*path))
def test_what_follows_from_a_fault_is_not_told(path: Path) -> None:
    """Whoever corrects that one has corrected all."""
    file = copy.deepcopy(GOOD)
    broken = _break(file, path)
    places = _told(file)
    assert places
    assert all(_is_at(place, broken) for place in places), places


@pytest.mark.parametrize("path", FIELDS, ids=lambda path: join_path(*path))
def test_what_follows_from_a_misspelt_field_is_not_told(path: Path) -> None:
    """Also where the field that is meant is required."""
    file = copy.deepcopy(GOOD)
    broken = _misspell(file, path)
    missing = join_path(*path)
    places = _told(file)
    assert broken in places
    assert all(_is_at(place, broken) or place == missing for place in places), places


@given(st.lists(st.sampled_from(PLACES), min_size=2, max_size=4, unique=True))
def test_every_fault_of_several_is_told_and_nothing_else(paths: list[Path]) -> None:
    """One run tells all that has to be corrected."""
    # What is inside another one is gone with it.
    apart = [path for path in paths if not any(other != path and other == path[: len(other)] for other in paths)]
    file = copy.deepcopy(GOOD)
    broken = [_break(file, path) for path in apart]
    places = _told(file)
    for one in broken:
        assert any(_is_at(place, one) for place in places)
    for place in places:
        assert any(_is_at(place, one) for one in broken), place


# A fault between entries that is put in: where, what, at which place it is told, and on which fields it rests.
BETWEEN: list[tuple[Path, object, str, set[str]]] = [
    (("mesh:interfaces", "small", "port"), 51000, "mesh:interfaces.small.port", {"port", "hosts"}),
    (("mesh:interfaces", "big", "relay"), "zed", "mesh:interfaces.big.relay", {"relay", "hosts"}),
    (("mesh:hosts", "e", "ssh", "port"), 4, "mesh:hosts.e.ssh.address", {"ssh"}),
    (
        ("mesh:interfaces", "big", "members", "d", "ipv4"),
        "10.20.0.3",
        "mesh:interfaces.big.members.d.ipv4",
        {"members"},
    ),
]


@given(st.sampled_from(PLACES), st.sampled_from(BETWEEN))
def test_a_fault_between_entries_is_told_beside_a_broken_field(
    path: Path, between: tuple[Path, object, str, set[str]]
) -> None:
    """As long as it does not rest on that."""
    file = copy.deepcopy(GOOD)
    where, value, place, rests = between
    _holder(file, where)[where[-1]] = value
    _break(file, path)
    # It rests on whole entries too.
    if len(path) > 2 and not rests & set(path):
        assert place in _told(file)


@pytest.mark.parametrize("name", list(GOOD["mesh:hosts"]))
@pytest.mark.parametrize("entry", [{}, {"exitNode": "b", "ipv4": "10.20.0.77"}, {"routes": ["10.77.0.0/16"]}])
def test_of_a_peer_that_is_a_host_too_nothing_else_is_told(name: str, entry: dict[str, Any]) -> None:
    """Neither that it has no address, nor that an exit node is not managed, nor that rules leave somebody alone."""
    file = copy.deepcopy(GOOD)
    file["mesh:interfaces"]["big"]["peers"][name] = entry
    assert _told(file) == [f"mesh:interfaces.big.peers.{name}"]


def test_what_is_wrong_with_an_exit_node_is_told_at_once() -> None:
    """Its name, and that the mesh has no IPv4, which no other name mends."""
    file = copy.deepcopy(GOOD)
    mesh = file["mesh:interfaces"]["lone"]
    for entry in (*mesh["members"].values(), *mesh["peers"].values(), mesh):
        entry.pop("ipv4", None)
    mesh |= {"exitNode": "zed", "members": {}}
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(*(file[section] for section in SECTIONS))
    assert [fault.partition(";")[0] for fault in caught.value.faults] == [
        (
            "mesh:interfaces.lone.exitNode: the interface has no ipv4 prefix, so IPv4 would not go by 'zed', and "
            "nobody would notice"
        ),
        "mesh:interfaces.lone.exitNode: 'zed' is no host of this interface",
    ]
