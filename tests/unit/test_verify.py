"""What a verification tells where more than one thing is wrong at once."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from mesh.errors import HostsFailedError
from mesh.plan.pairs import Pairs
from mesh.remote.reports import Facts, PeerFacts
from mesh.rollout import proof
from tests.unit.test_proof import ADDRESSES, KEYS, ROSTER

LOST = "closed the SSH connection (gone); run it again"
SHUT = "does not answer SSH within 15 seconds; check that it runs and its address is right"


def report(name: str, port: int = 51825) -> Facts:
    """Return what a host runs as the roster says."""
    peers = {
        KEYS[other]: PeerFacts(
            "1.2.3.4:1",
            ADDRESSES[other].replace("1/64", "/64"),
            1000,
            10,
            10,
            "25" if "bernard" in (name, other) else "off",
        )
        for other in KEYS
        if other != name
    }
    return Facts(public_key=KEYS[name], port=port, mtu=1420, addresses=(ADDRESSES[name],), peers=peers)


def told(
    monkeypatch: pytest.MonkeyPatch,
    *,
    facts: Mapping[str, Facts],
    unread: Mapping[str, str] | None = None,
    shut: Mapping[str, str] | None = None,
    silent: bool = False,
) -> HostsFailedError:
    """Return what a verification fails with; where it is `silent`, bernard has no answer from phoenix."""
    pairs = Pairs(ROSTER)

    def say(host: str, turn: str) -> list[str]:
        return [
            f"{'silent' if silent and (host, peer) == ('bernard', 'phoenix') else 'well'} {peer}"
            for peer in pairs.asked(host, turn, ())
        ]

    async def each(orders: Mapping[str, Any]) -> dict[str, Any]:
        return {host: [SimpleNamespace(lines=say(host, said[-1].words[1]))] for host, said in orders.items()}

    async def check_new_connections(_: object) -> None:
        if shut:
            raise HostsFailedError(shut)

    async def collect_facts(*_: object, **__: object) -> tuple[Mapping[str, Facts], Mapping[str, str]]:
        return facts, unread or {}

    async def renew() -> None:
        pass

    monkeypatch.setattr(proof, "collect_facts", collect_facts)
    monkeypatch.setattr(proof, "_find_sources", lambda *_: asyncio.sleep(0, {}))
    rollout: Any = SimpleNamespace(pairs=pairs, roster=ROSTER, preshared_key="", interface="testwg")
    fan: Any = SimpleNamespace(
        sessions=dict.fromkeys(KEYS), absent={}, each=each, check_new_connections=check_new_connections
    )
    deadline: Any = SimpleNamespace(hosts=[], moved=lambda _: {}, renew=renew)
    with pytest.raises(HostsFailedError) as failed:
        asyncio.run(proof.verify(rollout, fan, [], deadline, 0))
    return failed.value


def test_a_silent_pair_and_a_host_that_lets_nobody_in_are_both_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second would be found by the next run only, after a rollback of all hosts."""
    error = told(monkeypatch, facts={name: report(name) for name in KEYS}, shut={"edgeworth": SHUT}, silent=True)
    first, second, *rest = str(error).splitlines()
    assert first == "testwg: not verified; every host rolls back"
    assert second.startswith("  bernard → phoenix: no answer")
    assert rest == [f"  host 'edgeworth': {SHUT}"]


def test_a_host_that_is_lost_does_not_hide_what_is_wrong_with_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the port of another one, and a third that lets nobody in."""
    facts = {"bernard": report("bernard", 1), "phoenix": report("phoenix")}
    error = told(monkeypatch, facts=facts, unread={"edgeworth": LOST}, shut={"edgeworth": SHUT, "phoenix": SHUT})
    assert error.failures == {"edgeworth": LOST, "phoenix": SHUT}
    assert error.outcome.startswith("testwg: not verified; every host rolls back\n  bernard: ")


def test_hosts_that_fail_apart_are_told_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The transaction says of these what becomes of the run."""
    facts = {name: report(name) for name in ("bernard", "phoenix")}
    error = told(monkeypatch, facts=facts, unread={"edgeworth": LOST}, shut={"phoenix": SHUT})
    assert (error.failures, error.outcome) == ({"edgeworth": LOST, "phoenix": SHUT}, "")
