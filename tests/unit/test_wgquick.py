"""What `mesh.wireguard.wg_quick` reads in a configuration, and what it refuses."""

import time
from ipaddress import ip_interface, ip_network
from itertools import product

import pytest

from mesh.errors import ConfigurationError
from mesh.wireguard.keys import ZERO_KEY, KeyPair, public_key_of
from mesh.wireguard.text import MOST_BYTES, MOST_CHARACTERS
from mesh.wireguard.wg_quick import ConfiguredPeer, read_wg_quick
from mesh.wireguard.wg_sections import MOST_PEERS

# Always the same, since they are in the names of tests.
OWN, OTHER, THIRD = (KeyPair(key, public_key_of(key)) for key in (f"{letter * 42}A=" for letter in "BCE"))
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


def faults_of(text: str | bytes) -> tuple[str, ...]:
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
    assert read.peers == (ConfiguredPeer(OTHER.public_key, PRESHARED, allowed, ("2001:db8::1", 51821), 0),)
    assert (read.place("Address"), read.place("FwMark"), read.peers[0].place) == ("a.conf:5", "a.conf", "a.conf:10")


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + TEXT,
        TEXT.replace("\n", "\r\n"),
        b"\xef\xbb\xbf" + TEXT.encode(),
        TEXT.replace("bernard", "B\xfcro \x85").encode("latin-1"),
        TEXT.encode("utf-16"),
        TEXT.replace("bernard", "B\xfcro \udcfc"),
        TEXT.replace("Port = 51820", " Port\t= 51 820 ").replace("Endpoint", "END POINT"),
        TEXT.replace("[Peer]", "[Interface]\n[ peer ]  # carol").replace(", fd", "\nAllowedIPs = fd"),
    ],
    ids=["mark", "crlf", "mark in bytes", "latin-1", "utf-16", "undecoded bytes", "spaces", "sections"],
)
def test_how_a_file_was_saved_and_laid_out_makes_no_difference(content: str | bytes) -> None:
    """Editors write marks and line ends, keyboards write Latin-1, hands write lists and sections in several ways."""
    read, plain = read_wg_quick(content, "a.conf"), read_wg_quick(TEXT, "a.conf")
    assert (read.private_key, read.addresses, read.port) == (plain.private_key, plain.addresses, plain.port)
    assert [(peer.public_key, peer.allowed_ips, peer.endpoint) for peer in read.peers] == [
        (peer.public_key, peer.allowed_ips, peer.endpoint) for peer in plain.peers
    ]


def test_settings_that_a_mesh_has_no_place_for_are_told_apart() -> None:
    """Hooks and names; not those that say what is so anyway, nor those that say nothing."""
    text = TEXT.replace("Table = auto", "PostUp = iptables\nDNS = 1.1.1.1\nSaveConfig = false\nFwMark = 0x0\nPreUp =")
    read = read_wg_quick(text, "a.conf")
    assert read.others == ("DNS", "PostUp")
    assert read.place("DNS") == "a.conf:9"


def test_all_zeros_are_no_key() -> None:
    """So does WireGuard see it."""
    assert read_wg_quick(TEXT.replace(PRESHARED, ZERO_KEY), "a.conf").preshared_keys == {None}
    assert read_wg_quick(TEXT.replace(OWN.private_key, ZERO_KEY), "a.conf").public_key is None


def test_nothing_is_a_configuration_without_a_key() -> None:
    """A host without the interface prints nothing."""
    assert read_wg_quick("", "a.conf").public_key is None


def test_of_two_peers_with_one_prefix_the_last_has_it() -> None:
    """Without a word, so what the first one lost is told apart."""
    text = f"{TEXT}[Peer]\nPublicKey = {THIRD.public_key}\nAllowedIPs = fd00:3::/64\n"
    first, second = read_wg_quick(text, "a.conf").peers
    assert (first.allowed_ips, first.lost) == ((ip_network("fd00:2::/64"),), (ip_network("fd00:3::/64"),))
    assert second.allowed_ips == (ip_network("fd00:3::/64"),)


