"""Traffic through a mesh while it is changed: datagrams in every direction, and TCP connections that have to last.

One thread sends and takes everything, since a socket belongs to the network namespace in which it was made. Arrival
times are the kernel's, so a busy machine does not look like a stalled tunnel.
"""

import ctypes
import select
import socket
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import permutations
from types import MappingProxyType

from tests.lab.gaps import Gaps, find_gaps
from tests.lab.hosts import Host
from tests.lab.stack import mesh_address

__all__ = ["Traffic", "Watch"]

Pair = tuple[str, str]

_PORT = 7007
# Which watch a packet belongs to, who sent it, and its number.
_PACKET = struct.Struct("!HHI")
_CLONE_NEWNET = 0x40000000
# Python has no names for these two of Linux.
_SO_TIMESTAMPNS = 35
_SO_RCVBUFFORCE = 33
_BUFFER = 4 * 2**20
# What is under way gets this long to arrive.
_PATIENCE = 1.5

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def _inside(host: Host) -> Iterator[None]:
    """Let this thread make sockets in a host's network."""
    with open("/proc/thread-self/ns/net") as here, open(f"/run/netns/{host.network.space(host.name)}") as there:
        if _libc.setns(there.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"lab: cannot enter the network of {host.name}")
        try:
            yield
        finally:
            _libc.setns(here.fileno(), _CLONE_NEWNET)


@dataclass
class Watch:
    """What happened between two moments: the gaps by direction, and which TCP connections were lost."""

    began: float
    gaps: dict[Pair, Gaps] = field(default_factory=dict)
    cut: list[Pair] = field(default_factory=list)

    def among(self, hosts: Iterable[str]) -> list[Gaps]:
        """Return the gaps of every direction among `hosts`."""
        chosen = set(hosts)
        return [gaps for pair, gaps in self.gaps.items() if set(pair) <= chosen]

    def touching(self, host: str, others: Iterable[str]) -> list[Gaps]:
        """Return the gaps of every direction between `host` and `others`."""
        pairs = {pair for other in others for pair in ((host, other), (other, host))}
        return [gaps for pair, gaps in self.gaps.items() if pair in pairs]


class _Stream:
    """One TCP connection over which both ends send a byte at every tick."""

    def __init__(self, one: Host, other: Host, interface: str) -> None:
        with _inside(other):
            listener = socket.create_server((mesh_address(other.name, interface), 0), family=socket.AF_INET6)
        with listener, _inside(one):
            listener.settimeout(30)
            first = socket.create_connection(listener.getsockname()[:2], 30)
            second, _ = listener.accept()
        self._ends = [first, second]
        self._sent = self._taken = 0
        for end in self._ends:
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.is_cut = False

    def tick(self) -> None:
        """Send a byte at both ends, and take what has come."""
        try:
            for end in self._ends:
                # What waits longer than a second or so fills the buffer, and the connection still lives.
                with suppress(BlockingIOError):
                    self._sent += end.send(b".")
                with suppress(BlockingIOError):
                    came = len(end.recv(4096))
                    self._taken += came
                    self.is_cut |= came == 0
        except OSError:
            self.is_cut = True

    @property
    def is_waiting(self) -> bool:
        """Whether more is under way than a few ticks explain."""
        return self._sent - self._taken > 40

    def close(self) -> None:
        """End the connection."""
        for end in self._ends:
            end.close()


