"""Begin a new SSH connection to a host, to see that a change did not cut SSH off, and end it at the host's key.

From 9.8 on, OpenSSH turns an address away for a while once it has begun some fifteen connections without logging in,
and it takes one off that count each second (noauth and min in PerSourcePenalties of sshd_config(5)). So a host gets
one such connection a second, and all rollouts that ask before it begins, each of another interface, share it.
"""

import asyncio
import time
from concurrent.futures import Future
from threading import Lock

import asyncssh

from mesh.config.connection import Connection

__all__ = ["EVERY_SECONDS", "meet"]

EVERY_SECONDS = 1.0

_Place = tuple[str, int, str]


class _Meeting:
    """One new connection, which has begun at `begins`, or will."""

    def __init__(self, begins: float) -> None:
        self.begins = begins
        self.outcome: Future[None] = Future()


# Rollouts run in threads of their own, each with its own event loop.
_lock = Lock()
_latest: dict[_Place, _Meeting] = {}


async def meet(connection: Connection, tunnel: asyncssh.SSHClientConnection | None) -> None:
    """Return once a connection that began after this call has shown the pinned key of the host.

    It shows that new connections reach this host for less than half of what a login costs it (25 of 60 ms).

    Raises:
        OSError, asyncssh.Error, ValueError: As they come; `explain` of `ssh` words them.
    """
    place = (connection["address"], int(connection["port"]), str(connection.get("bastion")))
    while True:
        with _lock:
            now = time.monotonic()
            meeting = _latest.get(place)
            is_mine = meeting is None or meeting.begins <= now
            if meeting is None or is_mine:
                meeting = _latest[place] = _Meeting(max(now, meeting.begins + EVERY_SECONDS) if meeting else now)
        if is_mine:
            return await _hold(meeting, connection, tunnel)
        try:
            return await asyncio.shield(asyncio.wrap_future(meeting.outcome))
        except asyncio.CancelledError:
            # Either this rollout has ended, or the one that would have begun the connection, or both at one moment.
            task = asyncio.current_task()
            if not meeting.outcome.cancelled() or (task and task.cancelling()):
                raise


async def _hold(meeting: _Meeting, connection: Connection, tunnel: asyncssh.SSHClientConnection | None) -> None:
    try:
        await asyncio.sleep(meeting.begins - time.monotonic())
        await _see_host_key(connection, tunnel)
    except asyncio.CancelledError:
        meeting.outcome.cancel()
        raise
    except Exception as error:
        meeting.outcome.set_exception(error)
        raise
    meeting.outcome.set_result(None)


async def _see_host_key(connection: Connection, tunnel: asyncssh.SSHClientConnection | None) -> None:
    key = await asyncssh.get_server_host_key(
        connection["address"],
        int(connection["port"]),
        tunnel=tunnel or (),
        server_host_key_algs=[connection["hostKey"].split()[0]],
        config=None,
    )
    if key is None or key != asyncssh.import_public_key(connection["hostKey"]):
        raise asyncssh.HostKeyNotVerifiable("another host key")
