"""How what hosts are to run is brought to very many of them, and how what they say of it is read."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from mesh.remote.concurrency import HOSTS_AT_ONCE
from mesh.remote.orders import Reply
from mesh.rollout import proof, transaction


def test_what_a_host_is_sent_is_written_when_its_turn_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand hosts it is more than a hundred MB, and ten seconds in which no other host would be talked to."""
    hosts = [f"h{number}" for number in range(3 * HOSTS_AT_ONCE)]
    written: list[str] = []
    most = 0

    def write(_roster: Any, host: str, *_: object, **__: object) -> str:
        written.append(host)
        return "a line\n"

    async def ask(_host: str, order: Any) -> list[str]:
        nonlocal most
        most = max(most, len(written))
        assert order.payload == "= a line\n"
        await asyncio.sleep(0.01)
        written.pop()
        return ["running absent", "confirmed d1"]

    monkeypatch.setattr(transaction, "payload", write)
    rollout: Any = SimpleNamespace(
        roster={}, preshared_key="", mesh="", roster_id="", digest="", adopted=frozenset(), pairs=None
    )
    deadline: Any = SimpleNamespace(ask=ask)
    running = asyncio.run(transaction._stage(rollout, deadline, hosts, []))  # noqa: SLF001 - a step of its own
    assert running.keys() == set(hosts)
    assert most <= HOSTS_AT_ONCE


def test_while_answers_of_a_million_pairs_are_read_new_connections_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That takes seconds, and a host that got no answer meanwhile would be told as locked out."""
    readers: set[int] = set()

    def read(*_: object) -> dict[str, str | int]:
        readers.add(threading.get_ident())
        return {}

    async def each(orders: Any) -> Any:
        return {host: [Reply([], 0, 0)] for host in orders}

    async def collect(*_: object, **__: object) -> Any:
        return {}, {}

    async def renew() -> None:
        pass

    monkeypatch.setattr(proof, "read_proof", read)
    monkeypatch.setattr(proof, "collect_facts", collect)
    rollout: Any = SimpleNamespace(
        roster={"members": {}}, preshared_key="", pairs=SimpleNamespace(asked=lambda *_: frozenset())
    )
    fan: Any = SimpleNamespace(absent={}, sessions={"bernard": None}, each=each)
    deadline: Any = SimpleNamespace(moved=lambda _: {}, hosts=[], renew=renew)
    asyncio.run(proof._prove(rollout, fan, [], deadline, 60))  # noqa: SLF001 - a step of its own
    assert readers
    assert threading.get_ident() not in readers
