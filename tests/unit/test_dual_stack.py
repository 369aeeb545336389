"""A host whose name has several addresses, the first of which swallows packets, as IPv6 does that is half set up."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from mesh.config.connection import Connection
from mesh.remote.commands import run_command
from mesh.remote.concurrency import run
from mesh.remote.new_connection import meet
from mesh.remote.reachability import check_reachability
from mesh.remote.ssh import fetch_host_key
from tests.unit.scanned import FakeHost, running_host

SWALLOWS = "127.0.0.99"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    """Return a host that is called bernard, at one address of two."""
    with ExitStack() as stack:
        running = stack.enter_context(running_host())
        full = stack.enter_context(socket.socket())
        full.bind((SWALLOWS, running.port))
        full.listen(0)
        # Once as many wait as may, the kernel drops who wants to be next.
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((SWALLOWS, running.port))
        look_up = socket.getaddrinfo

        def two(name: Any, *rest: Any, **named: Any) -> list[Any]:
            if name != "bernard.example.org":
                return look_up(name, *rest, **named)
            return [found for address in (SWALLOWS, "127.0.0.1") for found in look_up(address, *rest, **named)]

        monkeypatch.setattr(socket, "getaddrinfo", two)
        yield running


def way(host: FakeHost) -> Connection:
    """Return the connection to it."""
    return {
        "address": "bernard.example.org", "port": host.port, "user": "root", "sudo": False,
        "hostKey": host.public_key(),
    }  # fmt: skip


def test_the_address_that_answers_is_taken(host: FakeHost) -> None:
    """By everything that reaches a host: each would have waited for the first address until its time was over."""
    began = time.monotonic()
    assert run(lambda: check_reachability({"bernard": way(host)}, seconds=3)) == {}
    key = run(lambda: asyncio.wait_for(fetch_host_key("bernard", way(host)), 3))
    assert key.line == host.public_key()
    run(lambda: asyncio.wait_for(meet(way(host), None), 3))
    assert "x86_64" in run(lambda: asyncio.wait_for(run_command("bernard", way(host), "uname -m"), 5))
    assert time.monotonic() - began < 5


def test_of_addresses_that_all_fail_the_reason_is_told(host: FakeHost) -> None:
    """As the system says it."""
    nowhere: Connection = {**way(host), "address": "127.0.0.1", "port": 1}
    told = run(lambda: check_reachability({"bernard": nowhere}, seconds=3))
    assert "Connection refused" in told["bernard"]
    assert run(lambda: check_reachability({"bernard": {**way(host), "address": SWALLOWS}}, seconds=1)) == {
        "bernard": "does not greet as SSH within 1 seconds; start it"
    }
