"""How commands run on hosts whatever the login shell is and prints: real shells behind an SSH server on loopback."""

import asyncio
import importlib
import os
import pty
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from mesh.errors import HostError
from mesh.remote import commands, host_program
from mesh.remote.commands import run_command
from mesh.remote.concurrency import run

# By shell, where it looks for what it prints before a command, and what is put there: a terminal's title without a
# line feed, a greeting, and bytes that are no UTF-8.
_NOISE = r"printf '\033]0;%s\007Welcome \374ber alles' title"
_SHELLS = {
    "bash": (".bashrc", f"{_NOISE}\necho Welcome to carol; {_NOISE}\n"),
    "fish": (".config/fish/config.fish", f"{_NOISE}\necho Welcome to carol; {_NOISE}\n"),
    "tcsh": (".tcshrc", f"{_NOISE}\necho Welcome to carol; {_NOISE}\n"),
    "zsh": (".zshenv", f"{_NOISE}\nprint -n 'carol %% '; {_NOISE}\n"),
    "dash": (".profile", ""),
    "busybox": (".profile", ""),
}
# Quotes of each kind, a backslash, an exclamation mark, and everything that some shell reads otherwise than sh.
_WORDS = r"""it's "all" \n \\ !! $HOME `id` ~ * {a,b} (x) [y] %s # ; | & < > ^ = 'end'"""


class _Server(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return username == "nobody"


@dataclass
class Login:
    """A host with a login shell; `path` holds commands of its own."""

    home: Path
    shell: tuple[str, ...] = ("dash",)
    connection: Any = field(default_factory=dict)
    serving: set[asyncio.Future[None]] = field(default_factory=set)

    @property
    def path(self) -> Path:
        """Where commands of its own are."""
        return self.home / "bin"

    def command(self, name: str, body: str) -> None:
        """Give the host a command."""
        self.path.mkdir(exist_ok=True)
        (self.path / name).write_text(f"#!/bin/sh\n{body}\n")
        (self.path / name).chmod(0o755)

    def use(self, name: str, startup: str | None = None) -> None:
        """Make this machine's shell of that name the login shell, or skip the test where it has none."""
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"there is no {name} on this machine")
        self.shell = (found, "sh") if name == "busybox" else (found,)
        file, noise = _SHELLS[name]
        (self.home / file).parent.mkdir(parents=True, exist_ok=True)
        (self.home / file).write_text(noise if startup is None else startup)

    def ask(self, script: str, payload: str = "", *, sudo: bool = False) -> str:
        """Run a script there."""
        return run(lambda: run_command("carol", self.connection, script, payload, sudo=sudo, what="it"))

    async def handle(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        """Serve, to the end."""
        serving = asyncio.ensure_future(self.serve(process))
        self.serving.add(serving)
        await asyncio.shield(serving)

    async def serve(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        """Do as sshd does."""
        environment = {
            "HOME": str(self.home), "PATH": f"{self.path}:{os.environ['PATH']}", "SSH_CLIENT": "127.0.0.1 1 2",
            "SHLVL": "0",
        }  # fmt: skip
        terminal, ours = pty.openpty() if process.term_type else (0, asyncio.subprocess.PIPE)
        started = await asyncio.create_subprocess_exec(
            *self.shell, "-c", process.command or "", env=environment, cwd=self.home, start_new_session=True,
            stdin=ours, stdout=ours, stderr=ours,
        )  # fmt: skip
        if terminal:
            process.exit(await started.wait())
            os.close(terminal)
            os.close(ours)
            return
        assert started.stdin
        assert started.stdout
        assert started.stderr
        feeding = asyncio.create_task(_pump(process.stdin, started.stdin))
        try:
            await asyncio.gather(_pump(started.stdout, process.stdout), _pump(started.stderr, process.stderr))
            with suppress(TimeoutError):
                await asyncio.wait_for(started.wait(), 2)
        finally:
            feeding.cancel()
            # It may have more to say, to nobody.
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
            # Its end is not seen before that of its pipes.
            await asyncio.gather(started.stdout.read(), started.stderr.read())
            process.exit(await started.wait() & 0xFF)


async def _pump(source: Any, sink: Any) -> None:
    with suppress(OSError, asyncssh.Error):
        while said := await source.read(1 << 16):
            sink.write(said)
            await sink.drain()
        if isinstance(sink, asyncio.StreamWriter):
            sink.close()


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Login]:
    """Return a host that lets everybody in, with dash for its login shell."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.delenv("MESH_SSH_KEY_FILE", raising=False)
    login = Login(tmp_path)
    key = asyncssh.generate_private_key("ssh-ed25519")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def call(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(20)

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1", 0, server_factory=_Server, server_host_keys=[key], encoding=None,
            process_factory=login.handle,
        )  # fmt: skip

    async def end(server: asyncssh.SSHAcceptor) -> None:
        server.close()
        await server.wait_closed()
        if login.serving:
            # One whose client has gone may wait for it, and is ended with its shell.
            _, late = await asyncio.wait(login.serving, timeout=1)
            for serving in late:
                serving.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    server = call(listen())
    public = " ".join(key.export_public_key().decode().split()[:2])
    login.connection |= {
        "address": "127.0.0.1", "port": server.get_port(), "user": "mesh", "hostKey": public, "bastion": None,
    }  # fmt: skip
    yield login
    call(end(server))
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.mark.parametrize("shell", _SHELLS)
def test_a_command_says_the_same_whatever_the_login_shell_is_and_prints(host: Login, shell: str) -> None:
    """Its answer is exact to the byte, with what it was sent, and no login shell ever reads its text."""
    host.use(shell)
    words = _WORDS.replace("'", "'\"'\"'")
    assert host.ask(f"printf '%s\\n' '{words}'; cat", "a payload\nof two lines") == f"{_WORDS}\na payload\nof two lines"


@pytest.mark.parametrize("shell", _SHELLS)
def test_a_failure_is_told_with_the_last_word_whatever_the_login_shell_is(host: Login, shell: str) -> None:
    """Its exit status reaches us too."""
    host.use(shell)
    with pytest.raises(HostError, match=r"host 'carol': could not tell it \(no such thing\)"):
        host.ask("echo no such thing >&2; exit 3")


@pytest.mark.parametrize("shell", _SHELLS)
def test_a_key_is_enrolled_whatever_the_login_shell_is(
    host: Login, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text of that command stands in every state, and the engine's plugin gives it to the login shell itself."""
    host.use(shell)
    monkeypatch.setattr(host_program, "DIRECTORY", str(host.home / "mesh"))
    with warnings.catch_warnings():
        # A part of the command package that nobody uses warns while it is imported.
        warnings.simplefilter("ignore", DeprecationWarning)
        enrolment = importlib.import_module("mesh.component.enrolment")
        text = enrolment.command("testwg", sudo=False, installation=2)

    async def enrol() -> None:
        way = host.connection
        async with asyncssh.connect(
            way["address"], way["port"], username="mesh", known_hosts=None, client_keys=None, config=None
        ) as connection:
            assert (await connection.run(text, input=b"k" * 43 + b"=", check=True, encoding=None)).exit_status == 0

    run(enrol)
    assert (host.home / "mesh/testwg/enrolled/private-key").read_text() == "k" * 43 + "="


def test_bytes_that_are_no_text_are_replaced(host: Login) -> None:
    """Never a traceback."""
    assert host.ask(r"printf 'a\374\000b'") == "a\ufffd\0b"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            'echo "sudo: Ein Passwort ist notwendig" >&2; exit 1',
            r"sudo wants a password or refuses \(sudo: Ein Passwort",
        ),
        ('echo "sudo: interactive authentication is required" >&2; exit 1', "sudo wants a password or refuses"),
        ('[ -t 0 ] || { echo "sudo: sorry" >&2; exit 1; }; shift; exec "$@"', "sudo works on terminals only"),
        ("exit 127", "has no sudo"),
    ],
    ids=["German", "sudo-rs", "requiretty", "none"],
)
def test_what_keeps_sudo_from_its_work_is_told_without_reading_its_words(host: Login, body: str, message: str) -> None:
    """They are in the language of the host."""
    host.command("sudo", body)
    with pytest.raises(HostError, match=f"host 'carol': {message}"):
        host.ask("id", sudo=True)


