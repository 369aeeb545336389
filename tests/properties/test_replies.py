"""Whatever a host says: what comes of it is a value or that host's failure, in bounded time and memory."""

import asyncio
import re
import tracemalloc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mesh.errors import ConfigurationError, HostError, HostsFailedError
from mesh.remote import examinations, replies, reports
from mesh.remote.commands import LINE_BYTES, REPLY_BYTES, Stream
from mesh.remote.orders import Session
from mesh.wireguard.wg_quick import read_wg_quick

KEY = "B" * 43 + "="
PEERS = {"edgeworth", "phoenix"}
# By order, what reads it and lines that are well.
READERS: dict[str, tuple[Callable[[str, list[str]], object], list[str]]] = {
    "facts": (
        lambda host, lines: reports.read_facts(host, lines, "abc"),
        [
            "confirmed d0", "mtu 1420", "address fd00:1c86:78d4:dcef::1/64", "preshared abc",
            f"interface {KEY} 51825", "differs exit",
            f"peer {KEY} [fe80::1%eth0]:51825 fd00::/64,10.0.0.0/8 1700000001 20 30 25",
            f"peer {KEY.replace('B', 'C')} (none) (none) 0 0 0 off", f"stale {KEY.replace('B', 'C')}",
        ],
    ),
    "status": (
        lambda host, lines: reports.read_facts(host, lines, None, "status"),
        [
            "differs late", "confirmed d0", "mtu 1420", f"interface {KEY} 51825",
            "program 0123456789abcdef", "wireguard userspace", "packets 5 18446744073709551615", "age 86400",
        ],
    ),
    "audit": (
        lambda host, lines: reports.read_facts(host, lines, None, "audit"),
        ["differs edited /etc/wireguard/testwg.conf", "differs absent"],
    ),
    "scan": (
        reports.read_found,
        [
            "x86_64", "2: eth0    inet 78.11.11.11/32 scope global eth0\\       valid_lft forever",
            "2: eth0    inet6 2a01:4f8::77/64 scope global temporary dynamic \\       valid_lft 3600sec",
            "link-mtu 1460",
        ],
    ),
    "ping": (replies.read_pings, ["ping edgeworth 1.25", "ping phoenix none"]),
    "examine": (
        examinations.read_examination,
        [
            "clock 1700000000", "own eth0 203.0.113.1/32", "own eth0 2001:db8:1::1/128", "other mgmt0 10.99.0.0/16",
            "other eth0 2001:db8:1::1", f"preshared {KEY} {'a' * 64}", f"preshared {KEY.replace('B', 'C')} none",
            "ipv6-off default", "listens wireguard-go 17",
            "name carol.example.org:51825 [2001:db8::2]:51825",
        ],
    ),
    "measure": (
        examinations.read_measurements,
        ["measured edgeworth 3 3 0.541 0.982 1.731 1420", "measured phoenix 4 0 - - - 0"],
    ),
    "probe": (
        examinations.read_probe,
        [
            "route carol eth0 203.0.113.1", "route dora none -", "inner carol testwg", "count out carol 8",
            "count reply-got carol 0", "count in - 3", "session carol 69 1152 1152", "session dora never 0 148",
            "drops udp 203.0.113.2 203.0.113.1 inet own i udp dport 51825 drop",
            "drops other - - ip filter INPUT policy drop", "reverse-path 0",
        ],
    ),
    "clock": (replies.read_clock, ["1234.56"]),
    "prove": (
        lambda host, lines: replies.read_proof(host, lines, PEERS),
        ["silent edgeworth unresolved", "narrow phoenix 1300"],
    ),
    "prepare": (
        replies.read_system, ["system x86_64-linux", "init systemd", "firewall ufw nftables", "wireguard kernel"]
    ),
    "stage": (replies.read_running, [f"running {KEY} 51825", "confirmed none"]),
    "wipe": (replies.read_wiped, ["kept"]),
    "survey": (replies.read_survey, ["key", "key", "seen"]),
}  # fmt: skip
_TEXT = st.text(st.characters(codec="utf-8"), max_size=200)
_ODD = st.sampled_from(
    [
        "nan",
        "inf",
        "-1",
        "1e9",
        "٣",
        "9" * 5000,
        "",
        " ",
        "\t",
        "\0",
        "\x1b]0;x\x07",
        "[/nope]",
        "fd00::1%\x1b[2J/64",
        "0x10",
    ]
)


def failure_of(read: Callable[[], object]) -> HostError | ConfigurationError | None:
    """Return how reading fails; None if it does not. Any other failure is the test's."""
    try:
        read()
    except (HostError, ConfigurationError) as error:
        return error
    return None


