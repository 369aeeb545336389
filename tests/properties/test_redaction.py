"""What a bundle replaces: no value that is known survives, two things never become one, and one thing never two."""

import base64
import json
import re
from ipaddress import IPv4Address, IPv6Address, ip_interface

from hypothesis import assume, example, given
from hypothesis import strategies as st

from mesh.cli.redaction import Redaction
from mesh.cli.stand_in_addresses import StandInAddresses
from mesh.cli.words_of_everybody import words_of_everybody
from mesh.wireguard.endpoint import is_endpoint_name
from tests.strategies import host_names, interface_names

_EVERYBODYS = words_of_everybody()
# What stand-ins are made of, so that it tells nothing.
_OURS = re.compile(r"(?:host|mesh|site|user|key|name|example|address|mac|[0-9a-f]{1,4}|-)*", re.IGNORECASE)
_KINDS = ("host", "mesh", "site", "user")
# Sites and tags may be any text.
_sites = st.from_regex(r"[A-Za-zÀ-ž][\wÀ-ž ./-]{2,15}", fullmatch=True)
_names = st.one_of(host_names, interface_names, _sites).filter(
    lambda name: len(name) > 2 and not _OURS.fullmatch(name.replace(".", "-")) and name.casefold() not in _EVERYBODYS
)
_labels = st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,6}[A-Za-z0-9_])?", fullmatch=True)
# As resolvers take them, with anything as the last label.
_places = (
    st.lists(_labels, min_size=2, max_size=4)
    .map(".".join)
    .filter(lambda name: is_endpoint_name(name) and len(name) > 4 and not _OURS.fullmatch(name.replace(".", "-")))
)
_known = st.lists(st.tuples(st.sampled_from(_KINDS), _names), max_size=6, unique_by=lambda each: each[1].casefold())
_v4 = st.integers(0, 2**32 - 1).map(IPv4Address)
_v6 = st.integers(0, 2**128 - 1).map(IPv6Address)
_close = st.integers(0, 2**10).map(lambda number: IPv6Address((0xFD00_1234 << 96) + (number << 60) + number % 7))
_addresses = st.one_of(_v4, _v6, _close).map(str)
_keys = st.binary(min_size=32, max_size=32).map(lambda raw: base64.b64encode(raw).decode())
_between = st.sampled_from([" ", ", ", "\n", ": ", "@", "/", "[", "]", "=", " -> ", "_", "; "])


@st.composite
def _prefixes(draw: st.DrawFn) -> str:
    address = draw(_addresses)
    return f"{address}/{draw(st.integers(0, 128 if ':' in address else 32))}"


def _survives(value: str, text: str) -> bool:
    """Tell whether a value stands in a text, as a word of its own."""
    left = r"(?<![A-Za-z0-9])" if value[0].isascii() and value[0].isalnum() else ""
    right = r"(?![A-Za-z0-9])" if value[-1].isascii() and value[-1].isalnum() else ""
    return re.search(f"{left}{re.escape(value)}{right}", text, re.IGNORECASE) is not None


@given(known=_known, words=st.data())
def test_no_known_name_survives_in_a_text(known: list[tuple[str, str]], words: st.DataObject) -> None:
    """Whatever stands beside it, in whatever case."""
    redaction = Redaction(_EVERYBODYS)
    for kind, name in known:
        redaction.learn(kind, [name])
    names = [name for _, name in known]
    pieces = st.one_of(*([st.sampled_from(names)] if names else []), _addresses, st.just("is well"))
    text = "".join(piece + mark for piece, mark in words.draw(st.lists(st.tuples(pieces, _between), max_size=8)))
    said = redaction.text(text) + redaction.text(text.upper() if text.isascii() else text)
    assert [name for name in names if _survives(name, said)] == []


@given(places=st.lists(_places, min_size=1, max_size=4, unique_by=str.casefold), known=_known, words=st.data())
@example(places=["vpn.acme-corp", "gate.acme.k8s"], known=[("host", "vpn")], words=None)
def test_no_place_that_is_known_survives_in_a_text(
    places: list[str], known: list[tuple[str, str]], words: st.DataObject | None
) -> None:
    """With dots or without, whatever its last label looks like, and also where a host is called like a part of it."""
    redaction = Redaction(_EVERYBODYS)
    for kind, name in known:
        redaction.learn(kind, [name])
    for place in places:
        redaction.learn_place(place)
    pieces = st.lists(st.tuples(st.sampled_from(places), _between), min_size=1, max_size=6)
    drawn = words.draw(pieces) if words else [(place, " ") for place in places]
    text = "".join(piece + mark for piece, mark in drawn)
    said = redaction.text(text) + redaction.text(text.upper())
    assert [place for place in places if _survives(place, said)] == []
    shown = redaction.document({"endpoint": [f"{place}:51820" for place in places]})
    assert [place for place in places if _survives(place, json.dumps(shown))] == []


