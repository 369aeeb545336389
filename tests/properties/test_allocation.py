"""What holds for IPv4 addresses in a stack file, however the mesh grows and shrinks afterwards."""

import json
import tempfile
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

from mesh.cli.allocate import allocate_addresses
from mesh.cli.stack_file import StackFile
from mesh.errors import MeshError

_PREFIX = IPv4Network("10.20.0.0/28")
_NAMES = [f"host-{number}" for number in range(6)]
_NAME = st.one_of(st.sampled_from(_NAMES), st.sampled_from([5, "", None, True]))
_TEXTS = ["10.20.0.3", "10.20.0.3/32", "10.20.0.0/29", "10.20.0.0", "fd00::1", "no address", ""]
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(0, 99) | st.sampled_from([*_TEXTS, *_NAMES]),
    lambda inner: (
        st.lists(inner | _NAME, max_size=3)
        | st.dictionaries(st.sampled_from([*_NAMES, "ipv4", "routes"]) | st.integers(0, 9).map(str), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(st.sets(st.sampled_from(_NAMES), min_size=1), min_size=2, max_size=6))
def test_an_address_stays_while_hosts_come_and_go(fleets: list[set[str]]) -> None:
    """Each host has one of its own, inside the prefix, and who was there in the step before has the same."""
    members: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "Pulumi.test.yaml"
        for fleet in fleets:
            before = {name: entry for name, entry in members.items() if name in fleet}
            interface = {"hosts": sorted(fleet), "ipv4": str(_PREFIX), "members": before}
            path.write_text(json.dumps({"config": {"mesh:hosts": {}, "mesh:interfaces": {"testwg": interface}}}))
            new = allocate_addresses(StackFile(path, complete=True))
            assert set(new) == {f"testwg/{name}" for name in fleet - set(before)}
            # Read again from the file, which is what the next step and the plan see.
            members = StackFile(path, complete=True).content["config"]["mesh:interfaces"]["testwg"]["members"]
            addresses = [IPv4Address(members[name]["ipv4"]) for name in fleet]
            assert len(set(addresses)) == len(fleet)
            assert all(address in _PREFIX.hosts() for address in addresses)
            assert all(members[name] == entry for name, entry in before.items())
            members = {name: {"ipv4": str(members[name]["ipv4"])} for name in fleet}


@given(
    st.fixed_dictionaries(
        {"ipv4": _ANYTHING | st.just(str(_PREFIX))}, optional=dict.fromkeys(("hosts", "members", "peers"), _ANYTHING)
    )
)
def test_any_entry_gets_addresses_or_is_refused_in_words_and_then_the_file_is_as_it_was(entry: dict[str, Any]) -> None:
    """The command is advised for files that are no good yet."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "Pulumi.test.yaml"
        text = json.dumps({"config": {"mesh:hosts": {}, "mesh:interfaces": {"testwg": entry}}})
        path.write_text(text)
        try:
            given_now = allocate_addresses(StackFile(path, complete=True))
        except MeshError as error:
            event(str(error))
            assert path.read_text() == text
            return
        if given_now:
            hosts, peers = entry.get("hosts") or [], entry.get("peers") or {}
            assert set(given_now) <= {f"testwg/{name}" for name in [*hosts, *peers]}
