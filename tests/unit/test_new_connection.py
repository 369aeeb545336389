"""How often a host sees a new connection that does not log in."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import asyncssh
import pytest

from mesh.config.connection import Connection
from mesh.remote.new_connection import EVERY_SECONDS, meet
from tests.sshd import Sshd, find_sshd, make_key, run_sshd

pytestmark = pytest.mark.skipif(find_sshd() is None, reason="there is no sshd on this machine")


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    """Return an sshd that logs each connection."""
    with run_sshd(tmp_path, "") as running:
        yield running


def way(sshd: Sshd, host_key: str = "") -> Connection:
    """Return the connection to it."""
    return {
        "address": "127.0.0.1", "port": sshd.port, "user": "root", "sudo": False, "hostKey": host_key or sshd.host_key,
    }  # fmt: skip


def count(sshd: Sshd) -> int:
    """Return how many connections it has seen."""
    return sshd.log.count("Connection from")


def test_rollouts_that_ask_at_once_share_a_connection(sshd: Sshd) -> None:
    """Each has an event loop in a thread of its own. To who asks later, a connection that has begun shows nothing."""

    async def ask() -> None:
        await meet(way(sshd), None)

    began = time.monotonic()
    with ThreadPoolExecutor(24) as pool:
        list(pool.map(lambda _: asyncio.run(ask()), range(24)))
    assert 1 <= count(sshd) <= 2 + (time.monotonic() - began) / EVERY_SECONDS
    before = count(sshd)
    asyncio.run(ask())
    assert count(sshd) == before + 1


def test_each_of_them_learns_of_another_host_key(sshd: Sshd, tmp_path: Path) -> None:
    """None is told that all is well."""
    other = " ".join(make_key(tmp_path / "other").with_suffix(".pub").read_text().split()[:2])

    async def ask() -> list[BaseException | None]:
        return await asyncio.gather(*(meet(way(sshd, other), None) for _ in range(5)), return_exceptions=True)

    assert all(isinstance(outcome, asyncssh.HostKeyNotVerifiable) for outcome in asyncio.run(ask()))


def test_who_waits_for_a_rollout_that_ends_begins_the_connection_itself(sshd: Sshd) -> None:
    """The end of one rollout is not the end of another."""

    async def ask() -> None:
        await meet(way(sshd), None)
        first, second = (asyncio.create_task(meet(way(sshd), None)) for _ in range(2))
        await asyncio.sleep(0.1)
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first
        await second

    asyncio.run(ask())
    assert count(sshd) == 2


def test_who_waits_for_a_rollout_that_ends_at_the_same_moment_ends_too(sshd: Sshd) -> None:
    """Both have the same time for it, and of a host that is silent by now there would be no end."""

    async def ask() -> bool:
        await meet(way(sshd), None)
        first, second = (asyncio.create_task(meet(way(sshd), None)) for _ in range(2))
        await asyncio.sleep(0.1)
        first.cancel()
        second.cancel()
        await asyncio.wait({first, second}, timeout=5)
        return second.cancelled()

    assert asyncio.run(ask())
    assert count(sshd) == 1