_KEPT = """Ubuntu 24.04.1 LTS
Debian GNU/Linux 12 (bookworm), Linux 6.8.0-1012-aws x86_64, 5.14.0-427.13.1.el9_4.x86_64, 6.9.7-200.fc40
mesh-boot@ wg-quick@ mesh-keep@ /var/lib/mesh/program /etc/wireguard/ /run/systemd/system
wireguard-tools v1.0.20210914 - https://git.zx2c4.com/wireguard-tools/
net.ipv6.conf.all.forwarding = 1, ip -4 address add dev, multi-user.target, ssh.address, sshd[1]: user root
mesh:hosts: missing; state up, drifted or unreachable, relayed, kernel
"""


@given(known=st.lists(st.tuples(st.sampled_from(_KINDS), st.sampled_from(sorted(_EVERYBODYS)))), upper=st.booleans())
def test_a_name_that_is_a_word_of_everybody_takes_nothing_away(known: list[tuple[str, str]], upper: bool) -> None:
    """A user `ubuntu`, a tag `relay`, a site `address`: distributions, units, paths, fields and states stay."""
    redaction = Redaction(_EVERYBODYS)
    for kind, name in known:
        redaction.learn(kind, [name.upper() if upper else name])
    assert redaction.text(_KEPT) == _KEPT
    document = {name: [{name: f"{name} ({name})"}] for _, name in known}
    assert redaction.document(document) == document


@given(addresses=st.lists(st.one_of(_addresses, _prefixes()), max_size=12, unique=True))
@example(addresses=["10.1.2.0/24", "10.1.2.0", "10.1.0.0/16", "10.1.2.3/16", "10.1.2.3", "10.1.2.0/25"])
@example(addresses=["fd00:1::/48", "fd00:1::/64", "fd00:1::", "fd00:1::1/64", "fd00:1::/56", "fd00:1:0:1::/64"])
def test_two_addresses_never_become_one_and_one_is_always_the_same(addresses: list[str]) -> None:
    """Also networks and addresses with a prefix length, of which the length stays."""
    found = StandInAddresses()
    shown = {text: found.replace(text) for text in addresses}
    assert len(set(shown.values())) == len({str(ip_interface(text)) for text in addresses if "/" in text}) + len(
        {text for text in addresses if "/" not in text}
    )
    assert {text: found.replace(text) for text in reversed(addresses)} == shown
    for text, stand_in in shown.items():
        assert stand_in.partition("/")[2] == text.partition("/")[2]
        assert ip_interface(stand_in).version == ip_interface(text).version


@given(one=_addresses, other=_addresses)
def test_addresses_of_one_network_stay_in_one(one: str, other: str) -> None:
    """Of one /24, /48 and /64; others do not come together."""
    found = StandInAddresses()
    # What everybody has stays where it is.
    assume(all(found.replace(address) != address for address in (one, other)))
    for length in (24, 48, 64):
        pair = [ip_interface(f"{address}/{min(length, 128 if ':' in address else 32)}") for address in (one, other)]
        shown = [ip_interface(f"{found.replace(str(each.ip))}/{each.network.prefixlen}") for each in pair]
        if pair[0].version == pair[1].version == (4 if length == 24 else 6):
            assert (pair[0].network == pair[1].network) == (shown[0].network == shown[1].network)


@given(address=_addresses, mark=_between, key=_keys, more=_between)
def test_what_looks_like_an_address_or_a_key_does_not_survive_in_a_text(
    address: str, mark: str, key: str, more: str
) -> None:
    """Though nobody knew it, and whatever is around it."""
    assume(StandInAddresses().replace(address) != address)
    text = f"x{more}{address}{mark}{key}{more}[{address}]:51820{mark}SHA256:{key[:43]} fc"
    said = Redaction(_EVERYBODYS).text(text)
    assert not _survives(key, said)
    assert not _survives(key[:43], said)
    assert not _survives(address, said.replace(Redaction(_EVERYBODYS).address(address), ""))


@given(known=_known)
def test_names_of_a_document_are_replaced_alike_in_names_and_values_of_fields(known: list[tuple[str, str]]) -> None:
    """And never two by one."""
    redaction = Redaction(_EVERYBODYS)
    for kind, name in known:
        redaction.learn(kind, [name])
    names = [name for _, name in known]
    shown = redaction.document({name: [name, {"is": f"{name} ({name})"}] for name in names})
    assert len(shown) == len(names)
    for stand_in, (value, text) in shown.items():
        assert (value, text) == (stand_in, {"is": f"{stand_in} ({stand_in})"})
    assert [name for name in names if _survives(name, json.dumps(shown, ensure_ascii=False))] == []
