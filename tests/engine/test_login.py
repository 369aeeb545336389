"""Every way to log in, past OpenSSH's own server, by both of our SSH clients: the command plugin's and the rollout's.

Root's commands are answered by a forced one, so that the enrolment succeeds and the rollout ends with its words.
"""

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.engine.conftest import Maker
from tests.engine.stack import Stack
from tests.sshd import Sshd, find_sshd, make_key, run_agent, run_sshd

pytestmark = pytest.mark.skipif(
    find_sshd() is None or os.geteuid() != 0, reason="needs root and the package openssh-server"
)

WORDS = "use the account admin"
# What asks for a marker is the login that comes first, which runs `true`, or the rollout; the rest is the enrolment.
FORCED = f"""
case $SSH_ORIGINAL_COMMAND in
    *'IFS= read'*) ;;
    *) exec timeout 1 cat >/dev/null ;;
esac
echo; echo "$SSH_ORIGINAL_COMMAND" | sed 's/.*echo; echo \\([0-9a-f]*\\);.*/\\1/'
read -r line
case $line in
    *'; true'*) eval "$line" ;;
    *) echo {WORDS} >&2 ;;
esac
"""
SECRET = "of the key"  # noqa: S105 - of a key that lives for one test


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Return an sshd with the default limits."""
    folder = tmp_path_factory.mktemp("sshd")
    (folder / "forced").write_text(FORCED)
    with run_sshd(folder, f"ForceCommand sh {folder / 'forced'}") as running:
        yield running


@pytest.fixture(scope="module")
def shared(make_stack: Maker) -> Stack:
    """Return a stack that every case uses on."""
    return make_stack(1)


@dataclass
class Operator:
    """Somebody with keys in `folder` and an agent."""

    folder: Path
    agent: Path
    sshd: Sshd
    environment: dict[str, str]
    ssh: dict[str, Any]

    def key(self, name: str = "mine", kind: str = "ed25519", passphrase: str = "") -> Path:
        """Make a key that sshd lets in."""
        path = make_key(self.folder / name, kind, passphrase)
        self.sshd.authorize(path.with_suffix(".pub").read_text())
        return path

    def load(self, *keys: Path) -> None:
        """Add keys to the agent, those with a passphrase too."""
        ask = self.folder / "ask"
        ask.write_text(f"#!/bin/sh\necho {SECRET}\n")
        ask.chmod(0o700)
        environment = {"SSH_AUTH_SOCK": str(self.agent), "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
        subprocess.run(["ssh-add", "-q", *map(str, keys)], env={**os.environ, **environment}, check=True)

    def use(self, *, key_file: Path | None = None, agent: Path | None = None) -> None:
        """Have this in the environment and nothing else."""
        for name, value in {"MESH_SSH_KEY_FILE": key_file, "SSH_AUTH_SOCK": agent}.items():
            self.environment.pop(name, None)
            if value:
                self.environment[name] = str(value)


@pytest.fixture
def operator(shared: Stack, sshd: Sshd, tmp_path: Path) -> Iterator[Operator]:
    """Return an operator with an empty agent."""
    with run_agent(tmp_path / "agent") as socket:
        way = {"port": sshd.port, "hostKey": sshd.host_key}
        yield Operator(tmp_path, socket, sshd, shared.environment, way)


def one_key_in_the_agent(operator: Operator) -> None:
    """As the README names it first."""
    operator.load(operator.key())
    operator.use(agent=operator.agent)


def seven_other_keys_ahead(operator: Operator) -> None:
    """More than an sshd takes in one connection."""
    operator.load(*(operator.key(f"other{number}") for number in range(7)), operator.key())
    operator.use(agent=operator.agent)


def a_public_key_that_chooses(operator: Operator) -> None:
    """Of the many that the agent holds."""
    seven_other_keys_ahead(operator)
    operator.use(agent=operator.agent, key_file=operator.folder / "mine.pub")


def an_empty_agent_beside_a_file(operator: Operator) -> None:
    """Which is passed over."""
    operator.use(agent=operator.agent, key_file=operator.key())


def a_stale_agent_beside_a_file(operator: Operator) -> None:
    """Which is passed over too."""
    operator.use(agent=operator.folder / "gone", key_file=operator.key())


def an_ecdsa_file(operator: Operator) -> None:
    """Signed for by ourselves."""
    operator.use(key_file=operator.key(kind="ecdsa"))


def an_rsa_file(operator: Operator) -> None:
    """By SHA-2."""
    operator.use(key_file=operator.key(kind="rsa"))


def an_rsa_key_in_the_agent(operator: Operator) -> None:
    """By SHA-2, which the agent has to be asked for."""
    operator.load(operator.key(kind="rsa"))
    operator.use(agent=operator.agent)


def a_key_ahead_that_its_owner_does_not_confirm(operator: Operator) -> None:
    """The host would let it in, and there is nobody to say yes; the command plugin ends at the first such key."""
    other, mine = operator.key("other"), operator.key()
    operator.sshd.authorize("".join(key.with_suffix(".pub").read_text() for key in (other, mine)))
    operator.load(Path("-c"), other)
    operator.load(mine)
    operator.use(agent=operator.agent)


def a_passphrase_that_the_agent_knows(operator: Operator) -> None:
    """The file says which key, and the agent signs."""
    key = operator.key(passphrase=SECRET)
    operator.load(key)
    operator.use(agent=operator.agent, key_file=key)


def _certificate(operator: Operator, kind: str) -> Path:
    key, authority = operator.key(kind=kind), operator.key("authority")
    subprocess.run(["ssh-keygen", "-q", "-s", str(authority), "-I", "operator", "-n", "root", f"{key}.pub"], check=True)
    operator.sshd.authorize(f"cert-authority {authority.with_suffix('.pub').read_text()}")
    return key


def a_certificate_beside_a_file(operator: Operator) -> None:
    """Its key alone is not let in."""
    operator.use(key_file=_certificate(operator, "ed25519"))


def an_rsa_certificate_beside_a_file(operator: Operator) -> None:
    """Whose name is of SHA-1, and its signature is not."""
    operator.use(key_file=_certificate(operator, "rsa"))


def an_rsa_certificate_in_the_agent(operator: Operator) -> None:
    """As ssh-add takes it along."""
    operator.load(_certificate(operator, "rsa"))
    operator.use(agent=operator.agent)


def a_bastion(operator: Operator) -> None:
    """Which is the same sshd."""
    one_key_in_the_agent(operator)
    operator.ssh["bastion"] = {"address": "127.0.0.1", **operator.ssh}


CASES: list[Callable[[Operator], None]] = [
    one_key_in_the_agent,
    seven_other_keys_ahead,
    a_public_key_that_chooses,
    an_empty_agent_beside_a_file,
    a_stale_agent_beside_a_file,
    an_ecdsa_file,
    an_rsa_file,
    an_rsa_key_in_the_agent,
    a_key_ahead_that_its_owner_does_not_confirm,
    a_passphrase_that_the_agent_knows,
    a_certificate_beside_a_file,
    an_rsa_certificate_beside_a_file,
    an_rsa_certificate_in_the_agent,
    a_bastion,
]
_ROTATIONS = count(1)


@pytest.mark.parametrize("prepare", CASES, ids=lambda case: case.__name__)
def test_commands_and_the_rollout_log_in_alike(
    prepare: Callable[[Operator], None], operator: Operator, shared: Stack
) -> None:
    """Without a refused connection too many: sshd's penalties begin at the third."""
    prepare(operator)
    shared.write({"testwg": {"hosts": ["h1"], "rotation": next(_ROTATIONS)}}, h1=operator.ssh)
    outcome = shared.run("up", "--yes", "--skip-preview")
    # Sent by the host to the rollout; an enrolment that was refused would end the run before.
    assert WORDS in outcome.text
    assert "Traceback" not in outcome.text
    log = operator.sshd.log
    # The login before the enrolment, the enrolment, by the command plugin, and the rollout.
    assert log.count("Starting session: forced-command") == 3
    assert "Too many authentication failures" not in log
    assert log.count("Connection closed by authenticating user root") <= 2
    assert str(operator.folder) not in shared.files()


