"""OpenSSH's own programs, which read its files: `ssh -G` the configuration, `ssh-keygen -F` known_hosts.

What they cannot read is told in their words, and never taken for nothing.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from mesh.cli.ssh_destination import read_destination
from mesh.errors import HostError, visible

__all__ = ["DEFAULT_SSH_PORT", "OpenSshError", "SshAnswer", "ask_ssh", "run_openssh"]

DEFAULT_SSH_PORT = 22
_SECONDS = 20
# What tells which host keys to trust, or not to, and is not read here.
_UNREAD = {"knownhostscommand": "KnownHostsCommand", "revokedhostkeys": "RevokedHostKeys"}


@dataclass(frozen=True)
class SshAnswer:
    """What the SSH configuration says of a machine, be it a way that a stack file can say or not.

    `known_hosts` has the files as `ssh -G` prints them, those of an option in one line, and `unread` the options that
    say more of host keys.
    """

    address: str
    port: int
    user: str
    proxy_command: str
    jumps: tuple[str, ...]
    known_as: str
    known_hosts: tuple[str, ...]
    unread: tuple[str, ...]


class OpenSshError(Exception):
    """One of OpenSSH's programs has failed; the text is what it says."""


def _environment() -> dict[str, str]:
    # `Match exec` and `ProxyCommand` run what they like, which needs no passphrase of a stack.
    return {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")}


def run_openssh(*command: str, fine: Sequence[int] = (0,)) -> str:
    """Return what a program of OpenSSH prints.

    Raises:
        OpenSshError: If it ends with another status than these, or not at all.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=_SECONDS,
            stdin=subprocess.DEVNULL, env=_environment(),
        )  # fmt: skip
    except OSError as error:
        raise OpenSshError(error.strerror or str(error)) from None
    except subprocess.TimeoutExpired:
        raise OpenSshError(f"nothing within {_SECONDS} seconds") from None
    if done.returncode not in fine:
        said = next(filter(None, map(str.strip, done.stderr.splitlines())), f"nothing, with status {done.returncode}")
        raise OpenSshError(visible(said[:200]))
    return done.stdout


def ask_ssh(name: str) -> SshAnswer:
    """Return what the configuration says of a machine, as it may be named to `ssh`.

    Raises:
        HostError: If OpenSSH does not tell.
    """
    try:
        typed = read_destination(name)
    except ValueError:
        raise HostError(name, "is no name that ssh takes; give ssh.address") from None
    options = [*(["-p", str(typed.port)] if typed.port else []), *(["-l", typed.user] if typed.user else [])]
    if shutil.which("ssh") is None:
        raise HostError(name, "is for ssh to find, and this machine has none; install OpenSSH, or give ssh.address")
    try:
        said = run_openssh("ssh", "-G", *options, "--", typed.host)
    except OpenSshError as error:
        raise HostError(name, f"`ssh -G` says: {error}; correct your SSH configuration") from None
    fields = dict(line.split(" ", 1) for line in said.splitlines() if " " in line)
    if not (fields.get("hostname") and fields.get("user") and _is_port(fields.get("port", ""))):
        raise HostError(name, "`ssh -G` tells no address, port and user; correct your SSH configuration")
    number = int(fields["port"])
    proxy_command, jumps, alias = (
        "" if (said := fields.get(name, "none")) == "none" else said
        for name in ("proxycommand", "proxyjump", "hostkeyalias")
    )
    # ssh looks an alias up without a port.
    plain = fields["hostname"] if number == DEFAULT_SSH_PORT else f"[{fields['hostname']}]:{number}"
    return SshAnswer(
        fields["hostname"],
        number,
        fields["user"],
        proxy_command,
        tuple(filter(None, jumps.split(","))),
        alias or plain,
        (fields.get("userknownhostsfile", ""), fields.get("globalknownhostsfile", "")),
        tuple(words for option, words in _UNREAD.items() if fields.get(option, "none") not in ("none", "/dev/null")),
    )


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535
