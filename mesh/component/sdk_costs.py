"""What the SDK does in every run that costs more with each host, and that a program of ours can do without."""

import asyncio
import gc

import pulumi.log

__all__ = ["spare_sdk_costs"]


def spare_sdk_costs() -> None:
    """Let this process run faster; it is for a program of ours, not for a library, and called once in it.

    Warnings, errors and what the program itself prints are sent as ever, and `pulumi --debug` shows what the engine and
    its plugins say.
    """
    # Each is a call to the engine and a wait for it, whether or not `pulumi --debug` shows it: eight for each host.
    pulumi.log.debug = _send_nothing
    # It looks again and again at what stays to the end of a short process: resources and their outputs.
    gc.disable()
    # After a program that never waited, the SDK finds no registration, since none has begun. It then waits for all
    # outputs at once, and for all that are left whenever one is there, which costs their number squared.
    if hasattr(pulumi, "run"):
        pulumi.run(_let_registrations_begin)


def _send_nothing(*_: object, **__: object) -> None:
    """Stand for `pulumi.log.debug`."""


async def _let_registrations_begin() -> None:
    await asyncio.sleep(0)
