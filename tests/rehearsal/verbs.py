"""The verbs of a rehearsal, named and worded as pulumi's."""

import asyncio
import json
import logging
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import run_in_stack, set_all_config, set_mocks
from pulumi.runtime.settings import set_root_resource

from mesh.cli.stack_file import StackFile
from mesh.errors import MeshError
from mesh.remote.orders import Order, Reply
from mesh.remote.sessions import Fan
from tests.rehearsal.monitor import Monitor, StoppedError
from tests.rehearsal.providers import provider_for
from tests.rehearsal.state import State

__all__ = ["TELLS_ORDERS", "WAITS_BEFORE", "end", "rehearse"]

# In the environment, it lets a run print each order before hosts get it, so that a test can strike there.
TELLS_ORDERS = "MESH_REHEARSAL_TELLS_ORDERS"
# The same, and the order that this names is given some seconds later: time to strike just before it.
WAITS_BEFORE = "MESH_REHEARSAL_WAITS_BEFORE"
_WAIT_SECONDS = 5

_NOT_AS_EXPECTED = 7
_FAILED = 255
# What is about a person at a terminal changes nothing here.
_IDLE = {"--yes", "--skip-preview", "--diff"}


def rehearse(verb: str, options: Sequence[str], file: Path, state: State, program: Path) -> int:
    """Run a verb on the stack file and return pulumi's exit code: 0, 7 after `--expect-no-changes`, or 255.

    Raises:
        NotImplementedError: If an option needs the engine.
    """
    if unknown := set(options) - _IDLE - {"--refresh", "--expect-no-changes"}:
        raise NotImplementedError(f"rehearsal: {verb} {' '.join(sorted(unknown))} needs the engine: engine_stack")
    if os.environ.get(TELLS_ORDERS) or os.environ.get(WAITS_BEFORE):
        _tell_orders(os.environ.get(WAITS_BEFORE, ""))
    config = {name: _text(value) for name, value in StackFile(file).content["config"].items()}
    monitor = Monitor(state, config)
    try:
        if "--refresh" in options or verb == "refresh":
            _refresh(state, config, keep=verb != "preview")
            monitor = Monitor(state, config)
        if verb in {"up", "preview"}:
            asyncio.run(_run(program, config, monitor, preview=verb == "preview"))
        if verb != "refresh":
            _delete_what_is_left(monitor, state, config, preview=verb == "preview")
    except (MeshError, pulumi.RunError) as error:
        monitor.failures.append(str(error))
    except StoppedError:
        pass
    for failure in monitor.failures:
        sys.stderr.write(f"error: {failure}\n")
    counts = ", ".join(f"{count} {action}" for action, count in sorted(monitor.done.items()))
    sys.stderr.write(f"rehearsal: {counts or 'no resources'}\n")
    if monitor.failures:
        return _FAILED
    if "--expect-no-changes" in options and set(monitor.done) - {"same"}:
        sys.stderr.write("error: no changes were expected but changes were proposed\n")
        return _NOT_AS_EXPECTED
    return 0


def _tell_orders(late: str) -> None:
    give = Fan.each

    async def tell(fan: Fan, orders: Mapping[str, Sequence[Order]], **options: Any) -> dict[str, list[Reply]]:
        for words in dict.fromkeys(order.words for each in orders.values() for order in each):
            hosts = (host for host, each in orders.items() if any(order.words == words for order in each))
            print("order:", *words, *hosts, file=sys.stderr, flush=True)  # noqa: T201
            if words[0] == late:
                await asyncio.sleep(_WAIT_SECONDS)
        return await give(fan, orders, **options)

    setattr(Fan, "each", tell)  # noqa: B010 - a method of another class


def _text(value: Any) -> str:
    """Return a value of the stack file as the engine hands it over; what is secret is in clear here."""
    if isinstance(value, Mapping) and set(value) == {"secure"}:
        return str(value["secure"])
    return value if isinstance(value, str) else json.dumps(value)


async def _run(program: Path, config: dict[str, str], monitor: Monitor, *, preview: bool) -> None:
    logger = logging.getLogger("rehearsal")
    logger.setLevel(logging.INFO)
    logger.handlers = [logging.StreamHandler()]
    set_all_config(config, ["mesh:adopted"])
    set_mocks(monitor.mocks, "mesh", "lab", preview, logger, monitor, "organization")
    # The stack that it made has its outputs before the program could give it any.
    set_root_resource(None)  # type: ignore[arg-type]

    def run() -> None:
        runpy.run_path(str(program), run_name="__main__")

    # Tasks that wait for what has failed would each repeat the failure, with a trace.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    try:
        await run_in_stack(run)
    finally:
        await asyncio.to_thread(monitor.wait)


def _refresh(state: State, config: dict[str, str], *, keep: bool) -> None:
    entries = list(state.entries.values())
    with ThreadPoolExecutor(4) as pool:
        seen = pool.map(lambda entry: provider_for(entry.type, entry.outputs, config).read(entry), entries)
        for entry, outputs in zip(entries, seen, strict=True):
            entry.outputs = outputs
    if keep:
        state.save()


def _delete_what_is_left(monitor: Monitor, state: State, config: dict[str, str], *, preview: bool) -> None:
    for entry in monitor.left:
        with monitor.tells("delete", entry.name):
            if preview:
                continue
            provider_for(entry.type, entry.outputs, config).delete(entry)
            del state.entries[entry.urn]
            state.save()
    if not preview:
        state.outputs = monitor.outputs
        state.save()


def end(code: int) -> None:
    """End this process, whatever of the SDK still waits."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
