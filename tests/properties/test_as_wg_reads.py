"""A configuration is read as `wg` and `wg-quick` read it, by asking them."""

from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mesh.errors import ConfigurationError
from mesh.wireguard.keys import generate_key_pair, generate_preshared_key, public_key_of
from mesh.wireguard.wg_quick import WgQuick, read_wg_quick
from tests.properties.wg import Reading, RealTools, lacking, real_tools

_PAIRS = [generate_key_pair() for _ in range(3)]
_PUBLIC = [pair.public_key for pair in _PAIRS]
_PRESHARED = generate_preshared_key()
_ZERO = "A" * 43 + "="
_BROKEN = ["", "x", "²", "-1", "1 2 x", _PRESHARED[:-1], f"={_PRESHARED}"]
# What either tool takes, or refuses, by setting; not what is taken by them alone, which `wg_values` lists.
_VALUES = {
    "PrivateKey": [_PAIRS[0].private_key, _PAIRS[1].private_key, _ZERO],
    "ListenPort": ["51820", "051821", "0", "51 820"],
    "FwMark": ["off", "OFF", "0", "0x0", "000", "0xca6c", "51820", "4294967296", "0xg", "0X1"],
    "PublicKey": [*_PUBLIC, _PUBLIC[1][:20] + " " + _PUBLIC[1][20:], "é" * 44],
    "PresharedKey": [_PRESHARED, _ZERO],
    "AllowedIPs": [
        "10.1.0.1/16", "10.1.0.0/16, fd00:1::/64", "10.1.0.1", "fd00:1::9,10.2.0.0/016", "0.0.0.0/0,::/0", "fd00::/ 48",
        "10.1.0.0/16,", "10.1.0.0/33", "10.01.0.0/16", "10.1.0.0/255.255.0.0", "fd00:1::%eth0/64", "::ffff:1.2.3.4/128",
        ",", "10.1/16",
    ],
    "Endpoint": [
        "203.0.113.1:51820", "[2001:db8::1]:51820", "2001:DB8::1:51820", "203.0.113.2:051820", "1.2.3.4",
        "[2001:db8::1]51820", "[2001:db8::1]:", "[2001:db8::1]x:5", "[203.0.113.3]:5", ":5", "[::1:5",
    ],
    "PersistentKeepalive": ["25", "off", "Off", "0", "0025", "65535", "65536", "0x19", "+5", "2 5"],
    "Address": [
        "10.1.0.1/16", "fd00:1::1/64", "10.1.0.2 fd00:2::1", "10.1.0.3/255.255.255.0,10.1.0.4/30", "10.1.0.5/0.0.0.255",
        "10.1.0.6/33", "fd00:3::1/129", "10.1.0.7 /24", "10.1.0.256/24", ",fd00:4::1/64,",
    ],
    "MTU": ["1400", "1280", "", "9000x"],
    "DNS": ["1.1.1.1", "", "example.org"],
    "Table": ["auto", "off", "1234", ""],
    "PreUp": ["true", ""],
    "PostUp": ["ip route add 10.9.0.0/24 dev %i", ""],
    "PreDown": ["", "true"],
    "PostDown": ["", "true"],
    "SaveConfig": ["true", "FALSE", "True", "no"],
    "Mtuu": ["1400"],
}  # fmt: skip
_COMMENTS = ["", "", "", "# carol", " # B\xfcro", "#[Peer]", "# x = y", "# a\x85b\x0bc"]


@st.composite
def _settings(draw: st.DrawFn, names: list[str]) -> str:
    name = draw(st.sampled_from(names))
    # Most values are good ones, or nothing would ever be taken.
    value = draw(st.sampled_from(_VALUES[name][: draw(st.sampled_from([1, 2, 3, 99]))]))
    if not draw(st.integers(0, 60)):
        value = draw(
            st.sampled_from(_BROKEN if name not in ("DNS", "PreUp", "PostUp", "PreDown", "PostDown") else [""])
        )
    spelled = draw(st.sampled_from([name, name, name.lower(), name.upper(), f"\t{name}", f"{name[:4]} {name[4:]}"]))
    return spelled + draw(st.sampled_from(["=", " = ", "\t=  "])) + value


def _sections(head: str, names: list[str]) -> st.SearchStrategy[list[str]]:
    heads = st.sampled_from([head] * 6 + [head.lower(), f"  {head} ", head.upper(), f"{head[0]} {head[1:]}"])
    return st.builds(lambda first, rest: [first, *rest], heads, st.lists(_settings(names), max_size=5))


