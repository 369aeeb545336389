"""How a session takes the replies of the host program, and how many hosts are asked at once."""

import asyncio
import gc
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import asyncssh
import pytest

from mesh.config.connection import Connection
from mesh.errors import HostError, UnreachableHostError
from mesh.remote import host_program, sessions, ssh
from mesh.remote.commands import Stream
from mesh.remote.concurrency import HOSTS_AT_ONCE, LOGINS_AT_ONCE, run, settle
from mesh.remote.orders import Order, Session
from mesh.remote.signing import Login, Signer

MARKER = "0" * 32


class Pieces:
    """What a host says, in the pieces in which it arrives; afterwards silence, or the end.

    Before what follows a number, this machine stands still for as many seconds.
    """

    def __init__(self, *pieces: str | float, ends: bool = True) -> None:
        """Keep the pieces."""
        self.pieces, self.ends = list(pieces), ends

    async def read(self, _most: int) -> bytes:
        """Return the next piece."""
        if not self.pieces and not self.ends:
            await asyncio.Event().wait()
        piece = self.pieces.pop(0) if self.pieces else ""
        if isinstance(piece, str):
            return piece.encode()
        time.sleep(piece)
        await asyncio.sleep(0.01)
        return await self.read(_most)


def session(*pieces: str | float, ends: bool = True, noise: str = "") -> tuple[Session, list[str]]:
    """Return a session with a host that says these, and what it is sent."""
    sent: list[str] = []
    process: Any = SimpleNamespace(
        stdout=Pieces(*pieces, ends=ends),
        stderr=Pieces(noise),
        stdin=SimpleNamespace(write=lambda said: sent.append(said.decode("latin-1"))),
        close=lambda: sent.append("closed"),
    )
    return Session(Stream("bernard", process, MARKER)), sent


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([".ok\n"], []),
        (["one\ntw", "o\n", ".o", "k\n"], ["one", "two"]),
        (["one\n", ".ok", "\n"], ["one"]),
        ([".hidden\n.ok\n"], [".hidden"]),
    ],
)
def test_a_reply_ends_with_ok_however_it_is_cut(pieces: list[str], lines: list[str]) -> None:
    """SSH cuts where it likes."""
    talk, sent = session(*pieces)
    assert asyncio.run(talk.order("facts", "salt")) == lines
    assert sent == ["facts salt\n"]


def test_an_answer_that_came_while_this_machine_stood_still_is_read() -> None:
    """A laptop that was suspended must not tell that a host did not finish what it had confirmed."""
    talk, _ = session("one\n", 2.2, ".ok\n")
    assert asyncio.run(talk.order("confirm", "digest", seconds=0.1)) == ["one"]


@pytest.mark.parametrize(("word", "text"), [(".program", host_program.text()), (".packed", host_program.packed())])
def test_a_host_that_lacks_the_program_is_sent_it(word: str, text: str | bytes) -> None:
    """What it says before is no part of the reply."""
    talk, sent = session(f"noise\n{word}\n", ".ok\n")
    asyncio.run(talk.begin())
    assert sent == [text if isinstance(text, str) else text.decode("latin-1")]


def test_a_host_that_asks_for_the_program_again_is_cut_off() -> None:
    """It would be sent it without end."""
    talk, sent = session(".program\n", ".program\n", ends=False)
    with pytest.raises(HostError, match="host 'bernard': says without end where a session is due, and was cut off"):
        asyncio.run(talk.begin())
    assert sent == [host_program.text(), "closed"]


def test_a_failure_is_the_hosts_own_words() -> None:
    """Also when they arrive in two pieces."""
    talk, _ = session("a line\n.error the disk", " is full; make room\n")
    with pytest.raises(HostError, match="host 'bernard': the disk is full; make room"):
        asyncio.run(talk.order("stage"))


def test_orders_that_go_together_are_sent_at_once_and_answered_in_turn() -> None:
    """However the answers are cut."""
    talk, sent = session("12.50\n.ok\non", "e\ntwo\n.ok\n")
    replies = asyncio.run(talk.orders([Order(("clock",)), Order(("stage", 1), "mesh m\n")]))
    assert [reply.lines for reply in replies] == [["12.50"], ["one", "two"]]
    assert replies[0].asked == replies[1].asked <= replies[0].answered <= replies[1].answered
    assert sent == ["clock\nstage 1\nmesh m\n"]


def test_of_orders_that_go_together_the_first_that_failed_is_told_and_the_session_goes_on() -> None:
    """What the host says to the others is no answer to what it is told next."""
    talk, _ = session(".error the disk is full\n", ".error nor this\n.ok\n", "late\n.ok\n")

    async def give() -> list[str]:
        with pytest.raises(HostError, match="host 'bernard': the disk is full"):
            await talk.orders([Order(("facts",)), Order(("store",)), Order(("ready",))])
        return await talk.order("ping")

    assert asyncio.run(give()) == ["late"]


def test_what_failed_first_is_told_also_where_the_next_order_has_no_answer() -> None:
    """That the host then hung up may follow from it, and nothing more is ordered."""
    talk, _ = session(".error the disk is full\n", noise="killed\n")
    with pytest.raises(HostError, match="host 'bernard': the disk is full"):
        asyncio.run(talk.orders([Order(("facts",)), Order(("store",)), Order(("ready",))]))
    assert not talk.is_free


def test_a_host_that_hangs_up_is_told_with_its_last_word() -> None:
    """The last line that it printed as an error."""
    talk, _ = session("a line\n", noise="first\nno space left\n")
    with pytest.raises(UnreachableHostError, match="ended the session: no space left; run it again"):
        asyncio.run(talk.order("stage"))