def test_a_key_that_is_refused_is_told_and_not_tried_for_long(operator: Operator, shared: Stack) -> None:
    """Each refused login counts against us; the plugin ends with the third, by the limit that is in every state."""
    operator.use(key_file=operator.key())
    operator.sshd.authorize("")
    shared.write({"testwg": {"hosts": ["h1"], "rotation": next(_ROTATIONS)}}, h1=operator.ssh)
    outcome = shared.run("up", "--yes", "--skip-preview")
    assert "host 'h1': refuses your SSH key; check ssh.user, and that ssh-add -l lists a key it accepts" in outcome.text
    assert operator.sshd.log.count("Failed publickey for root") <= 3


def test_a_host_that_asks_for_a_second_factor_is_told_as_that(
    operator: Operator, shared: Stack, tmp_path: Path
) -> None:
    """It accepts the key, so that another one would not help."""
    folder = tmp_path / "second"
    folder.mkdir()
    operator.use(key_file=operator.key())
    with run_sshd(folder, "AuthenticationMethods publickey,password") as sshd:
        sshd.authorize((operator.folder / "mine.pub").read_text())
        way = {"port": sshd.port, "hostKey": sshd.host_key}
        shared.write({"testwg": {"hosts": ["h1"], "rotation": next(_ROTATIONS)}}, h1=way)
        outcome = shared.run("up", "--yes", "--skip-preview")
    assert "accepts your key, and asks for more than a key; let AuthenticationMethods" in outcome.text
    assert "Traceback" not in outcome.text


