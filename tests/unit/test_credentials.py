"""What `mesh.credentials` authenticates with; a real ssh-agent holds the key."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mesh.errors import MeshError
from mesh.remote import credentials

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder without anybody's agent or key."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.delenv(credentials.KEY_FILE_VARIABLE, raising=False)
    return tmp_path


def make_key(path: Path, passphrase: str = "") -> Path:
    """Make an SSH key at `path`."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)], check=True)
    return path


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Return whether `condition` came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_neither_agent_nor_key_file_is_explained() -> None:
    """With the two commands that help."""
    with pytest.raises(MeshError, match=r"SSH: no ssh-agent and no key file; start one with .*MESH_SSH_KEY_FILE"):
        credentials.agent_for_commands()


def test_the_operators_agent_is_linked_and_never_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state holds the constant link; a stale one is replaced."""
    for socket in ("/run/one", "/run/two"):
        monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        credentials.agent_for_commands()
        assert str(Path(credentials.AGENT_LINK).readlink()) == socket
    assert os.listdir(".mesh") == ["agent"]


def test_a_key_file_that_is_no_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The path, what is wrong and what to do."""
    monkeypatch.setenv(credentials.KEY_FILE_VARIABLE, "/nowhere/key")
    with pytest.raises(MeshError, match="MESH_SSH_KEY_FILE: '/nowhere/key' is not a file; name an SSH private key"):
        credentials.key_file()


def test_a_key_file_is_served_by_an_agent_that_ends_with_us(own_folder: Path) -> None:
    """The agent has the key while we live, and neither process nor socket is left when we were killed."""
    key = make_key(own_folder / "key")
    script = (
        "import sys; from mesh.remote import credentials; credentials.agent_for_commands(); "
        "print('ready', flush=True); sys.stdin.read()"
    )
    environment = {**os.environ, credentials.KEY_FILE_VARIABLE: str(key), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        socket = Path(credentials.AGENT_LINK).readlink()
        listed = subprocess.run(
            ["ssh-add", "-L"],
            env={**os.environ, "SSH_AUTH_SOCK": str(socket)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert listed.stdout.split()[1] == key.with_suffix(".pub").read_text().split()[1]
        process.kill()
    assert wait_until(lambda: not socket.parent.exists()), "the agent outlived its user"


def test_two_runs_with_key_files_take_turns_in_one_checkout(own_folder: Path) -> None:
    """The agent of one ends with it, and the other would be left without."""
    key = make_key(own_folder / "key")
    script = (
        "import sys; from mesh.remote import credentials; credentials.agent_for_commands(); "
        "print('ready', flush=True); sys.stdin.read()"
    )
    environment = {**os.environ, credentials.KEY_FILE_VARIABLE: str(key), "PYTHONPATH": str(ROOT)}

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", script], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    with start() as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "ready\n"
        with start() as second:
            assert second.stdout is not None
            assert second.stderr is not None
            assert second.stderr.readline() == "SSH:\n"
            assert "waiting for it to end" in second.stderr.readline()
            used = Path(credentials.AGENT_LINK).readlink()
            first.communicate("")
            assert second.stdout.readline() == "ready\n"
            assert Path(credentials.AGENT_LINK).readlink() != used
            second.communicate("")


def test_a_key_file_with_a_passphrase_is_refused_with_the_way_out(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No prompt, no hanging."""
    key = make_key(own_folder / "key", "secret words")
    monkeypatch.setenv(credentials.KEY_FILE_VARIABLE, str(key))
    with pytest.raises(MeshError, match="without a passphrase, or load it into ssh-agent"):
        credentials.agent_for_commands()


def test_a_named_key_file_counts_more_than_the_agent(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user named it; an agent is often there by habit, empty or gone."""
    monkeypatch.setenv(credentials.KEY_FILE_VARIABLE, str(make_key(own_folder / "key")))
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/stale")
    credentials.agent_for_commands()
    assert str(Path(credentials.AGENT_LINK).readlink()) != "/run/stale"
