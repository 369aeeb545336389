"""Why a login fails is told of what made it fail: the host, its bastion, or the agent, for which a host never stands.

Servers are OpenSSH's own, but where one has to say what that says only on a bad day. The agent is our own one, with
keys that a person stands behind.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import asyncssh
import pytest

from mesh.config.connection import Connection
from mesh.errors import HostError, UnreachableHostError
from mesh.remote import agent, credentials, login, ssh, ssh_errors
from mesh.remote.identities import FileIdentity, SigningError, blob_of, read_private_key
from mesh.remote.reachability import check_reachability
from mesh.remote.sessions import log_in_everywhere
from mesh.remote.ssh import CutOffError, connected, find_refusal, unless_cut_off
from tests.sshd import Sshd, find_sshd, make_key, run_sshd

pytestmark = pytest.mark.skipif(
    find_sshd() is None or os.geteuid() != 0, reason="needs root and the package openssh-server"
)

_AGENTS = count(1)


@dataclass
class Key:
    """A key in an agent, which signs when `seconds` have passed, unless its owner says no."""

    path: Path
    seconds: float = 0
    is_refused: bool = False
    signed: int = 0

    @property
    def public(self) -> str:
        """Its line in authorized_keys."""
        return self.path.with_suffix(".pub").read_text()

    @property
    def _file(self) -> FileIdentity:
        key = read_private_key(self.path.read_bytes())
        assert key is not None
        return FileIdentity(blob_of(key), self.path.name, key)

    @property
    def blob(self) -> bytes:
        """As SSH sends it."""
        return self._file.blob

    @property
    def comment(self) -> str:
        """Its name."""
        return self.path.name

    def sign(self, data: bytes, flags: int) -> bytes:
        """Wait for its owner."""
        self.signed += 1
        time.sleep(self.seconds)
        if self.is_refused:
            raise SigningError
        return self._file.sign(data, flags)


@pytest.fixture
def key(tmp_path: Path) -> Key:
    """Return a key of the operator's agent, which holds nothing else."""
    return Key(make_key(tmp_path / "mine"))


@pytest.fixture
def other(tmp_path: Path) -> Key:
    """Return a key that the agent holds only where a test says so."""
    return Key(make_key(tmp_path / "other"))


@pytest.fixture(autouse=True)
def operator(tmp_path: Path, key: Key, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give the operator an agent, and return what gives it other keys."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(credentials.KEY_FILE_VARIABLE, raising=False)
    monkeypatch.setattr(login, "_refusals", {})
    monkeypatch.setattr(agent, "_unwilling", set())
    monkeypatch.setattr(agent, "_told_at", float("-inf"))

    def hold(*keys: Key) -> None:
        path = tmp_path / f"agent{next(_AGENTS)}"
        agent.serve(path, keys)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))

    hold(key)
    return hold


@contextmanager
def sshd(folder: Path, *keys: Key, settings: str = "") -> Iterator[Sshd]:
    """Run an sshd that lets these keys in."""
    with run_sshd(folder, settings) as running:
        running.authorize("".join(key.public for key in keys))
        yield running


def way(port: int, host_key: str) -> Connection:
    """Return the way to a port of loopback."""
    return {"address": "127.0.0.1", "port": port, "user": "root", "sudo": False, "hostKey": host_key}


def log_in(*ways: Connection) -> dict[str, HostError]:
    """Log in to hosts, and return why any does not let us in."""
    return asyncio.run(log_in_everywhere({f"h{number}": way for number, way in enumerate(ways)}))


