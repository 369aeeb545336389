"""OpenSSH's own server on loopback, for what a stand-in would only imitate: which keys it takes, when it hangs up."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Sshd", "find_sshd", "has_post_quantum_exchange", "make_key", "run_agent", "run_sshd"]

_KINDS = {"ed25519": [], "ecdsa": ["-b", "384"], "rsa": ["-b", "2048"]}


@dataclass(frozen=True)
class Sshd:
    """A running sshd that lets root in with the keys in `authorized` and runs nothing for him."""

    port: int
    folder: Path

    @property
    def host_key(self) -> str:
        """Its public host key, type and base64."""
        return " ".join((self.folder / "host-key.pub").read_text().split()[:2])

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.folder / "log").read_text(errors="replace")

    def authorize(self, line: str) -> None:
        """Let in one key, or those of an authority, and forget the log."""
        (self.folder / "authorized").write_text(line)
        (self.folder / "log").write_text("")


def find_sshd() -> str | None:
    """Return the server's path, None where openssh-server is not installed; MESH_SSHD names another version's."""
    return os.environ.get("MESH_SSHD") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin")


def has_post_quantum_exchange() -> bool:
    """Tell whether the server is of a version that has ML-KEM."""
    sshd = find_sshd()
    if sshd is None:
        return False
    done = subprocess.run([sshd, "-T", "-f", "/dev/null"], capture_output=True, text=True, check=False)
    return "mlkem768x25519-sha256" in done.stdout


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Make an SSH key at `path`."""
    command = ["ssh-keygen", "-q", "-t", kind, *_KINDS[kind], "-N", passphrase, "-C", path.name, "-f", str(path)]
    subprocess.run(command, check=True)
    return path


@contextmanager
def run_agent(path: Path, owner: str = "") -> Iterator[Path]:
    """Run an ssh-agent at the socket `path`, empty at first; `owner` is a script that confirms for its owner."""
    ask = path.with_name(f"{path.name}-owner")
    ask.write_text(f"#!/bin/sh\n{owner}\n")
    ask.chmod(0o700)
    process = subprocess.Popen(
        ["ssh-agent", "-D", "-a", str(path)],
        stdout=subprocess.DEVNULL,
        env={**os.environ, **({"SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"} if owner else {})},
    )
    try:
        while not path.exists():
            time.sleep(0.02)
        yield path
    finally:
        process.terminate()
        process.wait()


@contextmanager
def run_sshd(folder: Path, configuration: str) -> Iterator[Sshd]:
    """Run an sshd with its files in `folder`, and more settings."""
    make_key(folder / "host-key")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host-key\nAuthorizedKeysFile {folder}/authorized\n"
        f"PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nLogLevel VERBOSE\n{configuration}\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    sshd = Sshd(port, folder)
    sshd.authorize("")
    with (folder / "log").open("a") as log:
        process = subprocess.Popen([str(find_sshd()), "-D", "-e", "-f", str(folder / "config")], stderr=log)
    try:
        until = time.monotonic() + 10
        while "Server listening" not in sshd.log:
            assert process.poll() is None, sshd.log
            assert time.monotonic() < until, sshd.log
            time.sleep(0.05)
        yield sshd
    finally:
        process.terminate()
        process.wait()