def test_a_peer_that_comes_again_is_one_and_the_own_key_is_none() -> None:
    """It keeps what it was told but for its AllowedIPs; a list of all hosts may hold the host itself."""
    text = f"{TEXT}[Peer]\nPublicKey = {OTHER.public_key}\nAllowedIPs = fd00:5::/64\n"
    text += f"[Peer]\nPublicKey = {OWN.public_key}\nAllowedIPs = fd00:5::/64\n"
    (peer,) = read_wg_quick(text, "a.conf").peers
    assert peer == ConfiguredPeer(OTHER.public_key, PRESHARED, (ip_network("fd00:5::/64"),), ("2001:db8::1", 51821), 0)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (OWN.private_key, "x" + OWN.private_key, "a.conf:4: PrivateKey: not a WireGuard key; give 44 characters"),
        ("fd00:1::1/64", "fd00:1::x/64", "a.conf:5: Address: not usable; give addresses such as 10.0.0.1/24"),
        ("fd00:1::1/64", "fd00:1::1/64, fd00:1::1/64", "a.conf:5: Address: the same one twice; take one of them out"),
        ("51820", "70000", "a.conf:6: ListenPort: not usable; give a whole number from 0 to 65535"),
        ("ListenPort = 51820", "ListenPort", "a.conf:6: ListenPort: has no value; give it one, or take it out"),
        ("[2001:db8::1]:51821", "somewhere", "a.conf:14: Endpoint: not usable; give an address or a name and a port"),
        ("[2001:db8::1]", "[fe80::1%eth0]", "a.conf:14: Endpoint: not usable; give an address or a name and a port"),
        ("MTU", "Mtuu", "a.conf:7: no setting of wg-quick; did you mean MTU?"),
        ("MTU", PRESHARED[:-1], "a.conf:7: no setting of wg-quick; correct it, or take it out"),
        ("MTU = 1400", PRESHARED[20:], "a.conf:7: no setting of wg-quick; correct it, or take it out"),
        ("[Interface]", "", "a.conf:4: stands before [Interface]; begin the file with [Interface]"),
        ("[Peer]", "[Pear]", "a.conf:10: no section of wg-quick; write [Interface] or [Peer], or take it out"),
        ("PublicKey", "DNS = 1.1.1.1\nPublicKey", "a.conf:11: DNS: belongs below [Interface]; move it there"),
        ("MTU = 1400", "AllowedIPs = ::/0", "a.conf:7: AllowedIPs: belongs below [Peer]; move it there"),
        ("fd00:2::/64, ", "fd00:2::/64,, ", "a.conf:13: AllowedIPs: not usable; give prefixes such as 10.0.0.1/32"),
        (f"PublicKey = {OTHER.public_key}", "", "a.conf:10: a [Peer] without a PublicKey; give it, or take the peer"),
        ("bernard", "b\0ernard", "a.conf: has zero bytes in it, as no text has; save it as UTF-8 text"),
    ],
)
def test_a_fault_names_its_line_and_the_way_out(old: str, new: str, fault: str) -> None:
    """And never repeats what could be a key, or a part of one."""
    found = faults_of(TEXT.replace(old, new))
    assert found[0].startswith(fault)
    assert PRESHARED[20:] not in "".join(found)
    assert OWN.private_key not in "".join(found)


def test_all_faults_are_told_at_once() -> None:
    """Those of single lines, and a peer that lacks its key."""
    text = TEXT.replace("MTU", "Mtuu").replace("51821", "x") + "[Peer]\n[Peer]\nPublicKey = x\n"
    assert [fault.partition(": ")[0] for fault in faults_of(text)] == [
        "a.conf:7",
        "a.conf:14",
        "a.conf:18",
        "a.conf:16",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("#" * (MOST_BYTES + 1), "a.conf: larger than 4 MiB, the most that is read; check that it is the right file"),
        (f"[Interface]\n#{'x' * MOST_CHARACTERS}", "a.conf:2: a line of more than 65,536 characters; give its parts"),
        (
            "[Peer]\n" * (MOST_PEERS + 1),
            "a.conf:10001: more than 10,000 peers, the most that is read; check that it is",
        ),
        (
            "[Peer]\n" + f"AllowedIPs=10.0.0.1{',10.0.0.1' * 6_000}\n" * 9,
            "a.conf:10: more than 50,000 prefixes, the most",
        ),
        ("x\n" * 1000, "a.conf: more faults than these; check that it is the right file"),
    ],
    ids=["size", "line", "peers", "prefixes", "faults"],
)
def test_what_is_too_large_is_refused_in_words(text: str, fault: str) -> None:
    """Whatever it is, it is no configuration of a mesh."""
    assert any(found.startswith(fault) for found in faults_of(text))


_LINES = (
    "#",
    "# a",
    "# a (",
    "# name :",
    "a",
    "a=",
    "AllowedIPs=",
    "Address=1,",
    "Endpoint=[",
    "MTU=",
    "[",
    "\t",
    "\r",
)
_REPEATED = ("a", "a ", "(", " ", "-.", "0", ",", "#", "=", "10.0.0.1/32,")


def test_reading_takes_time_in_proportion_to_the_text() -> None:
    """A line of the greatest length takes milliseconds, whatever is in it, and so do many lines."""
    for line, repeated in product(_LINES, _REPEATED):
        text = f"[Interface]\n[Peer]\n{line}{repeated * (65_000 // len(repeated))}\n[Peer]\n"
        began = time.process_time()
        faults_of(text)
        assert time.process_time() - began < 1, (line, repeated)
    lines = [f"AllowedIPs = fd00:{number:x}::/64" for number in range(40_000)]
    began = time.process_time()
    read_wg_quick("\n".join(["[Peer]", f"PublicKey = {OTHER.public_key}", *lines]), "a.conf")
    assert time.process_time() - began < 10


def test_printing_a_configuration_shows_no_secret() -> None:
    """A traceback that shows its values shows no key."""
    shown = repr(read_wg_quick(TEXT, "a.conf"))
    assert OWN.private_key not in shown
    assert PRESHARED not in shown
