"""Run one thing for many hosts at once, and learn of every failure, not just the first.

Nothing here speaks SSH: that is `sessions`.
"""

import asyncio
import resource
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from threading import Thread
from typing import Any, TypeVar

from mesh.errors import HostError, HostsFailedError

__all__ = [
    "HOSTS_AT_ONCE",
    "LOGINS_AT_ONCE",
    "allow_many_connections",
    "begin_in_thread",
    "gather",
    "run",
    "run_apart",
    "settle",
]

# Each host is asked once; this bounds the operator's own machine, also where much is sent to each host, or received.
HOSTS_AT_ONCE = 64
# An sshd lets ten connections authenticate at a time by default, and a bastion's carries all hosts that are behind it.
LOGINS_AT_ONCE = 8

# As RFC 8305 has it.
_NEXT_ADDRESS_SECONDS = 0.25

T = TypeVar("T")


def allow_many_connections() -> None:
    """Let this process have as many open as it may; the usual soft limit ends at some 500 hosts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def settle(
    work: Mapping[str, Awaitable[T]], at_once: int | None = None
) -> tuple[dict[str, T], dict[str, HostError]]:
    """Await all of `work`, by host, and return the results and the failures; no failure cuts another host off.

    `at_once` bounds how many are under way, so that the time limit of each begins when its turn has come.
    """
    limit = asyncio.Semaphore(at_once or max(1, len(work)))

    async def in_turn(one: Awaitable[T]) -> T:
        async with limit:
            return await one

    try:
        results = await asyncio.gather(*map(in_turn, work.values()), return_exceptions=True)
    finally:
        # Ctrl-C leaves some that had no turn, of which Python would complain.
        for one in filter(asyncio.iscoroutine, work.values()):
            one.close()
    done: dict[str, T] = {}
    failures: dict[str, HostError] = {}
    for host, result in zip(work, results, strict=True):
        if isinstance(result, HostError):
            failures[host] = result
        elif isinstance(result, BaseException):
            raise result
        else:
            done[host] = result
    return done, failures


async def gather(work: Mapping[str, Awaitable[T]], at_once: int | None = None) -> dict[str, T]:
    """Do as `settle` does, and return the results.

    Raises:
        HostsFailedError: Naming each host that failed.
    """
    done, failures = await settle(work, at_once)
    if failures:
        raise HostsFailedError({host: error.message for host, error in failures.items()})
    return done


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that tries the addresses of a name side by side, each a moment after the one before it.

    Where IPv6 swallows packets, whatever has a time limit would spend it on the first address.
    """

    async def create_connection(self, *words: Any, **named: Any) -> Any:
        """Do as every loop does, by RFC 8305."""
        return await super().create_connection(*words, **{"happy_eyeballs_delay": _NEXT_ADDRESS_SECONDS, **named})


def _new_loop() -> asyncio.AbstractEventLoop:
    loop = _Loop()
    # A name that is looked up takes a thread, and half a minute where no resolver answers. By default there are few
    # threads, and the time of hosts whose names could be told at once would run out meanwhile.
    loop.set_default_executor(ThreadPoolExecutor(HOSTS_AT_ONCE))
    return loop


def _run(work: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        return await work()

    # With a loop that is made here, none that this thread had, as pulumi's may, is taken from it.
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        try:
            return runner.run(main())
        except KeyboardInterrupt:
            # Else the loop would wait for every name that is being looked up, also where no resolver answers.
            runner.get_loop().set_default_executor(ThreadPoolExecutor(max_workers=1))
            raise


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def run(work: Callable[[], Awaitable[T]]) -> T:
    """Run `work` to its end and return its result, whether or not this thread has an event loop running."""
    if not _is_in_loop():
        # Not in a thread of its own, for which Ctrl-C would have to wait.
        return _run(work)
    # Pulumi runs the program inside its own event loop, which cannot run another one.
    with ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(_run, work).result()


def begin_in_thread(name: str, work: Callable[[Callable[[], None]], None]) -> None:
    """Start `work` in a thread that ends with this process, and return when it calls what it is given.

    Raises:
        Exception: What ends the work before that.
    """
    begun: Future[None] = Future()

    def begin() -> None:
        if not begun.done():
            begun.set_result(None)

    def run_to_end() -> None:
        try:
            work(begin)
        except Exception as error:
            if begun.done():
                raise
            begun.set_exception(error)

    Thread(target=run_to_end, daemon=True, name=name).start()
    begun.result()


_TURNS_APART = asyncio.Semaphore(HOSTS_AT_ONCE)


@cache
def _loop_apart() -> asyncio.AbstractEventLoop:
    loop = _new_loop()
    Thread(target=loop.run_forever, name="apart", daemon=True).start()
    return loop


async def run_apart(work: Callable[[], Awaitable[T]]) -> T:
    """Run `work` in another thread, whose one event loop all such work shares, and return its result.

    Pulumi's loop has few threads, and each registration keeps one until its resource is there. A hook that needed one
    of them, as for signing or for looking up a name, would wait for registrations that wait for the hook.
    """

    async def in_turn() -> T:
        async with _TURNS_APART:
            return await work()

    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(in_turn(), _loop_apart()))