class Traffic:
    """Datagrams among hosts, `rate` a second in each direction, and one TCP connection for each pair of `streams`."""

    def __init__(
        self,
        hosts: Sequence[Host],
        interface: str,
        rate: float,
        streams: Sequence[Pair] = (),
        *,
        directions: Iterable[Pair] | None = None,
        addresses: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Describe the traffic; hosts that are no members yet are tried in vain.

        Without `directions` these are all but those between two hosts behind NAT, which cannot meet. `addresses` are
        those of hosts that have another than the derived one.
        """
        self._hosts = list(hosts)
        nat = {host.name for host in self._hosts if host.spec.nat}
        every = (pair for pair in permutations((host.name for host in self._hosts), 2) if not set(pair) <= nat)
        self._directions = list(every if directions is None else directions)
        self._addresses = addresses
        self._interval = 1 / rate
        self._interface = interface
        self._pairs = streams
        self._streams: dict[Pair, _Stream] = {}
        self._lock = threading.Lock()
        self._round = 0
        self._sent: dict[Pair, list[float]] = defaultdict(list)
        self._arrived: dict[Pair, dict[int, float]] = defaultdict(dict)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._sockets: dict[str, socket.socket] = {}

    def __enter__(self) -> "Traffic":
        """Open everything and begin to send."""
        by_name = {host.name: host for host in self._hosts}
        for host in self._hosts:
            with _inside(host):
                opened = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
            opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            opened.setblocking(False)
            # The same port at both ends, so that a firewall which knows connections lets answers in.
            opened.bind(("::", _PORT))
            self._sockets[host.name] = opened
        for one, other in self._pairs:
            self._streams[one, other] = _Stream(by_name[one], by_name[other], self._interface)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._stop.set()
        self._thread.join()
        for opened in self._sockets.values():
            opened.close()
        for stream in self._streams.values():
            stream.close()

    @contextmanager
    def watch(self) -> Iterator[Watch]:
        """Watch the traffic during a block; the result is complete after it."""
        with self._lock:
            self._round += 1
            self._sent.clear()
            self._arrived.clear()
        watch = Watch(time.time())
        yield watch
        end = time.time()
        time.sleep(_PATIENCE)
        with self._lock:
            for pair, sent in self._sent.items():
                chosen = [when for when in sent if when <= end]
                watch.gaps[pair] = find_gaps(chosen, self._arrived[pair], time.time())
            watch.cut = [pair for pair, stream in self._streams.items() if stream.is_cut or stream.is_waiting]

    def _run(self) -> None:
        numbers = {host.name: number for number, host in enumerate(self._hosts)}
        names = list(numbers)
        targets: dict[str, list[tuple[str, str]]] = {name: [] for name in names}
        for one, other in self._directions:
            targets[one].append((other, self._addresses.get(other) or mesh_address(other, self._interface)))
        poll = select.epoll()
        for opened in self._sockets.values():
            poll.register(opened, select.EPOLLIN)
        by_file = {opened.fileno(): name for name, opened in self._sockets.items()}
        # Hosts take turns within an interval, so that there is no burst of all at once.
        due = time.monotonic()
        while not self._stop.is_set():
            for name in names:
                due += self._interval / len(names)
                while True:
                    ready = poll.poll(max(0.0, due - time.monotonic()))
                    for file, _ in ready:
                        self._take(by_file[file], names)
                    if time.monotonic() >= due:
                        break
                self._send(name, numbers[name], targets[name])
            for stream in self._streams.values():
                stream.tick()
            # A thread that was kept off the processor does not make up for it in a burst.
            due = max(due, time.monotonic() - self._interval)
        poll.close()

    def _send(self, name: str, number: int, targets: list[tuple[str, str]]) -> None:
        with self._lock:
            for other, address in targets:
                log = self._sent[name, other]
                packet = _PACKET.pack(self._round, number, len(log))
                log.append(time.time())
                # A host that is no member has no route; what it does not send is lost.
                with suppress(OSError):
                    self._sockets[name].sendto(packet, (address, _PORT))

    def _take(self, name: str, names: list[str]) -> None:
        with self._lock, suppress(BlockingIOError):
            while True:
                packet, extra, _, _ = self._sockets[name].recvmsg(64, 64)
                belongs, number, place = _PACKET.unpack(packet)
                if belongs != self._round:
                    continue
                seconds, nanoseconds = struct.unpack("@ll", extra[0][2])
                self._arrived[names[number], name].setdefault(place, seconds + nanoseconds / 1e9)
