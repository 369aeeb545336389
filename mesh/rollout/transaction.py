"""Change a running mesh as one transaction: stage, arm, switch, verify, hold, confirm, leave; or every host rolls back.

The order of a switch decides what is lost; docs/measurements.md has the figures. The host program says what an order
does on a host.
"""

import secrets
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from typing import Any

from mesh.errors import HostsFailedError, MeshError, UnreachableHostError
from mesh.plan.host_payload import payload
from mesh.plan.pairs import Pairs
from mesh.remote.concurrency import HOSTS_AT_ONCE, gather
from mesh.remote.orders import Order
from mesh.remote.replies import read_all, read_running, read_system
from mesh.remote.sessions import Fan, open_fan
from mesh.rollout.deadline import Deadline
from mesh.rollout.proof import verify
from mesh.rollout.request import Rollout
from mesh.rollout.rollback import recall, roll_back
from mesh.rollout.switch_plan import Running, Step, plan_switch

__all__ = ["roll_out"]

# A verified mesh waits this long for `confirm`: time to run `up` again after the operator's machine died.
_HOLD_SECONDS = 900
_INSTALL_SECONDS = 600
# Two turns of four pings of six seconds each: an old session at one end is given up after some 20 seconds.
_VERIFY_SECONDS = 50
# All are in the output `cannotMeet`.
_SHOWN_PAIRS = 5
_NAMES_SECONDS = 20  # where names have to be resolved, and peers pinged at their old endpoints first


async def roll_out(rollout: Rollout) -> tuple[dict[str, Any], dict[str, str]]:
    """Bring all hosts to the roster, verified; return what each says of its system, and why any was left out, by host.

    Raises:
        MeshError: After every host rolled back, or will by itself at its deadline; the message says which and why.
    """
    say, interface = rollout.report, rollout.interface
    connections = rollout.connections
    count = len(connections)
    say(f"{interface}: connecting to {_count(count, 'host')}")
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
            deadline = Deadline(fan, int(rollout.roster["deadline"]), changing, rollout.alive)
            systems = await _prepare(rollout, deadline, changing)
            say(f"{interface}: staging on {_count(count, 'host')}")
            running = await _stage(rollout, deadline, changing, sorted(fan.absent))
        switched: list[str] = []
        # Until when it is not known of a host whether it holds; None while none was told to.
        unsure_until: float | None = None
        with _outcome(f"{interface}: failed; every host rolls back"):
            try:
                await deadline.arm(secrets.token_hex(8))
                changed = await _switch(rollout, set(fan.sessions), running, deadline, switched)
                say(f"{interface}: verifying {_count(len(fan.sessions), 'host')}")
                await verify(rollout, fan, changed, deadline, _verify_seconds(rollout))
                unsure_until = deadline.ends
                # All that may wait or fail is done everywhere, so that all begin to hold at one moment, or none does.
                await deadline.move(_HOLD_SECONDS)
                if not rollout.alive():
                    raise MeshError(f"{interface}: pulumi is gone, nothing is confirmed; run pulumi cancel, then up")
            except BaseException as error:
                is_late = deadline.has_passed
                await _undo(rollout, fan, running, switched, unsure_until)
                if is_late and isinstance(error, HostsFailedError) and error.failures:
                    raise _late(interface, error) from None
                raise
        # No rollback is led from here on. A host that misses `confirm` rolls back when its hold ends.
        with _outcome(f"{interface}: verified, but not confirmed on all hosts; run pulumi up again"):
            await fan.everyone("confirm", rollout.digest, hosts=changing)
    for line in _roaming_pairs(rollout.pairs):
        say(f"{interface}: {line}")
    say(f"{interface}: confirmed on {_count(count, 'host')}")
    return systems, dict(fan.absent)


async def _undo(
    rollout: Rollout,
    fan: Fan,
    running: Mapping[str, Running],
    switched: Sequence[str],
    unsure_until: float | None,
) -> None:
    rollout.report(f"{rollout.interface}: rolling back all hosts")
    live = [host for host, runs in running.items() if runs.public_key]
    unheard = await roll_back(fan, rollout.pairs, switched, live, list(running))
    if unsure_until is not None:
        lost = {host: rollout.connections[host] for host in unheard}
        await recall(rollout.interface, lost, unsure_until, rollout.report)


def _late(interface: str, error: HostsFailedError) -> HostsFailedError:
    return HostsFailedError(
        error.failures,
        f"{interface}: failed, since the deadline has passed, as when this machine is suspended; every host rolls back",
    )


