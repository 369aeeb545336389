"""A deadline is one moment on every host, however late its answers come."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import HostsFailedError
from mesh.remote.orders import Order, Reply
from mesh.rollout.deadline import Deadline

# From the question to its reading of the clock, and from there to the answer, in seconds.
_ways = st.tuples(st.floats(0.0001, 2), st.floats(0.0001, 2))


class _Host:
    """A host whose clock is so far ahead of ours, and falls behind by `sleeps` before its last answer."""

    def __init__(self, ahead: float, ways: list[tuple[float, float]], sleeps: float = 0) -> None:
        self.ahead, self._ways, self._sleeps, self._now = ahead, ways, sleeps, 1000.0
        self.host = "bernard"
        self.told: list[Order] = []

    async def orders(self, orders: list[Order], **_: Any) -> list[Reply]:
        there, back = self._ways[len(self.told)]
        if len(self.told) == len(self._ways) - 1:
            self.ahead -= self._sleeps
        self.told.append(orders[-1])
        asked, self._now = self._now, self._now + there + back + 1
        uptime = f"{int((asked + there + self.ahead) * 100) / 100:.2f}"
        return [Reply([uptime], asked, asked + there + back), Reply([], asked, asked + there + back)]


async def _ahead(host: _Host, count: int) -> float:
    """Return how far a deadline that was just set takes the host to be ahead, after so many readings."""
    fan: Any = SimpleNamespace(sessions={"bernard": host})
    deadline = Deadline(fan, 30, ["bernard"])
    for number in range(count):
        await deadline.ask("bernard", Order(("stage", number)))
    before = asyncio.get_running_loop().time()
    words = deadline.moved(30)["bernard"].words
    return float(str(words[2])) - before


@given(st.floats(-900, 1e6), st.lists(_ways, min_size=1, max_size=4))
def test_each_answer_bounds_how_far_a_clock_is_ahead(ahead: float, ways: list[tuple[float, float]]) -> None:
    """So the quickest one way and the quickest one back tell it, though they may be of two answers."""
    host = _Host(ahead, ways)
    found = asyncio.run(_ahead(host, len(ways)))
    within = (min(there for there, _ in ways) + min(back for _, back in ways)) / 2
    assert abs(found - ahead) <= within + 0.03


@given(st.floats(0, 1e6), st.lists(_ways, min_size=2, max_size=4), st.floats(10, 900))
def test_a_host_that_slept_meanwhile_is_taken_at_its_last_word(
    ahead: float, ways: list[tuple[float, float]], sleeps: float
) -> None:
    """Its clock has stood still, as that of a suspended virtual machine does."""
    host = _Host(ahead + 1000, ways, sleeps)
    found = asyncio.run(_ahead(host, len(ways)))
    assert abs(found - host.ahead) <= sum(ways[-1]) / 2 + 0.03


class _Worker:
    """A host that takes so many seconds for what it is told; a deadline that it is given counts from then."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.is_free, self.host = seconds, True, ""
        self.moved = self.ended = 0
        self.is_dead = False

    async def orders(self, orders: list[Order], **_: Any) -> list[Reply]:
        assert self.is_free, "a host takes one order at a time"
        self.is_free = False
        now = asyncio.get_running_loop().time()
        if orders[0].words[0] == "renew":
            self.moved += 1
            if self.is_dead:
                self.is_free = True
                raise HostsFailedError({"dead": "ended the session"})
        elif orders[0].words[0] == "finish":
            await asyncio.sleep(self.seconds)
            self.ended += 1
        self.is_free = True
        return [Reply(["1.00"], now, now) for _ in orders]


def _work(workers: dict[str, _Worker], steps: int = 1, *, is_alive: bool = True) -> None:
    """Let all hosts carry out so many steps, with a deadline of a fifth of a second."""

    async def each(orders: dict[str, list[Order]]) -> dict[str, list[Reply]]:
        replies = await asyncio.gather(*(workers[host].orders(said) for host, said in orders.items()))
        return dict(zip(orders, replies, strict=True))

    async def run() -> None:
        fan: Any = SimpleNamespace(sessions=workers, each=each)
        deadline = Deadline(fan, 0.2, list(workers), lambda: is_alive)  # type: ignore[arg-type]
        for host in workers:
            await deadline.ask(host, Order(("stage",)))
        for _ in range(steps):
            await deadline.work({host: [Order(("finish",))] for host in workers})

    asyncio.run(run())


@given(st.lists(st.sampled_from([0.0, 0.3]), min_size=1, max_size=4), st.integers(1, 2))
@settings(max_examples=8, deadline=None)
def test_hosts_that_wait_for_a_slow_one_keep_their_time(seconds: list[float], steps: int) -> None:
    """They are told so before theirs is gone, and the slow one once it has ended, in each step."""
    workers = {f"h{number}": _Worker(each) for number, each in enumerate(seconds)}
    _work(workers, steps)
    moved = [worker.moved for worker in workers.values()]
    assert min(moved) >= steps * any(seconds)
    assert [worker.ended for worker in workers.values()] == [steps] * len(workers)


def test_a_host_that_is_lost_while_another_is_at_work_is_told_when_that_has_ended() -> None:
    """Who is at work can be led back only then."""
    workers = {"slow": _Worker(0.5), "dead": _Worker(0)}
    workers["dead"].is_dead = True
    with pytest.raises(HostsFailedError, match="ended the session"):
        _work(workers)
    assert workers["slow"].ended == 1
    assert workers["slow"].is_free


def test_hosts_get_no_more_time_where_nobody_would_confirm() -> None:
    """As when the engine was killed, and the provider goes on: they roll back at the deadline that they have."""
    workers = {"slow": _Worker(0.3), "quick": _Worker(0)}
    _work(workers, is_alive=False)
    assert [worker.moved for worker in workers.values()] == [0, 0]
