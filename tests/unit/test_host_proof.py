"""What a host says of a peer that answers no ping, and what it knows of its own part in that."""

import pytest

from tests.host_program import PARTS, HostProgram

PARTS_OF_PROOF = "".join((PARTS / f"{part}.sh").read_text() for part in ("interface", "proof"))
KEY, OTHER = "K" * 43 + "=", "O" * 43 + "="
PLAN = f"""
{PARTS_OF_PROOF}
is_armed() {{ return 1; }}
mkdir -p "$home/run"
printf 'mtu 1420\\n' >"$home/run/settings"
printf '1e1 {KEY} fd00::1 - off fd00::/64 first\\n10 {OTHER} fd00:1::1 - off fd00:1::/64 second\\n' >"$home/run/peers"
printf 'dora - fd00:2::1 10 - - first\\n' >"$home/run/relayed"
"""


def peers(host: HostProgram, *, grows: int = 0, says: str = "", status: int = 1) -> None:
    """Let each ping end with what it `says` and let so many bytes come from the peer with each."""
    count = host.directory / "received"
    count.write_text("1000\n")
    host.stub(
        "ping", f'echo $(($(cat {count}) + {grows})) >{count}; [ -z "{says}" ] || echo "{says}" >&2; exit {status}'
    )
    host.stub("wg", f"[ \"$3\" != transfer ] || printf '%s\\t%s\\t1\\n' {KEY} $(cat {count}) {OTHER} 9")


@pytest.mark.parametrize(
    ("grows", "says", "reply"),
    [
        (0, "", "silent 1e1"),
        # What WireGuard itself says, a handshake or a keepalive, is no answer.
        (148, "", "silent 1e1"),
        (1312, "", "silent 1e1 unheard"),
        (1312 + 92, "", "silent 1e1 unheard"),
        (50000, "", "silent 1e1 unclear"),
        (0, "ping: sendmsg: Operation not permitted", "silent 1e1 unsent"),
        (0, "ping: sendto: Operation not permitted", "silent 1e1 unsent"),
        (0, "ping: socket: Operation not permitted", "silent 1e1"),
    ],
)
def test_a_silent_peer_is_told_with_what_this_host_knows(host: HostProgram, grows: int, says: str, reply: str) -> None:
    """Only what is known: the system's own refusal, and answers that came in and were heard by nobody."""
    peers(host, grows=grows, says=says)
    assert host.run(f"{PLAN} exec 3>&1; prove_peer 1e1 fd00::1 1420 >/dev/null").stdout == f"{reply}\n"


def test_a_host_that_is_reached_over_another_has_no_key_to_ask_about(host: HostProgram) -> None:
    """Its packets come from the relay, with those of others."""
    peers(host, grows=1312)
    ended = host.run(f"{PLAN} exec 3>&1; prove_peer dora fd00:2::1 1420 >/dev/null")
    assert (ended.stdout, ended.stderr) == ("silent dora\n", "")


def test_a_peer_that_answers_is_not_told(host: HostProgram) -> None:
    """Nor are peers whose pair the other one opens."""
    peers(host, status=0)
    host.stub("getent")
    ended = host.run(f"{PLAN} order_prove first; order_prove second")
    assert ended.stdout == ""
    assert sorted({call.split()[-1] for call in host.calls() if call.startswith("ping")}) == [
        *["fd00:1::1", "fd00:2::1", "fd00::1"]
    ]


def test_a_host_without_ping_says_so(host: HostProgram) -> None:
    """A silence would be blamed on ports and paths."""
    assert "there is no ping on this host any more" in host.run(f"{PLAN} order_prove first", fails=True).stderr
