"""How fast packets come from one host to another: what both are asked, and what their answers say.

The sender fills datagrams with zeros and sends them to WireGuard's port of the other host, which is open and drops
them: inside the tunnel or outside it. So nothing listens for them, and no firewall has to let anything more in. The
receiver reads what the kernel counts of the device by which they come. Each ends by itself, whatever becomes of us.
"""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from mesh.remote.replies import forms, lines_of, read_lines, require, unreadable

__all__ = ["Arrival", "Flow", "arrival_script", "read_arrival", "read_sent", "sender_script"]

# The receiver watches from before the first datagram until queues are empty.
_BEGIN_SECONDS = 2
_DRAIN_SECONDS = 2
_SAMPLES_A_SECOND = 5
# Less than these packets, or than this part of what was sent, is other traffic of the device.
_LEAST_PACKETS = 20
_NOISE = 1000
# Of IPv6 and UDP.
_HEADERS = 48
# How much longer a message of WireGuard is than the packet in it, without the headers outside.
_MESSAGE = 32

_SENT = forms(sent=r" (\d{1,20})", broke=r" ([ -~]{1,200})")
_ARRIVED = forms(sample=r" (\d{1,12}\.\d{2}) (\d{1,20})")


@dataclass(frozen=True, slots=True)
class Flow:
    """One stream: who sends to whom, to which address and port, and packets of which MTU are in the tunnel.

    `keys` are the public keys of the two. The stream is outside the tunnel where it `is_direct`.
    """

    host: str
    peer: str
    interface: str
    address: str
    port: int
    mtu: int
    keys: tuple[str, str]
    is_direct: bool = False

    @property
    def payload(self) -> int:
        """The size of a datagram without headers: in the tunnel as large as fits, outside it as the tunnel's own."""
        return self.mtu + _MESSAGE if self.is_direct else self.mtu - _HEADERS

    @property
    def packet(self) -> int:
        """The same with its headers; those of IPv4 are 20 bytes shorter."""
        return self.payload + _HEADERS - (0 if ":" in self.address else 20)


@dataclass(frozen=True, slots=True)
class Arrival:
    """What arrived: `received` bytes, of packets with their headers, in `seconds`; `fault` says why nothing did."""

    received: int = 0
    seconds: float = 0.0
    fault: str = ""

    @property
    def bits_per_second(self) -> float | None:
        """How fast; None if nothing arrived."""
        return self.received * 8 / self.seconds if self.seconds else None


def sender_script(flow: Flow, seconds: int, most_bytes: int) -> str:
    """Return what sends, one line for `sh`: for `seconds`, and `most_bytes` at most."""
    count = max(_LEAST_PACKETS, most_bytes // flow.payload)
    target = shlex.quote(f"/dev/udp/{flow.address}/{flow.port}")
    inner = shlex.quote(f"exec dd if=/dev/zero bs={flow.payload} count={count} >{target}")
    return (
        "command -v bash >/dev/null || { echo 'no bash, which sends the datagrams' >&2; exit 1; }; "
        f"{_device(flow, flow.keys[1], 'tx_bytes')} sleep {_BEGIN_SECONDS - 1}; read -r before <$f; "
        f"said=$(LC_ALL=C timeout {seconds} bash -c {inner} 2>&1); read -r after <$f; echo sent $((after - before)); "
        "printf '%s\\n' \"$said\" | awk '/records (in|out)|copied/ || !NF { next } "
        '{ sub(/^.*: /, ""); print "broke", substr($0, 1, 200); exit }\'; true'
    )


def arrival_script(flow: Flow, seconds: int) -> str:
    """Return what counts at the receiver, one line for `sh`: the time since boot and the bytes, some times a second."""
    rounds = (_BEGIN_SECONDS + seconds + _DRAIN_SECONDS) * _SAMPLES_A_SECOND
    return (
        f"{_device(flow, flow.keys[0], 'rx_bytes')} i=0; while [ $i -lt {rounds} ]; do read -r t x </proc/uptime; "
        f"read -r b <$f; echo sample $t $b; i=$((i + 1)); sleep {1 / _SAMPLES_A_SECOND}; done"
    )


def _device(flow: Flow, key: str, counter: str) -> str:
    """Return what sets `f` to the file of a counter of the device by which the other one, of that key, is reached."""
    own = shlex.quote(flow.interface)
    find = f"d={own}"
    if flow.is_direct:
        # By the present endpoint, since one behind NAT has no other.
        find = (
            f"e=$(wg show {own} endpoints | awk -v k={key} "
            '\'$1 == k { sub(/:[0-9]+$/, "", $2); gsub(/[][]/, "", $2); print $2 }\') && '
            'd=$(ip -o route get "${e%%%*}" 2>/dev/null | '
            "awk '{ for (i = 1; i < NF; i++) if ($i == \"dev\") { print $(i + 1); exit } }')"
        )
    return (
        f'{find}; f=/sys/class/net/$d/statistics/{counter}; [ -n "$d" ] && [ -r $f ] || '
        "{ echo 'no device leads to the other one' >&2; exit 1; };"
    )


def read_sent(flow: Flow, text: str) -> tuple[int, str]:
    """Return how many bytes the sender sent, and what broke that off.

    Raises:
        HostError: If that cannot be read.
    """
    found = read_lines(flow.host, "speed", lines_of(text), _SENT)
    require(flow.host, "speed", found, {"sent"})
    return int(found["sent"][0][1]), found["broke"][0][1] if "broke" in found else ""


def read_arrival(flow: Flow, text: str, sent: int) -> Arrival:
    """Return what arrived at the receiver while the stream came, of which `sent` bytes were sent.

    Raises:
        HostError: If its answer cannot be read, or its counters go backwards.
    """
    found = read_lines(flow.peer, "speed", lines_of(text), _ARRIVED, {"sample"})
    require(flow.peer, "speed", found, {"sample"})
    samples = [(float(match[1]), int(match[2])) for match in found["sample"]]
    for (began, before), (ended, after) in pairwise(samples):
        if ended <= began or after < before:
            raise unreadable(flow.peer, "speed", "counters that go backwards")
    received, seconds = _stream(samples)
    if not seconds or received < max(_LEAST_PACKETS * flow.packet, sent / _NOISE):
        return Arrival(fault=f"nothing of what {flow.host} sent arrived at {flow.peer}; run python -m mesh doctor")
    return Arrival(received, seconds)


def _stream(samples: Iterable[tuple[float, int]]) -> tuple[int, float]:
    """Return how many bytes the stream had, and in how many seconds: without what comes before it and after it."""
    steps = [(ended - began, after - before) for (began, before), (ended, after) in pairwise(samples)]
    most = max((count / time for time, count in steps), default=0)
    busy = [number for number, (time, count) in enumerate(steps) if count and count / time >= most / 10]
    if not busy:
        return 0, 0.0
    within = steps[busy[0] : busy[-1] + 1]
    # It begins and ends somewhere within the first and the last step.
    within = within[1:-1] if len(within) > 4 else within
    return sum(count for _, count in within), sum(time for time, _ in within)
