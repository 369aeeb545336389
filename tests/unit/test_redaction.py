"""What is shared tells nobody whose mesh it is, and is still followed from line to line."""

import re
from ipaddress import ip_address, ip_network

import pytest

from mesh.cli.redaction import Redaction

NAMES = {
    "host": ["bernard", "bernard-2", "carol"],
    "site": ["Head Office"],
    "mesh": ["testwg"],
    "domain": ["vpn.corp.example"],
}
KEY = "k" * 43 + "="
DOCUMENTATION = [ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")]


@pytest.mark.parametrize(
    ("text", "shared"),
    [
        ("bernard does not answer carol", "host-1 does not answer host-3"),
        ("bernard-2, bernard", "host-2, host-1"),
        ("wg-quick@testwg on bernard.testwg", "wg-quick@mesh-1 on host-1.mesh-1"),
        ("table inet mesh_doctor_testwg", "table inet mesh_doctor_mesh-1"),
        ("in head office", "in site-1"),
        ("at vpn.corp.example:51825", "at name-1.example.org:51825"),
        ("bernards and xcarol", "bernards and xcarol"),
        ("to 10.1.2.3:51825 from 10.1.2.3", "to 192.0.2.1:51825 from 192.0.2.1"),
        ("10.0.0.0/8", "192.0.2.1/8"),
        ("[fd00:1::1]:51825", "[2001:db8:0:1::1]:51825"),
        ("fd00:1::1/64 of fd00:1::/64", "2001:db8:0:1::1/64 of 2001:db8:0:1::/64"),
        ("fd00:1::1: is missing", "2001:db8:0:1::1: is missing"),
        ("fd00:1::1, fd00:1::2.", "2001:db8:0:1::1, 2001:db8:0:1::2."),
        ("0.0.0.0/0, ::/0 and 127.0.0.1", "0.0.0.0/0, ::/0 and 127.0.0.1"),
        (f"peer {KEY}, again {KEY}", "peer key-1, again key-1"),
        ("ether saddr 52:54:00:12:34:56", "ether saddr 00:00:5e:00:53:01"),
        ("at 12:30, in 3:45 and std::move", "at 12:30, in 3:45 and std::move"),
    ],
)  # fmt: skip
def test_what_tells_whose_mesh_it_is_becomes_something_else(text: str, shared: str) -> None:
    """Names as whole words, also joined to others; addresses and keys wherever they are."""
    assert Redaction(NAMES).text(text) == shared


def test_one_value_stays_one_and_two_stay_two() -> None:
    """So that who reads it can follow a host."""
    redaction = Redaction(NAMES)
    addresses = [f"10.{high}.{low}.1" for high in range(9) for low in range(200)]
    shared = [redaction.text(address) for address in addresses]
    assert len(set(shared)) == len(addresses)
    assert [redaction.text(address) for address in addresses] == shared
    wide = [redaction.text(f"fd00:{number:x}::{number:x}:1") for number in range(1, 900)]
    assert len(set(wide)) == 899
    assert all(any(ip_address(address) in net for net in DOCUMENTATION) for address in [*shared[:700], *wide])


def test_without_names_addresses_and_keys_are_still_hidden() -> None:
    """An interface without hosts has none."""
    assert Redaction({}).text(f"10.0.0.1 {KEY} bernard") == "192.0.2.1 key-1 bernard"


def test_a_name_is_hidden_in_a_long_text_in_one_pass() -> None:
    """With many names too."""
    names = [f"host{number}.corp" for number in range(500)]
    text = " ".join(names * 20)
    assert not re.search("corp", Redaction({"host": names}).text(text))
