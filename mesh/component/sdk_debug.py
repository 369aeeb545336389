"""The debug messages of the SDK: a call to the engine, and a wait for it, at each step of each resource.

They are sent whether or not `pulumi --debug` shows them: eight for each host, and a fourteenth of what a run with
nothing to do takes at 300 hosts.
"""

import pulumi.log

__all__ = ["leave_out_sdk_debug"]


def leave_out_sdk_debug() -> None:
    """Let this process send no debug messages of the SDK; it is for a program of ours, not for a library.

    Warnings, errors and what the program itself prints are sent as ever, and `pulumi --debug` shows what the engine and
    its plugins say.
    """
    pulumi.log.debug = _send_nothing


def _send_nothing(*_: object, **__: object) -> None:
    """Stand for `pulumi.log.debug`."""