def test_a_host_that_answers_too_late_is_given_no_other_order() -> None:
    """Its answer would be taken for that of the next."""
    talk, sent = session("half a li", ends=False)

    async def orders() -> None:
        with pytest.raises(HostError, match="did not finish 'prove' within 0 seconds"):
            await talk.order("prove", seconds=0.01)
        with pytest.raises(UnreachableHostError, match="is still busy with 'prove'"):
            await talk.order("back")

    asyncio.run(orders())
    assert sent == ["prove\n"]


def test_ctrl_c_ends_what_is_under_way() -> None:
    """At once, however long a host would still take."""

    async def work() -> None:
        await asyncio.sleep(0.2)
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(10)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(work)
    assert time.monotonic() - began < 5


def test_ctrl_c_does_not_wait_for_a_name_that_is_looked_up() -> None:
    """That takes a thread, and half a minute where no resolver answers."""
    answered = threading.Event()

    async def work() -> None:
        looked_up = asyncio.get_running_loop().run_in_executor(None, answered.wait, 30)
        await asyncio.sleep(0.2)
        signal.raise_signal(signal.SIGINT)
        await looked_up

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(work)
    answered.set()
    assert time.monotonic() - began < 5


def test_ctrl_c_leaves_no_word_of_hosts_that_had_not_had_their_turn(recwarn: pytest.WarningsRecorder) -> None:
    """What is never begun is ended too, or Python says so."""

    async def one() -> None:
        await asyncio.sleep(0.2)
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        run(lambda: settle({host: one() for host in ("bernard", "carol", "dora")}, 1))
    gc.collect()
    assert not recwarn.list


def test_names_that_no_resolver_answers_hold_up_no_other() -> None:
    """Each that is looked up takes a thread, and a host that waits for one would be told as silent."""
    answered = threading.Event()

    async def work() -> str:
        loop = asyncio.get_running_loop()
        silent = [loop.run_in_executor(None, answered.wait, 30) for _ in range(HOSTS_AT_ONCE - 1)]
        try:
            return await asyncio.wait_for(loop.run_in_executor(None, str, "found"), 5)
        finally:
            answered.set()
            await asyncio.gather(*silent)

    assert run(work) == "found"


def test_an_agent_is_asked_for_few_signatures_at_once_and_no_thread_is_left_of_it() -> None:
    """It asks its owner about one after another. A command whose threads are left ends without writing what it has."""
    under_way: list[int] = []
    most = 0

    def sign(*_: object) -> bytes:
        nonlocal most
        under_way.append(1)
        most = max(most, len(under_way))
        time.sleep(0.02)
        under_way.pop()
        return b""

    async def work() -> None:
        identity: Any = SimpleNamespace(sign=sign)

        async def log_in() -> None:
            async with asyncio.timeout(30) as timeout:
                await Signer(identity, Login(timeout), is_one_of_many=False).sign(b"", b"")

        await asyncio.gather(*(log_in() for _ in range(HOSTS_AT_ONCE)))

    before = threading.active_count()
    run(work)
    assert most == LOGINS_AT_ONCE
    assert threading.active_count() == before


def test_work_also_runs_where_an_event_loop_does() -> None:
    """As pulumi's does while it runs the program."""

    async def work() -> int:
        return 7

    async def program() -> int:
        return run(work)

    assert asyncio.run(program()) == 7


def test_no_more_hosts_are_asked_at_once_than_wanted() -> None:
    """And one that fails cuts no other off."""
    under_way: list[int] = [0]
    most = 0

    async def ask(number: int) -> int:
        nonlocal most
        under_way[0] += 1
        most = max(most, under_way[0])
        await asyncio.sleep(0.01)
        under_way[0] -= 1
        if number == 3:
            raise HostError("h3", "is out of order; mend it")
        return number

    done, failures = asyncio.run(settle({f"h{number}": ask(number) for number in range(10)}, 4))
    assert most == 4
    assert done == {f"h{number}": number for number in range(10) if number != 3}
    assert set(failures) == {"h3"}


_BASTION: Any = {"address": "192.0.2.1", "port": 22, "user": "jump", "hostKey": f"ssh-ed25519 {'A' * 68}"}
_BEHIND: Any = {**_BASTION, "address": "10.0.0.5", "user": "root", "sudo": False, "bastion": _BASTION}


async def _by_a_fan() -> str:
    (error,) = (await sessions.log_in_everywhere({"nas": _BEHIND})).values()
    return str(error)


async def _by_itself() -> str:
    try:
        return await ssh.find_refusal(_BEHIND) or ""
    except ssh.CutOffError as error:
        return str(error)


async def _for_its_key() -> str:
    with pytest.raises(UnreachableHostError) as caught:
        await ssh.fetch_host_key("nas", _BEHIND)
    return str(caught.value)


@pytest.mark.parametrize("ask", [_by_a_fan, _by_itself, _for_its_key])
@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (asyncssh.PermissionDenied("no"), "its bastion 192.0.2.1 refuses your SSH key"),
        (asyncssh.HostKeyNotVerifiable("no"), "its bastion 192.0.2.1 has another SSH host key"),
        (ConnectionRefusedError(111, "Connection refused"), "its bastion 192.0.2.1 "),
        (
            ConnectionResetError(104, "Connection reset by peer"),
            "its bastion 192.0.2.1 closed the SSH connection (Conn",
        ),
    ],
)
def test_what_a_bastion_refuses_is_told_of_the_bastion(
    ask: Callable[[], Coroutine[Any, Any, str]], cause: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads that a host refuses a key would look at the host."""

    async def dial(connection: Connection, *_: object, **__: object) -> None:
        assert connection["address"] == "192.0.2.1", "nobody comes past the bastion"
        raise cause

    monkeypatch.setattr(sessions, "dial", dial)
    monkeypatch.setattr(ssh, "dial", dial)
    assert said in asyncio.run(ask())
