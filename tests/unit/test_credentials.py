"""What logs in, in which order, and how the command plugin gets at it; real agents hold the keys."""

import base64
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mesh.errors import MeshError
from mesh.remote import credentials
from mesh.remote.agent import list_identities
from mesh.remote.command_agent import AGENT_LINK
from mesh.remote.wire import pack
from tests.own_agent import run_agent

ROOT = Path(__file__).parents[2]
KINDS = {"ed25519": ["-t", "ed25519"], "ecdsa": ["-t", "ecdsa", "-b", "384"], "rsa": ["-t", "rsa", "-b", "2048"]}


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder without anybody's agent or key."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.delenv(credentials.KEY_FILE_VARIABLE, raising=False)
    return tmp_path


@pytest.fixture
def agent(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run an agent that holds nothing yet, and name it in the environment."""
    socket = own_folder / "operator.socket"
    with run_agent(socket):
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        yield socket


def make_key(path: Path, passphrase: str = "", kind: str = "ed25519", *more: str) -> Path:
    """Make an SSH key at `path`."""
    command = ["ssh-keygen", "-q", *KINDS[kind], "-N", passphrase, "-C", path.name, "-f", str(path), *more]
    subprocess.run(command, check=True)
    return path


def certify(key: Path) -> Path:
    """Make a certificate beside a key."""
    ca = key.with_name("ca")
    if not ca.exists():
        make_key(ca)
    subprocess.run(["ssh-keygen", "-q", "-s", str(ca), "-I", "id", "-n", "root", f"{key}.pub"], check=True)
    return key.with_name(f"{key.name}-cert.pub")


def add(*keys: Path) -> None:
    """Load keys into the agent of the environment."""
    subprocess.run(["ssh-add", "-q", *map(str, keys)], check=True)


def listed(socket: Path | str) -> list[str]:
    """Return the keys of an agent, as ssh-add lists them, by type and base64."""
    done = subprocess.run(
        ["ssh-add", "-L"],
        env={**os.environ, "SSH_AUTH_SOCK": str(socket)},
        capture_output=True,
        text=True,
        check=False,
    )
    return [" ".join(line.split()[:2]) for line in done.stdout.splitlines()]


def line(public: Path) -> str:
    """Return a public key or certificate as `listed` does."""
    return " ".join(public.read_text().split()[:2])


def comments() -> list[str]:
    """Return what is offered, in order."""
    return [identity.comment for identity in credentials.load().identities]


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Return whether `condition` came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


SERVE = (
    "import sys; from mesh.remote import credentials; from mesh.remote.command_agent import serve_commands; "
    "serve_commands(credentials.load().identities); print('ready', flush=True); sys.stdin.read()"
)


IMPATIENT = "from mesh.remote import agent, command_agent; agent._LIST_SECONDS = command_agent._LOOK_SECONDS = 1; "


def serve(key: Path | None, before: str = "") -> subprocess.Popen[str]:
    """Start a process that serves a key file to commands until its input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", before + SERVE],
        env={**os.environ, credentials.KEY_FILE_VARIABLE: str(key or ""), "PYTHONPATH": str(ROOT)},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def said(process: subprocess.Popen[str]) -> str:
    """Return the next line of a process."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_neither_agent_nor_key_file_is_explained() -> None:
    """With the two commands that help."""
    known = credentials.load()
    assert known.identities == ()
    assert known.lack.startswith("no ssh-agent and no key file; start one with `eval $(ssh-agent) && ssh-add`")


def test_an_empty_agent_alone_is_explained(agent: Path) -> None:
    """It is there, so nobody has to start one."""
    assert agent.exists()
    assert credentials.load().lack == (
        "the ssh-agent holds no key; run `ssh-add`, or set MESH_SSH_KEY_FILE to a private key file"
    )


def test_a_stale_agent_alone_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is left from an earlier session."""
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere/agent")
    assert credentials.load().lack.startswith("no agent answers at SSH_AUTH_SOCK; ")


@pytest.mark.parametrize("there", [True, False])
def test_a_key_file_works_beside_an_agent_that_helps_nothing(
    own_folder: Path, agent: Path, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empty or gone; a note says so."""
    if not there:
        monkeypatch.setenv("SSH_AUTH_SOCK", f"{agent}.gone")
    monkeypatch.setenv(credentials.KEY_FILE_VARIABLE, str(make_key(own_folder / "mine")))
    assert comments() == ["mine"]
    [note] = credentials.load().notes
    assert note.endswith("going on with MESH_SSH_KEY_FILE alone")


def test_a_named_key_comes_first_and_the_agents_after_it(
    own_folder: Path, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the agent, and none twice."""
    keys = [make_key(own_folder / name) for name in ("one", "two", "three")]
    add(*keys)
    assert agent.exists()
    assert comments() == ["one", "two", "three"]
    monkeypatch.setenv(credentials.KEY_FILE_VARIABLE, str(keys[1]))
    assert comments() == ["two", "one", "three"]
    monkeypatch.setenv(credentials.KEY_FILE_VARIABLE, f"{keys[2]}.pub")
    assert comments() == ["three", "one", "two"]


def test_a_certificate_beside_a_key_comes_before_the_key(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As OpenSSH takes NAME-cert.pub; another key's certificate is none."""
    key = make_key(own_folder / "mine")
    certificate = certify(key)
    monkeypatch.setenv(credentials.KEY_FILE_VARIABLE, str(key))
    kinds = [identity.blob[4:].split(b"\0")[0] for identity in credentials.load().identities]
    assert kinds == [b"ssh-ed25519-cert-v01@openssh.com", b"ssh-ed25519"]
    other = make_key(own_folder / "other")
    certificate.rename(own_folder / "other-cert.pub")
    monkeypatch.setenv(credentials.KEY_FILE_VARIABLE, str(other))
    assert len(credentials.load().identities) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_in_a_file_is_signed_for_by_the_agent(
    own_folder: Path, agent: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent was given the key alone."""
    key = make_key(own_folder / "mine", "", kind)
    add(key)
    certificate = certify(key)
    key.unlink()
    monkeypatch.setenv(credentials.KEY_FILE_VARIABLE, str(certificate))
    assert agent.exists()
    first, *rest = credentials.load().identities
    assert first.blob[4:].split(b"\0")[0].endswith(b"-cert-v01@openssh.com")
    assert len(rest) == 1
    assert first.sign(b"data", 4)


def test_a_key_with_a_passphrase_is_taken_from_the_agent(
    own_folder: Path, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its public half is in the file in clear, so that one need not lie beside it."""
    key = make_key(own_folder / "mine", "secret words")
    monkeypatch.setenv(credentials.KEY_FILE_VARIABLE, str(key))
    with pytest.raises(
        MeshError, match="needs its passphrase or its device, and ssh-agent does not hold it; run ssh-add"
    ):
        credentials.load()
    ask = own_folder / "ask"
    ask.write_text("#!/bin/sh\necho secret words\n")
    ask.chmod(0o700)
    monkeypatch.setenv("SSH_ASKPASS", str(ask))
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    add(key)
    key.with_name("mine.pub").unlink()
    assert agent.exists()
    assert comments() == ["mine"]


@pytest.mark.parametrize("passphrase", ["", "secret words"])
@pytest.mark.parametrize("form", ["PEM", "PKCS8"])
@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_keys_in_older_formats_are_read(
    own_folder: Path, kind: str, form: str, passphrase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ssh reads them; with a passphrase they belong into an agent."""
    key = make_key(own_folder / "mine", passphrase, kind, "-m", form)
    monkeypatch.setenv(credentials.KEY_FILE_VARIABLE, str(key))
    if passphrase:
        with pytest.raises(MeshError, match="needs its passphrase"):
            credentials.load()
    else:
        assert comments() == ["mine"]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (None, "is not a file"),
        ("nonsense", "is no SSH key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n", "is no SSH key"),
    ],
)
def test_a_key_file_that_is_none_is_named(
    own_folder: Path, text: str | None, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path, what is wrong and what to do."""
    file = own_folder / "key"
    if text is not None:
        file.write_text(text)
        file.chmod(0o600)
    monkeypatch.setenv(credentials.KEY_FILE_VARIABLE, str(file))
    with pytest.raises(MeshError, match=f"MESH_SSH_KEY_FILE: .*{wrong}.*; name an SSH private key, or use ssh-agent"):
        credentials.load()


def test_a_key_file_that_others_can_read_is_refused(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ssh does."""
    key = make_key(own_folder / "mine")
    key.chmod(0o644)
    monkeypatch.setenv(credentials.KEY_FILE_VARIABLE, str(key))
    with pytest.raises(MeshError, match="can be read by others; run chmod 600 on it"):
        credentials.load()


def test_a_device_is_no_file_to_protect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is advised to change its mode."""
    monkeypatch.setenv(credentials.KEY_FILE_VARIABLE, "/dev/null")
    with pytest.raises(MeshError, match="MESH_SSH_KEY_FILE: '/dev/null' is no SSH key that can be used"):
        credentials.load()


@pytest.mark.parametrize("kind", KINDS)
def test_commands_find_the_key_behind_the_link(own_folder: Path, kind: str) -> None:
    """OpenSSH's own client lists it there and has it sign; after a kill, the next run takes the remains away."""
    key = make_key(own_folder / "key", "", kind)
    with serve(key) as process:
        assert said(process) == "ready"
        assert listed(AGENT_LINK) == [line(key.with_name("key.pub"))]
        (own_folder / "data").write_text("signed by an agent")
        subprocess.run(
            ["ssh-keygen", "-Y", "sign", "-q", "-n", "file", "-f", f"{key}.pub", "data"],
            env={**os.environ, "SSH_AUTH_SOCK": AGENT_LINK},
            check=True,
        )
        subprocess.run(
            ["ssh-keygen", "-Y", "check-novalidate", "-n", "file", "-s", "data.sig"],
            input=b"signed by an agent",
            check=True,
            capture_output=True,
        )
        assert Path(AGENT_LINK).parent.stat().st_mode & 0o077 == 0
        process.kill()
    with serve(key) as process:
        assert said(process) == "ready"
        assert sorted(os.listdir(".mesh")) == ["agent", f"agent.{process.pid}", "agent.lock"]
        process.communicate("")
    assert sorted(os.listdir(".mesh")) == ["agent", "agent.lock"]


def test_the_operators_agent_signs_for_commands_and_is_never_named(own_folder: Path, agent: Path) -> None:
    """The state holds the constant link; that of an earlier version, to the agent itself, is replaced."""
    key = make_key(own_folder / "key")
    add(key)
    Path(".mesh").mkdir()
    Path(AGENT_LINK).symlink_to(agent)
    with serve(None) as process:
        assert said(process) == "ready"
        assert listed(AGENT_LINK) == [line(key.with_name("key.pub"))]
        assert Path(AGENT_LINK).readlink() == Path(f"agent.{process.pid}")
        process.communicate("")


def test_two_runs_with_the_same_keys_share_one_checkout(own_folder: Path) -> None:
    """Neither waits, and either goes on when the other ends."""
    key = make_key(own_folder / "key")
    public = [line(key.with_name("key.pub"))]
    with serve(key) as first:
        assert said(first) == "ready"
        with serve(key) as second:
            assert said(second) == "ready"
            first.kill()
            first.wait()
            assert wait_until(lambda: listed(AGENT_LINK) == public)
            assert Path(AGENT_LINK).readlink() == Path(f"agent.{second.pid}")
            second.communicate("")


def test_a_run_with_other_keys_waits_for_the_one_before(own_folder: Path) -> None:
    """The plugin has one way to the keys, and must not offer those of another run."""
    key, other = make_key(own_folder / "key"), make_key(own_folder / "other")
    with serve(key) as first:
        assert said(first) == "ready"
        with serve(other) as second:
            assert second.stderr is not None
            assert second.stderr.readline() == "SSH:\n"
            assert "logs in with other keys; waiting for it to end" in second.stderr.readline()
            assert listed(AGENT_LINK) == [line(key.with_name("key.pub"))]
            first.communicate("")
            assert said(second) == "ready"
            assert listed(AGENT_LINK) == [line(other.with_name("other.pub"))]
            second.communicate("")


def test_a_run_that_waits_for_one_that_is_stopped_says_so(own_folder: Path) -> None:
    """It was stopped by Ctrl-Z in another terminal, and would be waited for without end."""
    key = make_key(own_folder / "key")
    with serve(key) as first:
        assert said(first) == "ready"
        first.send_signal(signal.SIGSTOP)
        with serve(key) as second:
            assert second.stderr is not None
            assert second.stderr.readline() == "SSH:\n"
            told = second.stderr.readline()
            assert "another pulumi up in this checkout does not answer, as one that is stopped" in told
            first.send_signal(signal.SIGCONT)
            first.communicate("")
            assert said(second) == "ready"
            second.communicate("")


def test_a_run_whose_keys_are_served_by_one_that_is_stopped_later_says_so(own_folder: Path) -> None:
    """Its commands wait for the other one's agent, and nothing else would tell why; and it says so once."""
    key = make_key(own_folder / "key")
    with serve(key) as first:
        assert said(first) == "ready"
        with serve(key, IMPATIENT) as second:
            assert said(second) == "ready"
            first.send_signal(signal.SIGSTOP)
            assert second.stderr is not None
            assert second.stderr.readline() == "SSH:\n"
            assert "does not answer, as one that is stopped" in second.stderr.readline()
            time.sleep(3)
            first.send_signal(signal.SIGCONT)
            first.communicate("")
            assert wait_until(lambda: Path(AGENT_LINK).readlink() == Path(f"agent.{second.pid}"))
            assert second.communicate("")[1] == ""


def test_a_run_whose_turn_another_holds_says_so(own_folder: Path) -> None:
    """A run can be stopped just while it takes the link, where it has not said that it is ready."""
    key = make_key(own_folder / "key")
    Path(".mesh").mkdir()
    with Path(".mesh/agent.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with serve(key) as process:
            assert process.stderr is not None
            assert process.stderr.readline() == "SSH:\n"
            assert "does not answer, as one that is stopped" in process.stderr.readline()
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert said(process) == "ready"
            process.communicate("")


@pytest.mark.parametrize("place", [".mesh", ".mesh/agent.lock"])
def test_what_cannot_be_written_ends_a_run_in_words(own_folder: Path, place: str) -> None:
    """Also in the threads that serve, for which the run would wait for ever."""
    key = make_key(own_folder / "key")
    if place == ".mesh":
        Path(place).touch()
    else:
        Path(place).mkdir(parents=True)
    with serve(key) as process:
        _, errors = process.communicate("", timeout=30)
    assert process.returncode
    assert f"MeshError: {place}: cannot be written (" in errors
    assert "let your user own .mesh, or remove it, which is made again, and see that the disk has room" in errors


def test_what_cannot_be_kept_of_accepted_keys_stops_no_login(own_folder: Path, agent: Path) -> None:
    """It only saves tries."""
    keys = [make_key(own_folder / f"key{number}") for number in range(6)]
    add(*keys)
    Path(".mesh").touch()
    many = list_identities(str(agent))
    credentials.remember(many[5])
    assert credentials.prefer(many) == many


def test_a_key_that_was_accepted_comes_first_where_there_are_many(own_folder: Path, agent: Path) -> None:
    """Of few keys the order is the user's."""
    keys = [make_key(own_folder / f"key{number}") for number in range(7)]
    add(*keys[:5])
    assert agent.exists()
    few = credentials.load().identities
    credentials.remember(few[4])
    assert [found.comment for found in credentials.prefer(few)] == [f"key{number}" for number in range(5)]
    add(*keys[5:])
    many = list_identities(str(agent))
    credentials.remember(many[6])
    order = [found.comment for found in credentials.prefer(many)]
    assert order == ["key6", "key4", "key0", "key1", "key2", "key3", "key5"]


@pytest.mark.parametrize("end", ["killed", "done"])
def test_a_run_whose_keys_are_served_keeps_them_when_that_one_ends(own_folder: Path, end: str) -> None:
    """A third run, with other keys, waits for both; its keys would be refused by the hosts of the second."""
    key, other = make_key(own_folder / "key"), make_key(own_folder / "other")
    with serve(key) as first:
        assert said(first) == "ready"
        with serve(other) as third, serve(key) as second:
            assert said(second) == "ready"
            assert third.stderr is not None
            assert third.stderr.readline() == "SSH:\n"
            # So that the third one is always the quicker of the two.
            second.send_signal(signal.SIGSTOP)
            if end == "killed":
                first.kill()
            first.communicate("")
            time.sleep(1)
            second.send_signal(signal.SIGCONT)
            assert wait_until(lambda: Path(AGENT_LINK).readlink() == Path(f"agent.{second.pid}"))
            assert listed(AGENT_LINK) == [line(key.with_name("key.pub"))]
            second.communicate("")
            assert said(third) == "ready"
            assert listed(AGENT_LINK) == [line(other.with_name("other.pub"))]
            third.communicate("")


def test_a_login_that_has_begun_is_signed_for_by_a_run_that_ends(own_folder: Path) -> None:
    """It is of another run with the same keys, which has the link by then; a host takes a while to ask for it."""
    key = make_key(own_folder / "key")
    with serve(key) as first:
        assert said(first) == "ready"
        with serve(key) as second, socket.socket(socket.AF_UNIX) as login:
            assert said(second) == "ready"
            login.connect(AGENT_LINK)
            login.sendall(pack(b"\x0b"))
            assert login.recv(4096)[4:5] == b"\x0c"
            assert first.stdin is not None
            first.stdin.close()
            assert wait_until(lambda: Path(AGENT_LINK).readlink() == Path(f"agent.{second.pid}"))
            time.sleep(1)
            blob = base64.b64decode(key.with_name("key.pub").read_text().split()[1])
            login.sendall(pack(b"\x0d" + pack(blob, b"data") + bytes(4)))
            assert login.recv(4096)[4:5] == b"\x0e"
            assert first.wait(5) == 0
            second.communicate("")
    assert sorted(os.listdir(".mesh")) == ["agent", "agent.lock"]
