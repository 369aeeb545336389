"""The reachability check: whether every host greets over SSH, since a remote command to a silent one never ends.

It needs no SSH library, whose import would cost every `pulumi up` a tenth of a second, unless there is a bastion.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from itertools import groupby
from types import MappingProxyType
from typing import Any

from mesh.config.connection import Connection
from mesh.errors import HostsFailedError, UnreachableHostError
from mesh.remote.concurrency import HOSTS_AT_ONCE, gather
from mesh.remote.greeting import find_ssh_obstacle
from mesh.remote.ssh_errors import CLOSED_AT_ONCE, explain_unreachable

__all__ = ["FromBastionError", "check_reachability"]

# Opens a stream to an address and a port, from here or from a bastion.
_Dial = Callable[[str, int], Awaitable[tuple[Any, Any]]]

# By host.
Exchanges = Mapping[str, Collection[str]]

_SECONDS = 8


class FromBastionError(OSError):
    """A bastion opens no stream to a host, or loses it; the text is for the user to read."""


async def check_reachability(
    connections: Mapping[str, Connection], seconds: float = _SECONDS, exchanges: Exchanges = MappingProxyType({})
) -> dict[str, str]:
    """Return why each host that does not greet as an SSH server within `seconds` cannot be used; empty when all do.

    Neither can one that offers none of the key exchanges that `exchanges` has for it, or no host key of the type that
    is pinned.
    """
    direct = {host: connection for host, connection in connections.items() if not connection.get("bastion")}
    failures = await _check_from(direct, asyncio.open_connection, seconds, exchanges)
    hidden = sorted(connections.keys() - direct.keys(), key=lambda host: str(connections[host]["bastion"]))
    for _, hosts in groupby(hidden, key=lambda host: str(connections[host]["bastion"])):
        failures |= await _check_behind({host: connections[host] for host in hosts}, seconds, exchanges)
    return failures


async def _check_behind(connections: Mapping[str, Connection], seconds: float, exchanges: Exchanges) -> dict[str, str]:
    """Check hosts behind one bastion, over one connection to it."""
    from mesh.remote.ssh import open_bastion  # noqa: PLC0415

    try:
        async with open_bastion(next(iter(connections.values()))["bastion"]) as dial:
            return await _check_from(connections, dial, seconds, exchanges)
    except UnreachableHostError as error:
        return dict.fromkeys(connections, f"its {error.host} {error.message}")


async def _check_from(
    connections: Mapping[str, Connection], dial: _Dial, seconds: float, exchanges: Exchanges
) -> dict[str, str]:
    async def greeting(host: str, connection: Connection) -> None:
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await dial(connection["address"], int(connection["port"]))
                try:
                    trouble = await find_ssh_obstacle(reader, writer, exchanges.get(host, ()), connection["hostKey"])
                finally:
                    writer.close()
        except TimeoutError:
            raise UnreachableHostError(host, f"does not greet as SSH within {seconds:.0f} seconds; start it") from None
        except FromBastionError as error:
            raise UnreachableHostError(host, str(error)) from None
        except (ConnectionResetError, BrokenPipeError):
            raise UnreachableHostError(host, CLOSED_AT_ONCE) from None
        except OSError as error:
            raise UnreachableHostError(host, explain_unreachable(error)) from None
        if trouble:
            raise UnreachableHostError(host, trouble)

    try:
        await gather({host: greeting(host, connection) for host, connection in connections.items()}, HOSTS_AT_ONCE)
    except HostsFailedError as error:
        return dict(error.failures)
    return {}
