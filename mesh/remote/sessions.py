"""Talk to many hosts at once over SSH: one connection to each, one session on it, orders and replies.

Every wait has a bound of our own. `ssh` opens one connection, and `commands` bounds what a host may say. `rollout` and
the host program know what the orders mean.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TypeVar

import asyncssh

from mesh.config.connection import Connection
from mesh.errors import HostError, HostsFailedError
from mesh.remote import commands, credentials, host_program
from mesh.remote.concurrency import HOSTS_AT_ONCE, allow_many_connections, gather, settle
from mesh.remote.login import dial, key_exchange_of
from mesh.remote.new_connection import meet
from mesh.remote.orders import ORDER_SECONDS, Order, Reply, Session
from mesh.remote.ssh import CONNECT_SECONDS, as_unreachable, explain

__all__ = ["Fan", "log_in_everywhere", "open_fan", "run_everywhere"]


T = TypeVar("T")
Opened = TypeVar("Opened")

# Failures of these kinds leave a host out instead of stopping everything.
Skip = type[HostError] | tuple[()]


class Fan:
    """Open sessions on many hosts, by host name."""

    def __init__(
        self, connections: Mapping[str, Connection], sessions: Mapping[str, Session], absent: Mapping[str, str]
    ) -> None:
        """Use sessions that were opened over `connections`; `absent` says why other hosts were left out."""
        self._connections = connections
        self.sessions = sessions
        self.absent = absent

    async def everyone(
        self, *words: object, hosts: Iterable[str] | None = None, seconds: float = ORDER_SECONDS
    ) -> dict[str, list[str]]:
        """Give one order to all `hosts` (all of the fan by default) at once and return their replies by host.

        Raises:
            HostsFailedError: After all have ended, naming each host that failed.
        """
        chosen = self.sessions if hosts is None else list(hosts)
        replies = await self.each({host: [Order(words)] for host in chosen}, seconds=seconds)
        return {host: said[-1].lines for host, said in replies.items()}

    async def each(
        self, orders: Mapping[str, Sequence[Order]], *, seconds: float = ORDER_SECONDS
    ) -> dict[str, list[Reply]]:
        """Give each host its own orders, all hosts at once, and return their replies by host.

        Raises:
            HostsFailedError: After all have ended, naming each host that failed.
        """
        return await gather({host: self.sessions[host].orders(said, seconds=seconds) for host, said in orders.items()})

    async def check_new_connections(self, hosts: Iterable[str]) -> None:
        """Begin one more SSH connection to each of `hosts`, since the one in use would survive a lock-out.

        Raises:
            HostsFailedError: Naming each host that cannot be reached by a new connection.
        """
        async with AsyncExitStack() as stack:
            wanted = {host: self._connections[host] for host in hosts}
            _stop_unless((), (await _connect_all(stack, wanted, _meet_in_time))[1])


async def _meet_in_time(connection: Connection, tunnel: asyncssh.SSHClientConnection | None) -> None:
    await asyncio.wait_for(meet(connection, tunnel), CONNECT_SECONDS)


async def _connect_all(
    stack: AsyncExitStack,
    connections: Mapping[str, Connection],
    connect: Callable[[Connection, asyncssh.SSHClientConnection | None], Awaitable[T]],
) -> tuple[dict[str, T], dict[str, HostError]]:
    bastions: dict[str, asyncio.Task[asyncssh.SSHClientConnection]] = {}

    async def explained(host: str, opening: Awaitable[Opened]) -> Opened:
        try:
            return await opening
        except (asyncssh.HostKeyNotVerifiable, asyncssh.PermissionDenied) as error:
            # It answers; going on without it would hide what is wrong.
            raise HostError(host, explain(error)) from None
        except (OSError, asyncssh.Error, ValueError) as error:
            raise as_unreachable(host, error) from None

    async def enter(bastion: Connection) -> asyncssh.SSHClientConnection:
        opened = await explained(f"bastion {bastion['address']}", dial(bastion, None))
        stack.callback(opened.close)
        return opened

    async def reach(host: str, connection: Connection) -> T:
        tunnel = None
        if bastion := connection.get("bastion"):
            # One connection carries all hosts behind it: a bastion's sshd drops a burst of them.
            name = f"{bastion['user']}@{bastion['address']}:{bastion['port']}"
            if name not in bastions:
                bastions[name] = asyncio.create_task(enter(bastion))
            try:
                tunnel = await bastions[name]
            except HostError as error:
                raise type(error)(host, f"its {error.host} {error.message}") from None
        return await explained(host, connect(connection, tunnel))

    return await settle({host: reach(host, connection) for host, connection in connections.items()}, HOSTS_AT_ONCE)


def _stop_unless(skip: Skip, failures: Mapping[str, HostError]) -> dict[str, str]:
    """Return why each host is left out, or raise for those that must not be."""
    if wrong := {host: error.message for host, error in failures.items() if not isinstance(error, skip)}:
        raise HostsFailedError(wrong)
    return {host: error.message for host, error in failures.items()}


@asynccontextmanager
async def _logged_in(
    connections: Mapping[str, Connection], *, post_quantum: bool = False
) -> AsyncIterator[tuple[dict[str, asyncssh.SSHClientConnection], dict[str, HostError]]]:
    """Log in to every host, and return the connections and the failures; all are closed on leaving."""
    # Two a host, with the new connection of the verification.
    allow_many_connections()
    # A command that looks again and again outlives keys, certificates and agents.
    credentials.renew()
    async with AsyncExitStack() as stack:
        opened, failures = await _connect_all(stack, connections, partial(dial, post_quantum=post_quantum))
        for connection in opened.values():
            stack.callback(connection.close)
        yield opened, failures


@asynccontextmanager
async def open_fan(
    interface: str,
    connections: Mapping[str, Connection],
    *,
    skip: Skip = (),
    only_known: bool = False,
    post_quantum: bool = False,
) -> AsyncIterator[Fan]:
    """Open a session for `interface` on every host, except those that fail as `skip` says; all are closed on leaving.

    With `only_known`, a host that has nothing of the interface fails, and nothing is written there. With
    `post_quantum`, so does one that has no post-quantum key exchange for SSH.

    Raises:
        HostsFailedError: If one or more hosts cannot be reached or refuse; the rest is closed again.
    """
    async with _logged_in(connections, post_quantum=post_quantum) as (opened, unreachable):
        absent = _stop_unless(skip, unreachable)

        async def start(host: str) -> Session:
            script = host_program.invocation(interface, only_known=only_known)
            try:
                stream = await commands.start(host, opened[host], script, sudo=bool(connections[host]["sudo"]))
                session = Session(stream, key_exchange_of(opened[host]))
                await asyncio.wait_for(session.begin(), ORDER_SECONDS)
            except TimeoutError:
                raise HostError(host, f"took no orders within {ORDER_SECONDS} seconds; run it again") from None
            except (OSError, asyncssh.Error) as error:
                raise as_unreachable(host, error) from None
            return session

        sessions, failures = await settle({host: start(host) for host in opened}, HOSTS_AT_ONCE)
        yield Fan(connections, sessions, absent | _stop_unless(skip, failures))


async def run_everywhere(
    connections: Mapping[str, Connection], script: str | Mapping[str, str], what: str
) -> tuple[dict[str, str], dict[str, HostError]]:
    """Run one script on each host, or each its own, without a session or its lock, as `commands.ask` does.

    Return what each printed, and why any cannot tell `what`.
    """
    async with _logged_in(connections) as (opened, absent):

        async def ask(host: str) -> str:
            own = script if isinstance(script, str) else script[host]
            try:
                return await commands.ask(host, opened[host], own, sudo=bool(connections[host]["sudo"]), what=what)
            except (OSError, asyncssh.Error) as error:
                raise as_unreachable(host, error) from None

        said, failures = await settle({host: ask(host) for host in opened}, HOSTS_AT_ONCE)
        return said, absent | failures


async def log_in_everywhere(connections: Mapping[str, Connection]) -> dict[str, HostError]:
    """Log in to each host and out again; return why any does not let us in."""
    async with _logged_in(connections) as (_, failures):
        return failures