def _verify_seconds(rollout: Rollout) -> int:
    # A silent pair is pinged for longer than a short deadline, and the user needs to read which one it is.
    return int(rollout.roster["deadline"]) + _VERIFY_SECONDS + (_NAMES_SECONDS if rollout.pairs.has_names else 0)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _roaming_pairs(pairs: Pairs) -> Iterator[str]:
    """Say what becomes of pairs of which neither can begin; they grow with the square of the roaming hosts."""
    if relayed := pairs.relayed_pairs():
        relay = pairs.relay_between(*relayed[0])
        yield f"{_count(len(relayed), 'pair')} can meet over {relay} only, since both are roaming"
    if apart := pairs.cannot_meet():
        more = f", and {len(apart) - _SHOWN_PAIRS} more" if len(apart) > _SHOWN_PAIRS else ""
        named = ", ".join(f"{one} and {other}" for one, other in apart[:_SHOWN_PAIRS])
        remedy = "name a relay, or give hosts of one network a site and localIps"
        yield f"{_count(len(apart), 'pair')} cannot meet, since both are roaming: {named}{more}; {remedy}"


@contextmanager
def _outcome(text: str) -> Iterator[None]:
    try:
        yield
    except HostsFailedError as error:
        raise HostsFailedError(error.failures, error.outcome or text) from None


async def _prepare(rollout: Rollout, deadline: Deadline, changing: Collection[str]) -> dict[str, Any]:
    orders = {host: Order(("prepare", *rollout.pairs.tools(host))) for host in changing}
    work = {host: deadline.ask(host, order, seconds=_INSTALL_SECONDS) for host, order in orders.items()}
    systems: dict[str, Any] = read_all(await gather(work), read_system)
    wrong = {
        host: f"runs {systems[host].get('system')}, but the stack file says system: {member['system']}; correct it"
        for host, member in rollout.roster["members"].items()
        if host in systems and member["system"] and systems[host].get("system") not in (None, member["system"])
    }
    if wrong:
        raise HostsFailedError(wrong)
    return systems


async def _stage(
    rollout: Rollout, deadline: Deadline, changing: Collection[str], absent: Sequence[str]
) -> dict[str, Running]:
    """Send the plan to each host, beside the running one, and return what each runs."""

    async def stage(host: str) -> list[str]:
        text = payload(
            rollout.roster, host, rollout.preshared_key,
            mesh=rollout.mesh, roster_id=rollout.roster_id, digest=rollout.digest, adopted=host in rollout.adopted,
            pairs=rollout.pairs,
        )  # fmt: skip
        # No line of it may ever be read as an order, also by a host whose disk is full before it has read all.
        lines = "".join(f"= {line}\n" for line in text.splitlines())
        return await deadline.ask(host, Order(("stage", text.count("\n"), *absent), lines))

    # Written when its turn has come: of a thousand hosts it is much, and takes seconds.
    work = {host: stage(host) for host in changing}
    found = read_all(await gather(work, HOSTS_AT_ONCE), read_running)
    return {host: Running(*runs) for host, runs in found.items()}


async def _switch(
    rollout: Rollout, hosts: set[str], running: Mapping[str, Running], deadline: Deadline, switched: list[str]
) -> list[str]:
    """Bring all hosts to what is staged, breaking no running tunnel; return the hosts with a new key.

    A host that is about to take another key is added to `switched`, for a rollback that is led.
    """
    began = time.monotonic()
    steps = plan_switch(rollout.roster, running, hosts - set(running), rollout.pairs)
    for together in _rounds(steps):
        orders: dict[str, list[Order]] = {}
        for step in together:
            if step.says:
                rollout.report(f"{rollout.interface}: {step.says}")
            if step.order == "own":
                switched.extend(step.hosts)
            # Rounded up, since hosts count whole seconds: a session from since then is one with what was just made.
            since = (int(time.monotonic() - began) + 1,) if step.order == "again" else ()
            for host in step.hosts:
                orders.setdefault(host, []).append(Order((step.order, *since, *step.words)))
        await deadline.work(orders)
        if not together[-1].waiting:
            await deadline.renew()
    return [*switched, *(host for host, runs in running.items() if not runs.public_key)]


def _rounds(steps: Iterable[Step]) -> Iterator[list[Step]]:
    """Yield the steps whose orders hosts get at once: what one works out beforehand waits for no other host."""
    together: list[Step] = []
    for step in steps:
        if together and step.order != "ready":
            yield together
            together = []
        together.append(step)
    if together:
        yield together