_INTERFACE = ["PrivateKey", "ListenPort", "FwMark", "Address", "MTU", "DNS", "Table", "PreUp", "PostUp", "PreDown",
              "PostDown", "SaveConfig"]  # fmt: skip
_PEER = ["PresharedKey", "AllowedIPs", "AllowedIPs", "Endpoint", "PersistentKeepalive", "PublicKey"]
_interfaces = _sections("[Interface]", [*_INTERFACE, "Address", "ListenPort"])
_peers = st.builds(
    lambda section, key: [section[0], f"PublicKey = {key}", *section[1:]],
    _sections("[Peer]", _PEER),
    st.sampled_from(_PUBLIC),
)
_strays = st.one_of(
    _sections("[Peer]", _PEER),
    _sections("[Peers]", _PEER),
    st.lists(_settings([*_INTERFACE, *_PEER, "Mtuu"]), max_size=1),
    st.sampled_from([["= x"], ["Address"], ["[Interface] = x"], ["\xa0"], ["PublicKey"]]),
)
_texts = st.builds(
    lambda first, rest, comments, ending: ending.join(
        line + comments[number % len(comments)]
        for number, line in enumerate(line for section in (first, *rest) for line in section)
    ),
    _interfaces,
    st.lists(st.one_of(_peers, _peers, _peers, _peers, _interfaces, _strays), max_size=5),
    st.lists(st.sampled_from(_COMMENTS), min_size=1, max_size=7),
    st.sampled_from(["\n", "\n", "\r\n", "\n\n"]),
)


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealTools]:
    """Return the real tools, one process for all examples."""
    if lack := lacking():
        pytest.skip(lack)
    with real_tools(tmp_path_factory.mktemp("wg")) as started:
        yield started


def _as_the_tools_print(read: WgQuick) -> Reading:
    return Reading(
        frozenset(read.addresses),
        str(read.mtu or ""),
        bool(set(read.others) - {"FwMark"}),
        read.public_key or "",
        "FwMark" in read.others,
        {
            peer.public_key: (
                peer.preshared_key or "(none)",
                _endpoint(peer.endpoint),
                frozenset(peer.allowed_ips),
                str(peer.keepalive or "off"),
            )
            for peer in read.peers
        },
    )


def _endpoint(endpoint: tuple[str, int] | None) -> str:
    if endpoint is None:
        return "(none)"
    host, port = endpoint
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _known_by(reading: Reading) -> Reading:
    # WireGuard fixes some bits of a private key, so the public one is what can be compared.
    private = reading.private_key
    public = "" if private == "(none)" else public_key_of(private)
    return Reading(reading.addresses, reading.mtu, reading.drops, public, reading.marked, reading.peers)


@pytest.mark.thorough
@settings(max_examples=100)
@given(_texts)
@example("[Interface]\r\nAddress = 10.1.0.1/16 # B\xfcro\r\n")
@example("[Interface]\n# a\x85PrivateKey = x\x0bb\x1cc\n")
@example("[ Interface ]\nListen Port = 51820\n")
@example("[ Interface ]\nAddress = 10.1.0.1/16\n")
@example(
    f"[Peer]\nPublicKey={_PUBLIC[0]}\nAllowedIPs=10.0.0.0/8\n[Peer]\nPublicKey={_PUBLIC[1]}\nAllowedIPs=10.0.0.1/8"
)
@example(
    f"[Peer]\nPublicKey={_PUBLIC[0]}\nAllowedIPs=10.0.0.0/8\nPresharedKey={_PRESHARED}\n[Peer]\nPublicKey={_PUBLIC[0]}"
)
@example(f"[Interface]\nPrivateKey={_PAIRS[0].private_key}\n[Peer]\nPublicKey={_PUBLIC[0]}\nAllowedIPs=10.0.0.0/8")
def test_a_configuration_is_read_as_the_real_tools_read_it(tools: RealTools, text: str) -> None:
    """What they take is taken, with the same meaning, and what they refuse is refused."""
    content = text.encode("latin-1")
    theirs = tools.read(content)
    ours: Reading | str
    try:
        ours = _as_the_tools_print(read_wg_quick(content, "wg0.conf"))
    except ConfigurationError as error:
        ours = str(error)
    if theirs is None:
        assert isinstance(ours, str)
    else:
        assert ours == _known_by(theirs)
