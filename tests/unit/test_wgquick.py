"""What `mesh.wgquick` reads in a configuration, and what it refuses."""

from ipaddress import ip_interface, ip_network

import pytest

from mesh.errors import ConfigurationError
from mesh.wireguard.keys import KeyPair, public_key_of
from mesh.wireguard.wg_quick import NO_PRESHARED_KEY, Peer, read_wg_quick

# Always the same, since they are in the names of tests.
OWN, OTHER = (KeyPair(key, public_key_of(key)) for key in ("B" * 42 + "A=", "C" * 42 + "A="))
PRESHARED = "D" * 42 + "A="
TEXT = f"""
# bernard
[Interface]
privatekey={OWN.private_key}   # his own
Address = fd00:1::1/64
ListenPort = 51820
MTU = 1400
Table = auto

[Peer]
PublicKey = {OTHER.public_key}
PresharedKey = {PRESHARED}
AllowedIPs = fd00:2::/64, fd00:0003::/64
Endpoint = [2001:db8::1]:51821
PersistentKeepalive = off
"""


def faults_of(text: str) -> tuple[str, ...]:
    """Return what is wrong with a text."""
    with pytest.raises(ConfigurationError) as caught:
        read_wg_quick(text, "a.conf")
    return caught.value.faults


def test_a_configuration_is_read_as_wg_quick_reads_it() -> None:
    """Names in any case, comments, lists, canonical prefixes."""
    read = read_wg_quick(TEXT, "a.conf")
    assert (read.private_key, read.public_key) == (OWN.private_key, OWN.public_key)
    assert (read.addresses, read.port, read.mtu, read.others) == ((ip_interface("fd00:1::1/64"),), 51820, 1400, ())
    allowed = (ip_network("fd00:2::/64"), ip_network("fd00:3::/64"))
    assert read.peers == (Peer(OTHER.public_key, PRESHARED, allowed, ("2001:db8::1", 51821), 0),)


def test_settings_that_a_mesh_has_no_place_for_are_told_apart() -> None:
    """Hooks and names; not those that say what is so anyway."""
    text = TEXT.replace("Table = auto", "PostUp = iptables\nDNS = 1.1.1.1\nSaveConfig = false\nFwMark = off")
    assert read_wg_quick(text, "a.conf").others == ("PostUp", "DNS")


def test_all_zeros_are_no_preshared_key() -> None:
    """So does WireGuard see it."""
    assert read_wg_quick(TEXT.replace(PRESHARED, NO_PRESHARED_KEY), "a.conf").preshared_keys == {None}


def test_nothing_is_a_configuration_without_a_key() -> None:
    """A host without the interface prints nothing."""
    assert read_wg_quick("", "a.conf").public_key is None


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (OWN.private_key, "x" + OWN.private_key, "a.conf:4: privatekey: not a WireGuard key; give 44 characters"),
        ("fd00:1::1/64", "fd00:1::x/64", "a.conf:5: Address: not usable; give addresses with their prefix length"),
        ("51820", "70000", "a.conf:6: ListenPort: not usable; give a whole number from 0 to 65535"),
        ("[2001:db8::1]:51821", "somewhere", "a.conf:14: Endpoint: not usable; give an address and a port"),
        ("MTU", "Mtuu", "a.conf:7: 'Mtuu' is no setting of wg-quick; correct it or take it out"),
        ("MTU", PRESHARED[:-1], "a.conf:7: this is no setting of wg-quick; correct it or take it out"),
        ("[Interface]", "", "a.conf:4: stands before [Interface]; begin the file with [Interface]"),
        (f"PublicKey = {OTHER.public_key}", "", "a.conf: a [Peer] without a PublicKey; give it, or take the peer out"),
    ],
)
def test_a_fault_names_its_line_and_the_way_out(old: str, new: str, fault: str) -> None:
    """And never repeats what could be a key."""
    found = faults_of(TEXT.replace(old, new))
    assert found[0].startswith(fault)
    assert PRESHARED[:-1] not in "".join(found)
    assert OWN.private_key not in "".join(found)


def test_printing_a_configuration_shows_no_secret() -> None:
    """A traceback that shows its values shows no key."""
    shown = repr(read_wg_quick(TEXT, "a.conf"))
    assert OWN.private_key not in shown
    assert PRESHARED not in shown