def test_the_time_for_which_the_agent_waits_for_a_person_is_not_the_hosts(
    tmp_path: Path, key: Key, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Who has to touch a key is told so, once for all hosts."""
    monkeypatch.setattr(login, "CONNECT_SECONDS", 1)
    monkeypatch.setattr(agent, "_PATIENCE_SECONDS", 0.5)
    key.seconds = 2
    with sshd(tmp_path, key) as running:
        assert log_in(*[way(running.port, running.host_key)] * 3) == {}
    assert capfd.readouterr().err.count("waiting for the ssh-agent to sign a login") == 1
    assert key.signed == 3


def test_a_host_that_is_silent_is_told_while_another_waits_for_the_agent(
    tmp_path: Path, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own time has run out."""
    monkeypatch.setattr(login, "CONNECT_SECONDS", 1)
    key.seconds = 2
    with sshd(tmp_path, key) as running:

        async def both() -> dict[str, HostError]:
            async with saying(b"", ends=False) as silent:
                return await log_in_everywhere(
                    {"h0": way(running.port, running.host_key), "h1": way(silent, running.host_key)}
                )

        told = asyncio.run(both())
    assert list(told) == ["h1"]
    assert told["h1"].message.startswith("does not answer SSH within")


def test_an_agent_that_is_slower_than_a_host_is_patient_is_named(tmp_path: Path, key: Key) -> None:
    """The host has hung up, and is not to blame."""
    key.seconds = 3
    with sshd(tmp_path, key, settings="LoginGraceTime 1") as running:
        told = log_in(way(running.port, running.host_key))
    assert told["h0"].message == ssh_errors.SLOW_AGENT


def test_an_agent_that_refuses_to_sign_is_named(tmp_path: Path, key: Key) -> None:
    """The host accepts the key, and somebody has said no to a confirmation. The next try asks again."""
    key.is_refused = True
    with sshd(tmp_path, key) as running:
        told = log_in(way(running.port, running.host_key))
        assert told["h0"].message == ssh_errors.UNSIGNED.format(reason=ssh_errors.UNWILLING_AGENT)
        key.is_refused = False
        assert log_in(way(running.port, running.host_key)) == {}


def test_a_key_that_its_agent_does_not_sign_with_is_offered_last_to_commands(
    tmp_path: Path, key: Key, other: Key, operator: Callable[..., None]
) -> None:
    """The command plugin ends at the first such key, and the login of ours has gone on to the next."""
    key.is_refused = True
    operator(key, other)
    agent.serve(tmp_path / "ours", credentials.load().identities)
    with sshd(tmp_path, key, other) as running:
        assert log_in(way(running.port, running.host_key)) == {}
    assert [held.comment for held in agent.list_identities(str(tmp_path / "ours"))] == ["other", "mine"]
    assert "does not sign with it" in (ssh_errors.explain_command_error("agent: failed to sign challenge") or "")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("AuthenticationMethods publickey,keyboard-interactive\nKbdInteractiveAuthentication yes", "MORE_ASKED"),
        ("AuthenticationMethods publickey,password\nPasswordAuthentication yes", "MORE_ASKED"),
        ("Match User root\n  PermitRootLogin no", "NOT_LET_IN"),
    ],
)
def test_a_host_that_takes_the_key_and_does_not_let_us_in_does_not_refuse_the_key(
    tmp_path: Path, key: Key, settings: str, told: str
) -> None:
    """It is said what more there is, and each such login counts, so it is tried once."""
    with sshd(tmp_path, key, settings=settings) as running:
        for _ in range(2):
            failed = log_in(way(running.port, running.host_key))["h0"]
            assert failed.message == getattr(ssh_errors, told)
            assert not isinstance(failed, UnreachableHostError)
        assert running.log.count("Connection from") == 1
    assert key.signed == 1


