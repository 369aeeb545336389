"""Change a running mesh as one transaction: stage, arm, switch, prove, hold, confirm, leave; or everybody goes back.

The order of a switch decides what is lost; ARCHITECTURE.md has the measurements. What an order does on a host is
written in the host program.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mesh.concurrency import Connection, gather
from mesh.deadline import Deadline
from mesh.errors import HostsFailedError, MeshError, UnreachableHostError
from mesh.facts import collect_facts
from mesh.fanout import AT_ONCE, Fan, open_fan
from mesh.pairs import Pairs
from mesh.payload import payload
from mesh.proof import find_faults
from mesh.retreat import go_back
from mesh.roster import Roster

__all__ = ["Rollout", "roll_out"]

Report = Callable[[str], None]

# A proven mesh holds on this long for the word to confirm: time to run `up` again after the operator's machine died.
_HOLD_SECONDS = 900
_INSTALL_SECONDS = 600
# Two turns of four pings of six seconds each: an old session at one end is given up after some 20 seconds.
_PROOF_SECONDS = 50
_SEEK_SECONDS = 20  # where names have to be resolved, and peers to be asked whether they still are where they were


@dataclass(frozen=True)
class Rollout:
    """What one rollout brings to the hosts in `changing`; the other members run it already and only help to prove it.

    `alive` tells whether the engine that asked for it still runs. With `skip_unreachable`, hosts that do not answer are
    left out instead of stopping it. The hosts in `adopted` bring their key, and hand over an interface that runs just
    that key, whoever made it.
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
        """How each member and its peers meet."""
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
    """Bring all hosts to the roster, proven; return what was learned of each, and why any was left out, by host.

    Raises:
        MeshError: After every host went back, or will by itself at its deadline; the message says which and why.
    """
    say, interface = rollout.report, rollout.interface
    connections = rollout.connections
    count = len(connections)
    say(f"{interface}: connecting to {_hosts(count)}")
    async with AsyncExitStack() as stack:
        with _outcome(f"{interface}: nothing was changed"):
            fan = await stack.enter_async_context(
                open_fan(interface, connections, skip=UnreachableHostError if rollout.skip_unreachable else ())
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
        with _outcome(f"{interface}: failed; every host goes back"):
            try:
                await deadline.arm(secrets.token_hex(8))
                changed = await _switch(rollout, fan, running, deadline, switched)
                say(f"{interface}: proving {_hosts(len(fan.sessions))}")
                # A silent pair is asked for longer than a short deadline, and its name is what the user needs.
                seek = _SEEK_SECONDS if rollout.pairs.has_names else 0
                await deadline.move(seconds + _PROOF_SECONDS + seek)
                checks = (_prove(rollout, fan, changed, deadline), fan.check_new_connections(changing))
                # Both end before anything else is ordered, since a session takes one order at a time.
                for outcome in await asyncio.gather(*checks, return_exceptions=True):
                    if outcome is not None:
                        raise outcome
                await deadline.move(_HOLD_SECONDS, "hold")
                if not rollout.alive():
                    raise MeshError(f"{interface}: pulumi is gone, nothing is confirmed; run pulumi cancel, then up")
            except BaseException:
                say(f"{interface}: going back on all hosts")
                await go_back(fan, switched, [host for host, key in running.items() if key != "absent"], changing)
                raise
        # One way only from here on. Who misses the word goes back when its hold ends; the next `up` brings it forward.
        with _outcome(f"{interface}: proven, but not confirmed on all hosts; run pulumi up again"):
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
    replies = await gather(work)
    systems = {host: dict(line.split(" ", 1) for line in lines if " " in line) for host, lines in replies.items()}
    wrong = {
        host: f"runs {systems[host].get('system')}, but the stack file says system: {member['system']}; correct it"
        for host, member in rollout.roster["members"].items()
        if host in systems and member["system"] and systems[host].get("system") not in (None, member["system"])
    }
    if wrong:
        raise HostsFailedError(wrong)
    return systems


async def _stage(rollout: Rollout, fan: Fan, changing: Collection[str]) -> dict[str, str]:
    """Lay the plan beside the running one and return the public key that each host runs, or `absent`."""
    work, absent = {}, sorted(fan.absent)
    for host in changing:
        text = payload(
            rollout.roster, host, rollout.preshared_key,
            mesh=rollout.mesh, roster_id=rollout.roster_id, plan=rollout.digest, adopted=host in rollout.adopted,
            pairs=rollout.pairs,
        )  # fmt: skip
        work[host] = fan.sessions[host].order("stage", text.count("\n"), *absent, payload=text)
    replies = await gather(work, AT_ONCE)
    return {host: dict(line.split(" ", 1) for line in lines)["running"] for host, lines in replies.items()}


async def _switch(
    rollout: Rollout, fan: Fan, running: Mapping[str, str], deadline: Deadline, switched: list[str]
) -> list[str]:
    """Bring all hosts to what is staged, breaking no running tunnel; return the hosts with a new key.

    A host that is about to take another key is added to `switched`, for whoever has to lead back.
    """
    members, began = rollout.roster["members"], time.monotonic()
    live = sorted(host for host, key in running.items() if key != "absent")
    others = sorted(set(fan.sessions) - set(running))
    changed = [host for host in live if running[host] != members[host]["publicKey"]]
    if live:
        await fan.everyone("preshared", hosts=live)
    for number, host in enumerate(changed, 1):
        rollout.report(f"{rollout.interface}: switching key {number} of {len(changed)} ({host})")
        peers = [other for other in live if other != host]
        await fan.everyone("ready", host, hosts=peers)
        # Its own key first: peers still reach it, and what it sends waits for them. The other way round loses packets.
        switched.append(host)
        await fan.everyone("own", hosts=[host])
        await fan.everyone("peer", host, hosts=peers)
        await deadline.renew()
    if live:
        await fan.everyone("ready", hosts=live)
        moved = [host for host, lines in (await fan.everyone("finish", hosts=live)).items() if "moved" in lines]
        await deadline.renew()
        # Who lost a peer has lost its session; and NAT lets nothing in from a port that nobody behind it has sent to.
        if unheard := live if others else [host for host in moved if not members[host]["endpoint"]]:
            await fan.everyone("wake", hosts=unheard)
    new = [host for host in running if host not in live]
    # Who can be reached comes up before who reaches out, so that no first handshake is missed and waits 5 seconds.
    for group in ([h for h in new if members[h]["endpoint"]], [h for h in new if not members[h]["endpoint"]]):
        if group:
            rollout.report(f"{rollout.interface}: bringing up {_hosts(len(group))}")
            await fan.everyone("finish", hosts=group)
            await deadline.renew()
    if new and (live or others):
        # Rounded up, since hosts count whole seconds: a session from since then is one with what was just made.
        seconds = int(time.monotonic() - began) + 1
        await fan.everyone("again", seconds, *new, hosts=[*live, *others])
    return [*changed, *new]


async def _prove(rollout: Rollout, fan: Fan, changed: list[str], deadline: Deadline) -> None:
    silent: list[tuple[str, str]] = []
    unresolved: list[tuple[str, str]] = []
    reasons: dict[tuple[str, str], str] = {}
    narrow: dict[tuple[str, str], int] = {}
    for turn in ("first", "second"):
        for host, lines in (await fan.everyone("prove", turn, *sorted(fan.absent))).items():
            for line in lines:
                match line.split():
                    case ["silent", peer, "unresolved", *_]:
                        unresolved.append((host, peer))
                    case ["silent", peer, why]:
                        reasons[host, peer] = why
                    case ["silent", peer]:
                        silent.append((host, peer))
                    case ["narrow", peer, size]:
                        narrow[host, peer] = int(size)
                    case _:
                        pass
        await deadline.renew()
    facts, failures = await collect_facts(fan, rollout.roster, rollout.preshared_key)
    if failures:
        raise HostsFailedError(failures)
    # Aside, since a million pairs take seconds, in which new connections would have no answer.
    faults = await asyncio.to_thread(find_faults, rollout.roster, facts, silent, changed, narrow, unresolved, reasons)
    if faults:
        shown = "\n  ".join(faults[:20]) + (f"\n  and {len(faults) - 20} more" if len(faults) > 20 else "")
        raise MeshError(f"{rollout.interface}: not proven; every host goes back\n  {shown}")
