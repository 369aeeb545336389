"""Look whether every host greets over SSH, before the engine runs a command that a silent one would hang for good.

It needs no SSH library, whose import would cost every `pulumi up` a tenth of a second.
"""

import asyncio
from collections.abc import Mapping

from mesh.concurrency import Connection, gather
from mesh.errors import HostsFailedError, UnreachableHostError

__all__ = ["look"]

_AT_ONCE = 64


async def look(connections: Mapping[str, Connection], seconds: float = 8) -> dict[str, str]:
    """Return why each host that does not greet as an SSH server within `seconds` cannot be used; empty when all do."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def greeting(host: str, connection: Connection) -> None:
        # A host behind a bastion is looked at through it by the first real connection; here the bastion answers.
        first = connection.get("bastion") or connection
        async with limit:
            try:
                async with asyncio.timeout(seconds):
                    reader, writer = await asyncio.open_connection(first["address"], int(first["port"]))
                    try:
                        line = await reader.readline()
                    finally:
                        writer.close()
            except TimeoutError:
                raise UnreachableHostError(
                    host, f"does not greet as SSH within {seconds:.0f} seconds; start it"
                ) from None
            except OSError as error:
                raise UnreachableHostError(
                    host, f"cannot be reached ({error.strerror or error}); check ssh.address and ssh.port"
                ) from None
            if not line.startswith(b"SSH-"):
                raise UnreachableHostError(host, "is no SSH server; check ssh.address and ssh.port") from None

    try:
        await gather({host: greeting(host, connection) for host, connection in connections.items()})
    except HostsFailedError as error:
        return dict(error.failures)
    return {}
