"""Prove that a mesh runs: each pair answers, kernels run the plan, and hosts can be reached by a new connection.

`verification` says what the answers mean.
"""

import asyncio
from collections.abc import Collection, Iterable
from contextlib import suppress
from functools import partial

from mesh.errors import HostError, HostsFailedError, join_failures
from mesh.plan.pairs import Pairs
from mesh.remote.orders import Order
from mesh.remote.replies import read_all, read_proof, read_source
from mesh.remote.sessions import Fan
from mesh.rollout.deadline import Deadline
from mesh.rollout.facts import collect_facts
from mesh.rollout.request import Rollout
from mesh.rollout.verification import find_faults

__all__ = ["verify"]

# How many faults an error names.
_SHOWN = 20


async def verify(rollout: Rollout, fan: Fan, changed: list[str], deadline: Deadline, seconds: int) -> None:
    """See that the mesh runs and that every host can be reached by a new connection.

    Args:
        rollout: What is rolled out.
        fan: The sessions, also of hosts that do not change.
        changed: The hosts whose key was just switched, or that came up.
        deadline: That of the hosts that change. As they say what they run, these do all of a confirmation that may
            wait or fail.
        seconds: What it is moved to, together with the first pings.

    Raises:
        HostsFailedError: If a pair does not answer, a kernel runs something else, or a host cannot be reached.
    """
    checks = (_prove(rollout, fan, changed, deadline, seconds), fan.check_new_connections(deadline.hosts))
    # Both end before anything else is ordered, since a session takes one order at a time.
    failed: list[HostsFailedError] = []
    for outcome in await asyncio.gather(*checks, return_exceptions=True):
        if isinstance(outcome, HostsFailedError):
            failed.append(outcome)
        elif outcome is not None:
            raise outcome
    if failed:
        raise join_failures(failed)


def _read_proof(pairs: Pairs, turn: str, absent: Collection[str], host: str, lines: list[str]) -> dict[str, str | int]:
    return read_proof(host, lines, pairs.asked(host, turn, absent))


async def _prove(rollout: Rollout, fan: Fan, changed: list[str], deadline: Deadline, seconds: int) -> None:
    silent: list[tuple[str, str]] = []
    unresolved: list[tuple[str, str]] = []
    reasons: dict[tuple[str, str], str] = {}
    narrow: dict[tuple[str, str], int] = {}
    for turn in ("first", "second"):
        read = partial(_read_proof, rollout.pairs, turn, fan.absent)
        prove = Order(("prove", turn, *sorted(fan.absent)))
        moved = deadline.moved(seconds) if turn == "first" else {}
        replies = await fan.each({host: [*([moved[host]] if host in moved else ()), prove] for host in fan.sessions})
        lines = {host: each[-1].lines for host, each in replies.items()}
        # In a thread, since a million pairs take seconds, in which new connections would get no answer.
        for host, said in (await asyncio.to_thread(read_all, lines, read)).items():
            for peer, result in said.items():
                if isinstance(result, int):
                    narrow[host, peer] = result
                elif result == "unresolved":
                    unresolved.append((host, peer))
                elif result == "silent":
                    silent.append((host, peer))
                elif result != "well":
                    reasons[host, peer] = result
        await deadline.renew()
    facts, failures = await collect_facts(fan, rollout.roster, rollout.preshared_key, stores=deadline.hosts)
    sources = await _find_sources(fan, silent)
    # For the same reason.
    faults = await asyncio.to_thread(
        find_faults, rollout.roster, facts, silent, changed, narrow, unresolved, sources, reasons
    )
    if faults:
        more = f"\n  and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        shown = "\n  ".join(map(str, faults[:_SHOWN])) + more
        raise HostsFailedError(failures, f"{rollout.interface}: not verified; every host rolls back\n  {shown}")
    if failures:
        raise HostsFailedError(failures)


async def _find_sources(fan: Fan, silent: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return for silent pairs from which address the second host answers the first, where it tells.

    Only for those that are shown, since a mesh may have a million pairs, and its hosts wait with a deadline.
    """
    found: dict[tuple[str, str], str] = {}

    async def ask(peer: str, hosts: list[str]) -> None:
        # What it does not tell hides nothing that is known.
        with suppress(HostError):
            replies = await fan.sessions[peer].orders([Order(("source", host)) for host in hosts])
            found.update(
                {(host, peer): read_source(peer, reply.lines) for host, reply in zip(hosts, replies, strict=True)}
            )

    asked: dict[str, list[str]] = {}
    for host, peer in sorted(silent)[:_SHOWN]:
        if peer in fan.sessions:
            asked.setdefault(peer, []).append(host)
    await asyncio.gather(*(ask(peer, hosts) for peer, hosts in asked.items()))
    return found
