"""What pings lose while a mesh is changed: 20 a second in every direction, sent by the hosts themselves."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from tests.lab.hosts import Host
from tests.lab.stack import Stack, wait_until

__all__ = ["Loss", "pinging"]

_ECHO = re.compile(r"^\[(\d+\.\d+)\] \d+ bytes from .* icmp_seq=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Loss:
    """What one direction lost: packets, and the longest time between two answers in seconds."""

    sent: int
    lost: int
    gap: float


@contextmanager
def pinging(
    stack: Stack,
    interface: str,
    hosts: Sequence[str],
    each: dict[tuple[str, str], Loss],
    addresses: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[None]:
    """Ping 20 times a second in every direction among `hosts`, and put what was lost into `each` at the end.

    `addresses` are those of hosts to be asked by another than their IPv6 address.
    """
    pairs = [pair for pair in stack.pairs(interface) if set(pair) <= set(hosts)]
    for one in hosts:
        # To files, since a pipe that nobody reads would stop ping.
        script = "rm -rf /run/pings; mkdir /run/pings; " + "".join(
            f"setsid ping -n -D -i 0.05 {addresses.get(other) or stack.address(other, interface)} "
            f">/run/pings/{other} 2>&1 & "
            f"echo $! >>/run/pings/pids; "
            for name, other in pairs
            if name == one
        )
        stack.lab.hosts[one].run(script + "true")
    for one, other in pairs:
        _wait_for_answer(stack.lab.hosts[one], other, 0)
    try:
        yield
        mark = time.time()
        for one, other in pairs:
            _wait_for_answer(stack.lab.hosts[one], other, mark)
    finally:
        for one in hosts:
            stack.lab.hosts[one].run("xargs kill -INT </run/pings/pids", check=False)
        for one, other in pairs:
            each[one, other] = _loss(stack.lab.hosts[one].run(f"cat /run/pings/{other}"))


def _wait_for_answer(host: Host, other: str, after: float) -> None:
    def answered() -> bool:
        found = _ECHO.findall(host.run(f"tail -n 3 /run/pings/{other}"))
        return any(float(when) > after for when, _ in found)

    wait_until(answered, 40)


def _loss(text: str) -> Loss:
    answers = [(float(when), int(number)) for when, number in _ECHO.findall(text)]
    numbers = {number for _, number in answers}
    times = sorted(when for when, _ in answers)
    gap = max((later - earlier for earlier, later in pairwise(times)), default=0.0)
    return Loss(max(numbers), max(numbers) - len(numbers) - (min(numbers) - 1), gap)
