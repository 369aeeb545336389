"""What wg, ip, nft and iptables print is read alike by dash with the usual awk and by busybox, whatever stands there.

So is what stands in the records that the program keeps of a change.

The functions of the host program run as they are; only the tools are stood in for, by a file of what they print. What a
user or another program named so that it looks like an order to a shell is never run.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

PARTS = Path(__file__).parents[2] / "mesh" / "host"
SHELLS = {
    "dash": ["dash"],
    "busybox": ["busybox", "sh"],
}
pytestmark = pytest.mark.skipif(
    any(shutil.which(command[0]) is None for command in SHELLS.values()), reason="needs dash and busybox"
)
KEYS = ["B" * 43 + "=", "C" * 43 + "=", "D" * 43 + "="]
_HEADER = """
set -eu
umask 077
export LC_ALL=C
interface=testwg base=$PWD home=$PWD/testwg
fail() { printf 'fail %s\\n' "$*"; exit 1; }
say() { :; }
this_boot=this-boot
setting() { echo 0; }
first_word() { echo 0; }
planned() { echo run; }
relayed() { :; }
has_command() { :; }
is_armed() { false; }
is_up() { :; }
tell_time() { read -r uptime _ </proc/uptime; }
by_name='
	function is_name(endpoint) { return endpoint ~ /[a-z]/ && endpoint !~ /^\\[/ }
	function load(file) {}
'
"""
# By name: what prints, by what it is asked where that matters, or which record of the program it is; the parts of the
# program; and what is run there.
READERS: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "running settings": ("wg", ("wireguard/interface",), "running_settings"),
    "addresses": ("ip", ("wireguard/interface",), "list_addresses"),
    "routes": ("ip", ("wireguard/interface",), "list_routes"),
    "delta": ("wg", ("wireguard/interface",), "delta | sort"),
    "exchange": ("wg", ("wireguard/interface",), "exchange edgeworth | sed -n '1s/./&/p'"),
    "nft input": ("nft", ("net/netfilter",), "nft_others() { :; }; nft_scan input | sort"),
    "nft forward": ("nft", ("net/netfilter",), "nft_others() { echo ip/filter/INPUT; }; nft_scan forward | sort"),
    "iptables": ("iptables", ("net/netfilter",), "iptables_scan iptables"),
    "who listens at a port": ("ss", ("core/diagnose",), "listeners 51825"),
    "whether anybody does": ("ss", ("core/transaction",), "is_listened_at 51825 && echo taken"),
    "a route that is taken": ("ip", ("core/transaction",), "taken_route"),
    "pings": ("ping", ("core/diagnose",), "pinged 3 fd00::2"),
    "counters": ("wg endpoints", ("core/probe",), "probe_rules edgeworth | sort"),
    "rules": ("ip", ("net/default_route",), "exit_table=51; exit_found 4"),
    "record deadline": (
        "record deadline",
        ("core/transaction", "core/watchdog"),
        "is_armed && { is_due && echo due || echo armed; }",
    ),
    "record turns": ("record turns", ("core/rollback",), "turns 1000.50"),
    "record watchdog": (
        "record watchdog",
        ("core/recovery", "core/watchdog"),
        "is_watched && echo watched || echo alone",
    ),
    "record next/settings": ("record next/settings", ("wireguard/interface",), "setting next port"),
    "record next/relayed": ("record next/relayed", ("core/verify",), 'awk "{ print NF }" $(relayed next)'),
}
_ORDERS = st.sampled_from(
    [
        "$(touch ran)",
        "`touch ran`",
        ";touch ran",
        "|touch ran",
        "&touch ran",
        "\n touch ran",
        "'\"",
        "\\",
        "%s%n",
        "*",
        "~",
    ]
)
_TOOL_WORDS = """
(none) off 25 0 51825 1.2.3.4:51825 [fd00::1]:51825 fd00::/64 10.0.0.0/8,fd00::1/128 inet6 inet dev testwg default scope
global via table chain type filter hook input forward policy drop; accept; { } ip ip6 INPUT FORWARD -P -A -j DROP ACCEPT
--dport udp dport comment "mesh testwg" -m --comment jump counter packets log prefix # handle 7 drop reject 51: from all
lookup 1e9 -1
""".split()  # noqa: SIM905 - a list of one word a line would hide what they are
_WORDS = st.sampled_from([*KEYS, *_TOOL_WORDS, '"mesh testwg"', "9" * 400, ""])
# None that no tool prints: a form feed is a blank to one awk and none to the other.
_ANY = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]) | st.just("\t"), max_size=12)
_LINES = st.lists(st.lists(_WORDS | _ORDERS | _ANY, max_size=10).map(" ".join), max_size=10).map("\n".join)
_PEER = f"edgeworth {KEYS[1]} fd00::2 1.2.3.4:51825 25 fd00::2/128 first\n"
# What the tools really print, and the records really hold, of which a few words are others.
SAID = {
    "wg": f"{KEYS[0]}\t{KEYS[0]}\t51825\toff\n"
    f"{KEYS[1]}\t{KEYS[2]}\t1.2.3.4:51825\tfd00::2/128\t1700000000\t10\t20\t25\n",
    "wg endpoints": f"{KEYS[1]}\t1.2.3.4:51825\n{KEYS[0]}\t[fd00::1]:51825\n",
    "ip": "2: testwg    inet6 fd00::1/64 scope global \\       valid_lft forever\n"
    "51:\tfrom all lookup 51\nfd00::/64 dev testwg\nfd00::2 dev eth0\n",
    "nft": """table inet filter { # handle 1
	chain input { # handle 1
		type filter hook input priority filter; policy drop;
		udp dport 51825 accept comment "mesh testwg" # handle 4
		iifname "testwg" icmpv6 type echo-request accept comment "mesh testwg" # handle 5
		counter packets 0 bytes 0 drop # handle 6
	}
}
""",
    "ss": 'UNCONN 0 0 0.0.0.0:51825 0.0.0.0:* users:(("wireguard-go",pid=12,fd=3))\nUNCONN 0 0 [::]:51825 [::]:*\n',
    "ping": "PING fd00::2 56 data bytes\n\n--- fd00::2 ping statistics ---\n"
    "3 packets transmitted, 3 received, 0% packet loss, time 402ms\n"
    "rtt min/avg/max/mdev = 0.044/0.051/0.063/0.008 ms\n",
    "record deadline": "99999999.50 token this-boot\n",
    "record turns": "bernard\nedgeworth\n",
    "record watchdog": "1\n",
    "record next/settings": "mesh testwg\nhost bernard\nport 51825\nmtu 1420\n",
    "record next/relayed": "edgeworth fd00::2 bernard - - second\n",
    "iptables": "-P INPUT DROP\n-N ufw\n"
    '-A INPUT -p udp -m udp --dport 51825 -m comment --comment "mesh testwg" -j ACCEPT\n'
    "-A INPUT -j ufw\n-A ufw -j DROP\n",
}


@st.composite
def said(draw: st.DrawFn, tool: str) -> str:
    """Draw what a tool prints with a few words that are others, or lines of any words."""
    if draw(st.booleans()):
        return draw(_LINES)
    words = SAID[tool].split(" ")
    for _ in range(draw(st.integers(0, 4))):
        words[draw(st.integers(0, len(words) - 1))] = draw(_WORDS | _ORDERS | _ANY)
    return " ".join(words)


def read(reader: str, text: str) -> dict[str, tuple[str, str]]:
    """Return by shell what a reader makes of `text`, and what it complains of."""
    tool, parts, script = READERS[reader]
    program = "".join((PARTS / f"{part}.sh").read_text(encoding="utf-8") for part in parts)
    found = {}
    for name, shell in SHELLS.items():
        with tempfile.TemporaryDirectory() as directory:
            folder = Path(directory)
            for place in ("run", "next", "incoming"):
                (folder / "testwg" / place).mkdir(parents=True)
                (folder / "testwg" / place / "peers").write_text(_PEER)
                (folder / "testwg" / place / "preshared-key").write_text(f"{KEYS[2]}\n")
            kind, _, record = tool.partition(" ")
            (folder / "testwg" / record if kind == "record" else folder / "said").write_text(text)
            tools = folder / "tools"
            tools.mkdir()
            if name == "busybox":
                for applet in ("awk", "sort", "sed", "tr", "cat", "grep"):
                    (tools / applet).symlink_to(str(shutil.which("busybox")))
            # After the program, so that its own words for tools lead here.
            port = "case $* in *listen-port) echo 51825; return ;; esac" if reader == "counters" else ":"
            stand_in = f'{kind}() {{ {port}; cat "{folder}/said"; }}\n'
            (folder / "program").write_text(f"{_HEADER}{program}\n{stand_in}{script}\n")
            done = subprocess.run(
                [*shell, str(folder / "program")], cwd=folder, capture_output=True, timeout=30, check=False,
                env={"PATH": f"{tools}:{os.environ['PATH']}"},
            )  # fmt: skip
            assert not (folder / "ran").exists(), text
            found[name] = (done.stdout.decode().replace(directory, ""), done.stderr.decode())
    return found


@pytest.mark.parametrize("reader", READERS)
def test_what_a_tool_really_prints_is_read(reader: str) -> None:
    """Else nothing below would show anything; there is nothing to do for what runs as it is planned."""
    found = read(reader, SAID[READERS[reader][0]])
    assert found["dash"][1] == ""
    assert (found["dash"][0] == "") == (reader in {"delta", "exchange"})


@pytest.mark.parametrize("reader", READERS)
@given(data=st.data())
def test_whatever_a_tool_prints_both_shells_read_the_same_and_run_none_of_it(reader: str, data: st.DataObject) -> None:
    """Without a complaint of awk or of the shell."""
    found = read(reader, data.draw(said(READERS[reader][0])))
    assert found["dash"] == found["busybox"]
    assert found["dash"][1] == ""
