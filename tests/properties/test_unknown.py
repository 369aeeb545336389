"""In a preview, any value of a roster may be one that is not known yet."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from mesh.plan.roster_diff import describe_changes

_SSH = {
    "address": "10.0.0.5", "port": 22, "user": "root", "sudo": False, "hostKey": "ssh-ed25519 AAAA",
    "bastion": {"address": "10.0.0.6", "port": 22, "user": "root", "sudo": False, "hostKey": "ssh-ed25519 BBBB"},
}  # fmt: skip
_MEMBER = {
    "publicKey": "B" * 43 + "=", "address": "fd00:1::1/64", "endpoint": "78.11.11.11:51825", "keepalive": 0,
    "system": "", "ssh": _SSH, "site": "office", "localEndpoint": "10.0.0.5:51825", "peers": ["carol", "phone"],
    "otherEndpoint": "[2001:db8::1]:51825", "routes": ["192.168.7.0/24"], "ipv4": "10.7.0.1", "subnet": "fd00:1::/65",
    "masquerade": True,
}  # fmt: skip
_PHONE = {name: value for name, value in _MEMBER.items() if name not in {"system", "ssh"}}
_CAROL = {**_MEMBER, "publicKey": "C" * 43 + "=", "exitNode": "bernard", "peers": ["bernard"]}
_ROSTER = {
    "interface": "testwg", "port": 51825, "mtu": 1420, "deadline": 60, "unreachable": "stop", "forgotten": ["miles"],
    "members": {"bernard": _MEMBER, "carol": _CAROL}, "peers": {"phone": {**_PHONE, "address": "fd00:3::1/64"}},
    "relay": "bernard", "names": True, "presharedKeys": "pairwise", "postQuantum": True,
}  # fmt: skip


class Unknown:
    """What the engine's SDK has in the place of such a value."""


def _paths(value: Any) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of everything within `value` that is no section."""
    for name, item in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(item, dict | list):
            yield from ((name, *rest) for rest in _paths(item))
        else:
            yield (name,)


@pytest.mark.parametrize("path", [path for path in _paths(_ROSTER) if path != ("interface",)], ids=str)
def test_a_change_reads_in_words_whatever_is_not_known_yet(path: tuple[str | int, ...]) -> None:
    """Never as an object of Python, nor as its error; beside a mesh of the same hosts, of others, and of none."""
    new = copy.deepcopy(_ROSTER)
    place: Any = new
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = Unknown()
    others: Any = {**_ROSTER, "members": {"dora": {**_CAROL, "address": "fd00:4::1/64"}}, "peers": {}}
    wanted: Any = new
    for old in (_ROSTER, {**_ROSTER, "relay": ""}, others, None):
        before: Any = old
        assert not [line for line in describe_changes(before, wanted) if "Unknown" in line or "object at" in line]


def test_an_endpoint_of_a_machine_that_is_not_made_yet_is_said_to_be_known_then() -> None:
    """Of a host that joins, and of one whose machine is replaced."""
    new: Any = copy.deepcopy(_ROSTER)
    old: Any = _ROSTER
    alone: Any = {**old, "members": {"bernard": _MEMBER}}
    new["members"]["carol"]["endpoint"] = Unknown()
    changed = "~ carol endpoint: 78.11.11.11:51825 becomes one known once its machine is made"
    assert describe_changes(old, new) == [changed]
    joins = "+ carol joins: fd00:1::1/64, an endpoint known once its machine is made"
    assert joins in describe_changes(alone, new)
