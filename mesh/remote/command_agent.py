"""The way of the command plugin to our keys: an agent of our own behind a link whose path never changes.

The plugin is given the path of an agent's socket, which is an input, hence in the state. A constant link in the
project's folder, where the engine starts the plugin, keeps every operator's own path out of it.
"""

import atexit
import fcntl
import os
import socket
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path

from mesh.errors import MeshError
from mesh.progress import announce
from mesh.remote.agent import list_identities, serve
from mesh.remote.concurrency import allow_many_connections, begin_in_thread
from mesh.remote.identities import Identity

__all__ = ["AGENT_LINK", "serve_commands"]

AGENT_LINK = ".mesh/agent"
_LINK = Path(AGENT_LINK)
_STOPPED = "does not answer, as one that is stopped (see jobs of your shell, and fg)"
# A turn takes milliseconds.
_PATIENCE_SECONDS = 5
_TRY_SECONDS = 0.05
# After which a run looks again how the one before it does.
_LOOK_SECONDS = 15
# What a host has to let us in.
_LOGIN_SECONDS = 15


@cache
def serve_commands(identities: tuple[Identity, ...]) -> None:
    """Serve the keys at `AGENT_LINK` as long as this process lives.

    Another run in the same checkout that serves the same keys shares the link, and gets it when this one ends. One that
    serves others is waited for.

    Raises:
        MeshError: If there can be no link.
    """
    # The plugin keeps a connection for each command open until the run ends.
    allow_many_connections()
    own = _LINK.with_name(f"agent.{os.getpid()}")
    blobs = {identity.blob for identity in identities}
    try:
        _LINK.parent.mkdir(mode=0o700, exist_ok=True)
        _LINK.parent.chmod(0o700)
        is_asked = serve(own, identities)
        atexit.register(_end, own, is_asked)
        begin_in_thread("mesh-agent-link", lambda ready: _hold_link(own, blobs, ready))
    except OSError as error:
        raise MeshError(
            f"{error.filename or _LINK.parent}: cannot be written ({error.strerror or error}); let your user own "
            f"{_LINK.parent}, or remove it, which is made again, and see that the disk has room"
        ) from None


def _hold_link(own: Path, blobs: Collection[bytes], ready: Callable[[], None]) -> None:
    """Take the link when no other run's agent is behind it; until then that one serves us, if it has our keys."""
    is_served = False
    while True:
        with _turn():
            other = _connect_to_another(own)
            if other is None:
                _clear_ended()
                heir = None if is_served else _find_served(own)
                _point_link(heir or own)
        if other is None and heir is None:
            ready()
            return
        if other is None:
            continue
        with other:
            other.settimeout(_LOOK_SECONDS)
            is_served = _wait_for_end(own, other, blobs, ready, is_served=is_served)


def _wait_for_end(
    own: Path, other: socket.socket, blobs: Collection[bytes], ready: Callable[[], None], *, is_served: bool
) -> bool:
    """Return when the other run has ended, and whether it has served us; say so if it does not, or is stopped."""
    told = ""
    while True:
        reason = "" if is_served else "logs in with other keys"
        try:
            target = _LINK.readlink()
            if {identity.blob for identity in list_identities(str(_LINK.with_name(target.name)))} == blobs:
                is_served = is_served or _note_served(own, target)
                if is_served:
                    reason = ""
                    ready()
        except TimeoutError:
            reason = _STOPPED
        except (OSError, ValueError):
            pass
        if reason and reason != told:
            _tell_who_is_waited_for(reason)
        told = reason
        try:
            # Nothing is ever sent here, so this returns when the other run has ended, however it did.
            other.recv(1)
        except TimeoutError:
            # It may be stopped since, and then our commands wait for it.
            continue
        except OSError:
            pass
        return is_served


def _note_served(own: Path, target: Path) -> bool:
    """Have those who log in with other keys wait for us too, if the link still leads to `target`."""
    with _turn():
        if _LINK.readlink() != target:
            return False
        note = _note_of(own)
        note.unlink(missing_ok=True)
        note.symlink_to(own.name)
    return True


def _note_of(own: Path) -> Path:
    return own.with_name(own.name.replace("agent", "served", 1))


def _find_served(own: Path) -> Path | None:
    """Return the agent of another run that one which has ended, or ends now, has served."""
    for note in sorted(_LINK.parent.glob("served.[0-9]*")):
        agent = note.with_name(note.name.replace("served", "agent", 1))
        if agent != own and (connection := _connect(agent)):
            connection.close()
            return agent
    return None


def _end(own: Path, is_asked: Callable[[], bool]) -> None:
    """Leave the link to a run that was served by this one, and what it has begun to ask for, let it have."""
    with suppress(OSError, KeyboardInterrupt):
        if _LINK.readlink() == Path(own.name) and (heir := _find_served(own)):
            _point_link(heir)
            until = time.monotonic() + _LOGIN_SECONDS
            while is_asked() and time.monotonic() < until:
                time.sleep(_TRY_SECONDS)
    _note_of(own).unlink(missing_ok=True)
    own.unlink(missing_ok=True)


@contextmanager
def _turn() -> Iterator[None]:
    """Let one run at a time look at the link and change it, and say so if another has its turn for long."""
    with _LINK.with_name("agent.lock").open("w") as lock:
        for tried in count():
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if tried == _PATIENCE_SECONDS / _TRY_SECONDS:
                _tell_who_is_waited_for(_STOPPED)
            time.sleep(_TRY_SECONDS)
        yield


def _tell_who_is_waited_for(reason: str) -> None:
    announce("SSH", [f"another pulumi up in this checkout {reason}; waiting for it to end"])


def _connect_to_another(own: Path) -> socket.socket | None:
    # The link of an earlier version leads to the operator's own agent, which never ends.
    if not _LINK.is_symlink() or (target := _LINK.readlink()) == Path(own.name) or target.parent != Path():
        return None
    return _connect(_LINK)


def _connect(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        return None
    return connection


def _clear_ended() -> None:
    """Take away the sockets of runs that were killed."""
    for path in [*_LINK.parent.glob("agent.[0-9]*"), *_LINK.parent.glob("served.[0-9]*")]:
        if connection := _connect(path):
            connection.close()
        else:
            path.unlink(missing_ok=True)


def _point_link(agent: Path) -> None:
    fresh = _LINK.with_name(f"agent-{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(agent.name)
    fresh.replace(_LINK)
