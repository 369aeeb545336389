"""How what hosts are to run is brought to many of them."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from mesh.remote.concurrency import HOSTS_AT_ONCE
from mesh.rollout import transaction


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