@st.composite
def spoilt(draw: st.DrawFn, lines: list[str]) -> list[str]:
    """Draw lines that were well, with some words changed, left out, said twice or of somebody else's making."""
    said = list(lines)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(said) - 1)) if said else 0
        match draw(st.integers(0, 4)):
            case 0 if said:
                del said[at]
            case 1 if said:
                said.insert(at, said[at])
            case 2 if said:
                words = said[at].split(" ")
                words[draw(st.integers(0, len(words) - 1))] = draw(_ODD | _TEXT)
                said[at] = " ".join(words)
            case 3:
                said.insert(at, draw(_TEXT))
            case _ if said:
                said[at] += draw(_ODD | _TEXT)
    return said


@pytest.mark.parametrize("order", READERS)
def test_a_reply_that_is_well_is_read(order: str) -> None:
    """Else nothing below would show anything."""
    read, lines = READERS[order]
    read("bernard", lines)


@pytest.mark.parametrize("order", READERS)
@given(data=st.data())
def test_a_spoilt_reply_is_a_value_or_its_hosts_failure(order: str, data: st.DataObject) -> None:
    """In one line that names the host and does nothing to a terminal."""
    read, lines = READERS[order]
    said = data.draw(spoilt(lines) | st.lists(_TEXT))
    if error := failure_of(lambda: read("bernard", said)):
        assert str(error).startswith("host 'bernard': answers ")
        assert str(error).isprintable()
        assert len(str(error)) < 1000


@given(
    text=st.text()
    | st.lists(st.sampled_from([*"[]#=\n\0é", "[Interface]", "[Peer]", "PrivateKey", KEY, "Endpoint", "::", "1"])).map(
        "".join
    )
)
@example("[Interface]\n#" + "a." * 500_000)
@example("[Interface]\n#" + "name " * 100_000)
@example("[Peer]\nAllowedIPs = " + "1" * 100_000)
def test_a_configuration_that_a_host_shows_is_read_or_refused(text: str) -> None:
    """In a time that grows with its length only."""
    if error := failure_of(lambda: read_wg_quick(text, "testwg")):
        assert isinstance(error, ConfigurationError)
        assert KEY not in str(HostsFailedError({"bernard": error.faults[0]}))


class Pieces:
    """What a host says, in the pieces in which it arrives."""

    def __init__(self, pieces: list[bytes], *, without_end: bool = False) -> None:
        """Keep the pieces; `without_end`, the last one comes again and again."""
        self.pieces, self.without_end, self.given = pieces, without_end, 0

    async def read(self, _most: int) -> bytes:
        """Return the next piece."""
        if self.given < len(self.pieces):
            self.given += 1
        elif not self.without_end:
            return b""
        return self.pieces[self.given - 1]


def session(pieces: list[bytes], *, without_end: bool = False) -> tuple[Session, list[str]]:
    """Return a session with a host that says these, and what became of it."""
    closed: list[str] = []
    process: Any = SimpleNamespace(
        stdout=Pieces(pieces, without_end=without_end), stderr=Pieces([b"\xff\x1b[2J"]),
        stdin=SimpleNamespace(write=lambda _: None), close=lambda: closed.append("closed"),
    )  # fmt: skip
    return Session(Stream("bernard", process, "0" * 32)), closed


_BYTES = st.binary(max_size=50) | st.sampled_from(
    [b".ok\n", b"\n.ok\n", b".error \x1b]0;x\x07\n", b".program\n", b"\xfc\n", b"0" * 32 + b" 1\n"]
)


@given(pieces=st.lists(_BYTES.filter(bool), max_size=20))
def test_whatever_a_host_says_an_order_ends_with_lines_or_its_failure(pieces: list[bytes]) -> None:
    """However SSH cuts it."""
    talk, _ = session(pieces)
    lines: list[str] = []
    if error := failure_of(lambda: lines.extend(asyncio.run(talk.order("facts")))):
        assert str(error).startswith("host 'bernard': ")
        assert str(error).isprintable()
    else:
        whole = re.split(rb"^\.ok\n", b"".join(pieces), maxsplit=1, flags=re.MULTILINE)[0]
        assert lines == whole.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")[:-1]


@given(piece=st.binary(min_size=1, max_size=20).filter(lambda piece: b"." not in piece and b"0" not in piece))
def test_a_host_that_never_ends_is_cut_off_within_bounds(piece: bytes) -> None:
    """Of bytes, of lines, and of one line."""
    talk, closed = session([piece * (100_000 // len(piece))], without_end=True)
    with pytest.raises(HostError, match="host 'bernard': says without end where an answer to 'facts' is due"):
        asyncio.run(talk.order("facts"))
    assert closed == ["closed"]


@pytest.mark.parametrize("piece", [b"x", b"\n", b"mtu 1420\n", b"\xff" * 1000, b"a" * (LINE_BYTES - 1) + b"\n"])
def test_a_flood_takes_little_memory(piece: bytes) -> None:
    """Less than ten times what the longest answer may be."""
    talk, _ = session([piece * (200_000 // len(piece))], without_end=True)
    tracemalloc.start()
    with pytest.raises(HostError):
        asyncio.run(talk.order("facts"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * REPLY_BYTES
