"""Change a running mesh as one transaction: stage, arm, switch, verify, hold, confirm, leave; or every host rolls back.

The order of a switch decides what is lost; docs/measurements.md has the figures. The host program says what an order
does on a host.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from mesh.config.connection import Connection
from mesh.errors import HostsFailedError, MeshError, UnreachableHostError
from mesh.plan.host_payload import payload
from mesh.plan.pairs import Pairs
from mesh.plan.roster import Roster
from mesh.remote.concurrency import HOSTS_AT_ONCE, gather
from mesh.remote.replies import read_all, read_proof, read_running, read_source, read_system
from mesh.remote.sessions import Fan, open_fan
from mesh.rollout.deadline import Deadline
from mesh.rollout.facts import collect_facts
from mesh.rollout.rollback import roll_back
from mesh.rollout.switch_plan import Running, plan_switch
from mesh.rollout.verification import find_faults

__all__ = ["Rollout", "roll_out"]

Report = Callable[[str], None]

# A verified mesh waits this long for `confirm`: time to run `up` again after the operator's machine died.
_HOLD_SECONDS = 900
_INSTALL_SECONDS = 600
# Two turns of four pings of six seconds each: an old session at one end is given up after some 20 seconds.
_VERIFY_SECONDS = 50
_NAMES_SECONDS = 20  # where names have to be resolved, and peers pinged at their old endpoints first


@dataclass(frozen=True)
class Rollout:
    """What one rollout brings to the hosts in `changing`; the other members run it already and only help to verify it.

    `alive` tells whether the engine that asked for it still runs. With `skip_unreachable`, hosts that do not answer are
    left out instead of stopping it. The hosts in `adopted` bring their key, and let an interface that runs that very
    key be taken over, whoever made it.
    """

    roster: Roster
    roster_id: str
    mesh: str
    digest: str
    preshared_key: str = field(repr=False)
    skip_unreachable: bool
    report: Report
    alive: Callable[[], bool]
    changing: Collection[str]
    adopted: frozenset[str] = frozenset()

    @cached_property
    def pairs(self) -> Pairs:
        """How each member reaches its peers."""
        return Pairs(self.roster)

    @property
    def interface(self) -> str:
        """The name of the interface."""
        return str(self.roster["interface"])

    @property
    def connections(self) -> dict[str, Connection]:
        """How SSH reaches each member."""
        return {host: member["ssh"] for host, member in self.roster["members"].items()}


async def roll_out(rollout: Rollout) -> tuple[dict[str, Any], dict[str, str]]:
    """Bring all hosts to the roster, verified; return what each says of its system, and why any was left out, by host.

    Raises:
        MeshError: After every host rolled back, or will by itself at its deadline; the message says which and why.
    """
    say, interface = rollout.report, rollout.interface
    connections = rollout.connections
    count = len(connections)
    say(f"{interface}: connecting to {_hosts(count)}")
    async with AsyncExitStack() as stack:
        with _outcome(f"{interface}: nothing was changed"):
            fan = await stack.enter_async_context(
                open_fan(
                    interface,
                    connections,
                    skip=UnreachableHostError if rollout.skip_unreachable else (),
                    post_quantum=bool(rollout.roster.get("postQuantum")),
                )
            )
            for host, reason in sorted(fan.absent.items()):
                say(f"{interface}: {host} is left out and gets its change when it is back: {reason}")
            changing = sorted(host for host in fan.sessions if host in rollout.changing)
            count = len(changing)
            systems = await _prepare(rollout, fan, changing)
            say(f"{interface}: staging on {_hosts(count)}")
            running = await _stage(rollout, fan, changing)
        seconds = int(rollout.roster["deadline"])
        deadline = Deadline(fan, seconds, changing)
        switched: list[str] = []
        with _outcome(f"{interface}: failed; every host rolls back"):
            try:
                await deadline.arm(secrets.token_hex(8))
                changed = await _switch(rollout, fan, running, deadline, switched)
                say(f"{interface}: verifying {_hosts(len(fan.sessions))}")
                # A silent pair is pinged for longer than a short deadline, and the user needs to read which one it is.
                resolving = _NAMES_SECONDS if rollout.pairs.has_names else 0
                await deadline.move(seconds + _VERIFY_SECONDS + resolving)
                await _verify(rollout, fan, changed, changing, deadline)
                # First all that may wait or fail, on every host, so that all begin to hold at one moment, or none does.
                await fan.everyone("store", hosts=changing)
                await deadline.move(_HOLD_SECONDS)
                if not rollout.alive():
                    raise MeshError(f"{interface}: pulumi is gone, nothing is confirmed; run pulumi cancel, then up")
            except BaseException:
                say(f"{interface}: rolling back all hosts")
                await roll_back(
                    fan, rollout.pairs, switched, [host for host, runs in running.items() if runs.public_key], changing
                )
                raise
        # No rollback is led from here on. A host that misses `confirm` rolls back when its hold ends.
        with _outcome(f"{interface}: verified, but not confirmed on all hosts; run pulumi up again"):
            await fan.everyone("confirm", rollout.digest, hosts=changing)
    pairs = rollout.pairs
    if relayed := pairs.relayed():
        say(f"{interface}: {len(relayed)} pairs of roaming hosts talk over {rollout.roster['relay']}")
    for one, other in pairs.cannot_meet():
        say(f"{interface}: {one} and {other} are both roaming and cannot meet")
    say(f"{interface}: confirmed on {_hosts(count)}")
    return systems, dict(fan.absent)


def _hosts(count: int) -> str:
    return f"{count} host{'s' * (count != 1)}"


@contextmanager
def _outcome(text: str) -> Iterator[None]:
    try:
        yield
    except HostsFailedError as error:
        raise HostsFailedError(error.failures, text) from None


async def _prepare(rollout: Rollout, fan: Fan, changing: Collection[str]) -> dict[str, Any]:
    tools = rollout.pairs.tools
    work = {h: fan.sessions[h].order("prepare", *tools(h), seconds=_INSTALL_SECONDS) for h in changing}
    systems: dict[str, Any] = read_all(await gather(work), read_system)
    wrong = {
        host: f"runs {systems[host].get('system')}, but the stack file says system: {member['system']}; correct it"
        for host, member in rollout.roster["members"].items()
        if host in systems and member["system"] and systems[host].get("system") not in (None, member["system"])
    }
    if wrong:
        raise HostsFailedError(wrong)
    return systems


async def _stage(rollout: Rollout, fan: Fan, changing: Collection[str]) -> dict[str, Running]:
    """Send the plan to each host, beside the running one, and return what each runs."""
    work, absent = {}, sorted(fan.absent)
    for host in changing:
        text = payload(
            rollout.roster, host, rollout.preshared_key,
            mesh=rollout.mesh, roster_id=rollout.roster_id, plan=rollout.digest, adopted=host in rollout.adopted,
            pairs=rollout.pairs,
        )  # fmt: skip
        work[host] = fan.sessions[host].order("stage", text.count("\n"), *absent, payload=text)
    found = read_all(await gather(work, HOSTS_AT_ONCE), read_running)
    return {host: Running(*runs) for host, runs in found.items()}


async def _switch(
    rollout: Rollout, fan: Fan, running: Mapping[str, Running], deadline: Deadline, switched: list[str]
) -> list[str]:
    """Bring all hosts to what is staged, breaking no running tunnel; return the hosts with a new key.

    A host that is about to take another key is added to `switched`, for a rollback that is led.
    """
    began = time.monotonic()
    for step in plan_switch(rollout.roster, running, set(fan.sessions) - set(running), rollout.pairs):
        if step.says:
            rollout.report(f"{rollout.interface}: {step.says}")
        if step.order == "own":
            switched.extend(step.hosts)
        # Rounded up, since hosts count whole seconds: a session from since then is one with what was just made.
        since = (int(time.monotonic() - began) + 1,) if step.order == "again" else ()
        await fan.everyone(step.order, *since, *step.words, hosts=step.hosts)
        if not step.waiting:
            await deadline.renew()
    return [*switched, *(host for host, runs in running.items() if not runs.public_key)]


def _read_proof(pairs: Pairs, turn: str, absent: Collection[str], host: str, lines: list[str]) -> dict[str, str | int]:
    return read_proof(host, lines, pairs.asked(host, turn, absent))


async def _verify(rollout: Rollout, fan: Fan, changed: list[str], changing: Iterable[str], deadline: Deadline) -> None:
    checks = (_prove(rollout, fan, changed, deadline), fan.check_new_connections(changing))
    # Both end before anything else is ordered, since a session takes one order at a time.
    for outcome in await asyncio.gather(*checks, return_exceptions=True):
        if outcome is not None:
            raise outcome


async def _prove(rollout: Rollout, fan: Fan, changed: list[str], deadline: Deadline) -> None:
    silent: list[tuple[str, str]] = []
    unresolved: list[tuple[str, str]] = []
    reasons: dict[tuple[str, str], str] = {}
    narrow: dict[tuple[str, str], int] = {}
    for turn in ("first", "second"):
        read = partial(_read_proof, rollout.pairs, turn, fan.absent)
        for host, said in read_all(await fan.everyone("prove", turn, *sorted(fan.absent)), read).items():
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
    facts, failures = await collect_facts(fan, rollout.roster, rollout.preshared_key)
    if failures:
        raise HostsFailedError(failures)
    sources = await _find_sources(fan, silent)
    # In a thread, since a million pairs take seconds, in which new connections would get no answer.
    faults = await asyncio.to_thread(
        find_faults, rollout.roster, facts, silent, changed, narrow, unresolved, sources, reasons
    )
    if faults:
        shown = "\n  ".join(map(str, faults[:20])) + (f"\n  and {len(faults) - 20} more" if len(faults) > 20 else "")
        raise MeshError(f"{rollout.interface}: not verified; every host rolls back\n  {shown}")


async def _find_sources(fan: Fan, silent: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return for silent pairs from which address the second host answers the first, where it tells."""
    return {
        (host, peer): read_source(peer, await fan.sessions[peer].order("source", host))
        for host, peer in silent
        if peer in fan.sessions
    }