def test_a_lecture_of_sudo_is_no_failure(host: Login) -> None:
    """Whatever it prints, and wherever."""
    host.command("sudo", 'echo "We trust you have received the usual lecture"; echo more >&2; shift; exec "$@"')
    assert host.ask("echo done", sudo=True) == "done\n"


def test_a_login_shell_that_runs_nothing_is_told_with_its_words(host: Login) -> None:
    """A forced command and nologin print them on standard output."""
    host.shell = ("/bin/sh", "-c", "echo use the account admin; exit 1", "sh")
    with pytest.raises(HostError, match=r"logs in, but runs no command \(use the account admin\); give ssh.user a"):
        host.ask("id")


def test_a_login_shell_that_waits_is_no_fault_of_the_network(host: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    """It let us in."""
    monkeypatch.setattr(commands, "CONNECT_SECONDS", 2)
    host.use("bash", "sleep 60\n")
    with pytest.raises(HostError, match="logs in, but runs no command within 2 seconds; see what its login shell"):
        host.ask("id")


def test_a_host_whose_commands_do_not_end_is_told_before_its_enrolment(
    host: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where PAM hangs when a session closes: a run would wait without end, and without a word."""
    monkeypatch.setattr(commands, "COMMAND_SECONDS", 2)
    host.command("sudo", 'shift; "$@"; sleep 60')
    with pytest.raises(HostError, match="host 'carol': ends no command within 2 seconds; see what sudo or its login"):
        run(lambda: asyncio.wait_for(commands.try_command("carol", host.connection, sudo=True), 10))


@pytest.mark.parametrize(
    "script",
    ["yes", "cat /dev/zero", "while :; do echo; done", "yes | tr -d '\\n'", "head -c 5000000 /dev/zero"],
)
def test_a_host_that_says_too_much_is_cut_off_and_named(host: Login, script: str) -> None:
    """Within seconds, and before it takes the operator's memory."""
    began = time.monotonic()
    with pytest.raises(HostError, match="host 'carol': says without end where it is due, and was cut off"):
        host.ask(script)
    assert time.monotonic() - began < 30


def test_a_host_that_greets_without_end_is_cut_off_and_named(host: Login) -> None:
    """Before its command begins."""
    host.use("bash", "yes Welcome\n")
    with pytest.raises(HostError, match="host 'carol': says without end where a login is due, and was cut off"):
        host.ask("id")