def test_every_look_logs_in_with_the_keys_of_that_moment(
    tmp_path: Path, key: Key, other: Key, operator: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is served for days, over logins of the operator and new certificates."""
    with sshd(tmp_path, other) as running:
        host = way(running.port, running.host_key)
        assert log_in(host)["h0"].message == ssh_errors.KEY_REFUSED
        held = Path(os.environ["SSH_AUTH_SOCK"])
        operator(key, other)
        # An agent of the same name with other keys.
        Path(os.environ["SSH_AUTH_SOCK"]).replace(held)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(held))
        assert log_in(host) == {}


@asynccontextmanager
async def saying(said: bytes, *, ends: bool = True) -> AsyncIterator[int]:
    """Yield the port of a server that says this, and hangs up if it `ends`."""
    over = asyncio.Event()
    served: list[asyncio.Task[None]] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served.append(task)
        writer.write(said)
        if not ends:
            await over.wait()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        over.set()
        await asyncio.gather(*served)


@pytest.mark.parametrize(
    ("said", "told", "passes"),
    [
        (b"", ssh_errors.CLOSED_AT_ONCE, True),
        (b"Exceeded MaxStartups\r\n", ssh_errors.BUSY, True),
        (b"Not allowed at this time\r\n", ssh_errors.TURNED_AWAY, False),
        (b"go away\r\n", "is no SSH server (it says 'go away'); check ssh.address and ssh.port", False),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "closed the SSH connection (Connection ", True),
    ],
)
@pytest.mark.parametrize("is_behind", [False, True])
def test_what_a_server_says_before_it_hangs_up_is_told_of_it(
    tmp_path: Path, said: bytes, told: str, passes: bool, is_behind: bool
) -> None:
    """A bastion is one too; what passes is told apart, since another try may help."""
    key_line = " ".join(make_key(tmp_path / "host").with_suffix(".pub").read_text().split()[:2])

    async def run() -> tuple[HostError, dict[str, str]]:
        async with saying(said) as port:
            end = way(port, key_line)
            host: Connection = {**way(1, key_line), "bastion": end} if is_behind else end
            with pytest.raises(UnreachableHostError) as failed:
                async with connected("h0", host):
                    pass
            return failed.value, await check_reachability({"h0": host} if is_behind else {})

    failed, checked = asyncio.run(run())
    told = f"its bastion 127.0.0.1 {told}" if is_behind else told
    assert failed.message.startswith(told)
    assert isinstance(failed, CutOffError) == passes
    assert [why.startswith(told) for why in checked.values()] == [True] * is_behind


@pytest.mark.parametrize("is_behind", [False, True])
def test_a_host_key_whose_type_is_gone_is_told(tmp_path: Path, key: Key, is_behind: bool) -> None:
    """Running it again never helps; by the check before a run, and by a login."""
    gone = " ".join(make_key(tmp_path / "gone", "ecdsa").with_suffix(".pub").read_text().split()[:2])
    with sshd(tmp_path, key) as running:
        end = way(running.port, gone)
        host: Connection = {**way(running.port, running.host_key), "bastion": end} if is_behind else end
        where = "its bastion 127.0.0.1 " if is_behind else ""
        assert asyncio.run(check_reachability({"h0": host})) == {"h0": f"{where}{ssh_errors.GONE_KEY_TYPE}"}
        assert log_in(host)["h0"].message == f"{where}{ssh_errors.GONE_KEY_TYPE}"


@pytest.mark.parametrize("is_behind", [False, True])
def test_a_server_that_takes_fewer_keys_than_there_are_is_told(
    tmp_path: Path, key: Key, other: Key, operator: Callable[..., None], is_behind: bool
) -> None:
    """What it shows to everybody before that is no reason."""
    operator(other, key)
    banner = tmp_path / "banner"
    banner.write_text("Authorized users only\n")
    with sshd(tmp_path, key, settings=f"MaxAuthTries 1\nBanner {banner}") as running:
        end = way(running.port, running.host_key)
        host: Connection = {**end, "bastion": end} if is_behind else end
        where = "its bastion 127.0.0.1 " if is_behind else ""
        assert log_in(host)["h0"].message == f"{where}{ssh_errors.FEW_TRIES}"


def test_a_bastion_that_is_lost_during_the_check_is_told_of_its_hosts() -> None:
    """And ends nothing else."""
    lost: list[asyncssh.SSHServerConnection] = []

    class Bastion(asyncssh.SSHServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            lost.append(conn)

        def begin_auth(self, _: str) -> bool:
            return False

        def connection_requested(self, *_: object) -> bool:
            asyncio.get_running_loop().call_later(0.3, lost[0].abort)
            return True

    async def run() -> dict[str, str]:
        bastion_key = asyncssh.generate_private_key("ssh-ed25519")
        line = " ".join(bastion_key.export_public_key().decode().split()[:2])
        server = await asyncssh.listen("127.0.0.1", 0, server_factory=Bastion, server_host_keys=[bastion_key])
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(server)
            silent = await stack.enter_async_context(saying(b"", ends=False))
            return await check_reachability({"h0": {**way(silent, line), "bastion": way(server.get_port(), line)}})

    assert asyncio.run(run())["h0"].startswith("its bastion closed the SSH connection")


def test_a_cut_off_login_is_no_refusal(tmp_path: Path) -> None:
    """An enrolment whose command was cut off is tried again where the login that asks for the reason is cut off too."""
    line = " ".join(make_key(tmp_path / "host").with_suffix(".pub").read_text().split()[:2])

    async def run() -> None:
        async with saying(b"") as port:
            with pytest.raises(CutOffError):
                await find_refusal({**way(1, line), "bastion": way(port, line)})

    asyncio.run(run())


@pytest.mark.parametrize(
    ("failures", "calls"),
    [([CutOffError] * 2, 3), ([CutOffError] * 9, 3), ([UnreachableHostError] * 9, 1), ([CutOffError, HostError], 2)],
)
def test_only_what_was_cut_off_is_tried_again_and_not_for_ever(
    failures: list[type[HostError]], calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bastion drops some of many logins at once; what has a reason fails at once."""
    monkeypatch.setattr(ssh, "_PAUSES", (0, 0))
    left = list(failures)
    called = 0

    async def log_in() -> str:
        nonlocal called
        called += 1
        if left:
            raise left.pop(0)("h0", "no")
        return "in"

    if calls > len(failures):
        assert asyncio.run(unless_cut_off(log_in)) == "in"
    else:
        with pytest.raises(HostError):
            asyncio.run(unless_cut_off(log_in))
    assert called == calls