def test_an_owner_who_takes_long_to_confirm_is_waited_for_and_told_of(operator: Operator, shared: Stack) -> None:
    """The command plugin waits too, and says nothing."""
    with run_agent(operator.folder / "patient", "sleep 5; echo yes") as agent:
        operator.agent = agent
        operator.load(Path("-c"), operator.key())
        operator.use(agent=agent)
        shared.write({"testwg": {"hosts": ["h1"], "rotation": next(_ROTATIONS)}}, h1=operator.ssh)
        outcome = shared.run("up", "--yes", "--skip-preview")
    assert WORDS in outcome.text
    assert "  waiting for the ssh-agent to sign a login; it may want the key touched, or a confirm" in outcome.text


@contextmanager
def cut_off(port: int, client: bytes, times: int) -> Iterator[tuple[int, list[bytes]]]:
    """Stand before an sshd and hang up on the first logins of one client; yield the port, and who has come."""
    seen: list[bytes] = []

    writers: list[asyncio.StreamWriter] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward, back = await asyncio.open_connection("127.0.0.1", port)
        writers.extend((writer, back))
        writer.write(await onward.readline())
        version = await reader.readline()
        seen.append(version)
        if client in version and sum(client in one for one in seen) <= times:
            # With something unread, the system would say reset instead, now and then.
            writer.write_eof()
            await reader.read()
            writer.close()
            back.close()
            return
        back.write(version)
        await asyncio.gather(pump(reader, back), pump(onward, writer))

    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(serve, "127.0.0.1", 0), loop).result(10)

    async def stop() -> None:
        server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        # Their end is told to the loop, which closes only then.
        await asyncio.sleep(0.1)

    yield server.sockets[0].getsockname()[1], seen
    asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def test_a_login_that_is_cut_off_is_tried_again_after_a_reachability_check(operator: Operator, shared: Stack) -> None:
    """A host that is busy hangs up without a word, on the login of ours that comes first and on the plugin's."""
    one_key_in_the_agent(operator)
    with cut_off(operator.sshd.port, b"Go", 3) as (port, seen):
        way = {**operator.ssh, "port": port}
        shared.write({"testwg": {"hosts": ["h1"], "rotation": next(_ROTATIONS)}}, h1=way)
        assert WORDS in shared.run("up", "--yes", "--skip-preview").text
    clients = [next(name for name in ("mesh", "Go", "AsyncSSH") if name.encode() in version) for version in seen]
    assert clients[:7] == ["mesh", "AsyncSSH", "Go", "Go", "Go", "AsyncSSH", "Go"]


def test_a_login_before_the_enrolment_that_is_cut_off_is_tried_again(operator: Operator, shared: Stack) -> None:
    """Twice, and the reason is told when it goes on."""
    one_key_in_the_agent(operator)
    with cut_off(operator.sshd.port, b"AsyncSSH", 2) as (port, _):
        mesh = {"hosts": ["h1"], "rotation": next(_ROTATIONS)}
        shared.write({"testwg": mesh}, h1={**operator.ssh, "port": port})
        assert WORDS in shared.run("up", "--yes", "--skip-preview").text
    with cut_off(operator.sshd.port, b"AsyncSSH", 9) as (port, _):
        shared.write({"testwg": {**mesh, "rotation": next(_ROTATIONS)}}, h1={**operator.ssh, "port": port})
        assert "host 'h1': closed the SSH connection" in shared.run("up", "--yes", "--skip-preview").text
