"""What the operator's own SSH knows of a host: the way that `ssh NAME` would take, and the host keys that it trusts.

OpenSSH's programs read its files themselves: `ssh -G` the configuration, and `ssh-keygen -F` known_hosts, where names
may be hashed. What they cannot read is told in their words, and never taken for nothing.
"""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.cli.ssh_destination import read_destination
from mesh.cli.yaml_values import flow_mapping, may_stand_elsewhere
from mesh.config.connection import Connection
from mesh.errors import HostError, visible

__all__ = ["KnownKeys", "Way", "fill_in_way", "find_known_keys", "find_way", "keys_known_of"]

_SECONDS = 20
_DEFAULT_PORT = 22
_LINE = re.compile(r"found: line (\d+)")
# The status of `ssh-keygen -F` that finds nothing.
_NOT_FOUND = 1


@dataclass(frozen=True)
class Way:
    """How `ssh` reaches a machine: address, port, user, and the machine in between, if there is one, as it is called.

    One in between is reached directly, since a stack file has no place for another.
    """

    address: str
    port: int
    user: str
    jump: str = ""
    bastion: "Way | None" = None

    def as_settings(self) -> dict[str, Any]:
        """Return it as fields of a stack file, without those that are so by default."""
        return {
            "address": self.address,
            **({"port": self.port} if self.port != _DEFAULT_PORT else {}),
            **({"user": self.user} if self.user != "root" else {}),
            **({"bastion": flow_mapping(self.bastion.as_settings())} if self.bastion else {}),
        }


@dataclass(frozen=True)
class KnownKeys:
    """Host keys by where they are written, such as `/root/.ssh/known_hosts:3`; those that are revoked apart."""

    trusted: dict[str, str]
    revoked: dict[str, str]


@dataclass(frozen=True)
class _Settings:
    """What the SSH configuration says of a machine, be it a way that a stack file can say or not."""

    address: str
    port: int
    user: str
    proxy_command: str
    jumps: tuple[str, ...]
    known_as: str
    known_hosts: tuple[str, ...]


class _FailedError(Exception):
    """One of OpenSSH's programs has failed; the text is what it says."""


def _environment() -> dict[str, str]:
    # `Match exec` and `ProxyCommand` run what they like, which needs no passphrase of a stack.
    return {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")}


def _run(*command: str, fine: Sequence[int] = (0,)) -> str:
    """Return what a program of OpenSSH prints.

    Raises:
        _FailedError: If it ends with another status than these, or not at all.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=_SECONDS,
            stdin=subprocess.DEVNULL, env=_environment(),
        )  # fmt: skip
    except OSError as error:
        raise _FailedError(error.strerror or str(error)) from None
    except subprocess.TimeoutExpired:
        raise _FailedError(f"nothing within {_SECONDS} seconds") from None
    if done.returncode not in fine:
        said = next(filter(None, map(str.strip, done.stderr.splitlines())), f"nothing, with status {done.returncode}")
        raise _FailedError(visible(said[:200]))
    return done.stdout


def _ask_ssh(name: str) -> _Settings:
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
        said = _run("ssh", "-G", *options, "--", typed.host)
    except _FailedError as error:
        raise HostError(name, f"`ssh -G` says: {error}; correct your SSH configuration") from None
    fields = dict(line.split(" ", 1) for line in said.splitlines() if " " in line)
    if not (fields.get("hostname") and fields.get("user") and _is_port(fields.get("port", ""))):
        raise HostError(name, "`ssh -G` tells no address, port and user; correct your SSH configuration")
    files = f"{fields.get('userknownhostsfile', '')} {fields.get('globalknownhostsfile', '')}"
    number = int(fields["port"])
    proxy_command, jumps, alias = (
        "" if (said := fields.get(name, "none")) == "none" else said
        for name in ("proxycommand", "proxyjump", "hostkeyalias")
    )
    # ssh looks an alias up without a port.
    plain = fields["hostname"] if number == _DEFAULT_PORT else f"[{fields['hostname']}]:{number}"
    return _Settings(
        fields["hostname"],
        number,
        fields["user"],
        proxy_command,
        tuple(filter(None, jumps.split(","))),
        alias or plain,
        tuple(file for file in _split(files) if file not in ("none", "/dev/null")),
    )


def find_way(name: str, *, has_bastion: bool = False) -> Way:
    """Return the way that `ssh NAME` takes, or the end of it where the stack file `has_bastion`.

    Raises:
        HostError: If OpenSSH cannot say it, or goes a way that a stack file cannot.
    """
    said = _ask_ssh(name)
    way = Way(said.address, said.port, said.user)
    if has_bastion:
        return way
    if said.proxy_command:
        raise HostError(name, "is reached by a ProxyCommand, which mesh cannot; give ssh.address, or ssh.bastion")
    if len(said.jumps) > 1:
        raise HostError(name, "is reached by several ProxyJumps, and mesh takes one; give ssh.address, or ssh.bastion")
    if not said.jumps:
        return way
    [jump] = said.jumps
    try:
        between = _ask_ssh(jump)
    except HostError as error:
        raise HostError(name, f"is reached by ProxyJump {jump}: {error.message}") from None
    if between.proxy_command or between.jumps:
        how = "a ProxyCommand" if between.proxy_command else f"ProxyJump {','.join(between.jumps)}"
        raise HostError(
            name,
            f"is reached by ProxyJump {jump}, which is itself reached by {how}, and mesh takes one jump; give "
            "ssh.address, or ssh.bastion",
        )
    return Way(said.address, said.port, said.user, jump, Way(between.address, between.port, between.user))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535


def _split(files: str) -> list[str]:
    try:
        return shlex.split(files)
    except ValueError:
        # A quotation that does not end; ssh itself refuses such a name where it is given.
        return files.split()


def find_known_keys(known_as: str, files: Sequence[str]) -> KnownKeys:
    """Return the host keys that known_hosts files hold for a name; keys of certificate authorities are none.

    Raises:
        HostError: If one cannot be read.
    """
    trusted: dict[str, str] = {}
    revoked: dict[str, str] = {}
    for file in files:
        place = file
        try:
            said = _run("ssh-keygen", "-F", known_as, "-f", file, fine=(0, _NOT_FOUND))
        except _FailedError as error:
            raise HostError(known_as, f"{file} cannot be read ({error}); correct that file") from None
        for line in said.splitlines():
            if line.startswith("#"):
                place = f"{file}:{''.join(_LINE.findall(line))}"
                continue
            words = line.split()
            marker = words.pop(0) if words and words[0].startswith("@") else ""
            if len(words) < 3 or marker not in ("", "@revoked"):
                continue
            (revoked if marker else trusted)[place] = f"{words[1]} {words[2]}"
    return KnownKeys(trusted, revoked)


def fill_in_way(name: str, entry: dict[str, Any]) -> str:
    """Complete the `ssh` of a stack file's entry that has no address, and return what was filled in; empty for nothing.

    It is what `ssh NAME` takes; what the entry says already stays.

    Raises:
        HostError: As `find_way`, or if another host may have the same settings by an alias or a merge.
    """
    ssh = entry.get("ssh")
    if ssh is not None and (not isinstance(ssh, dict) or ssh.get("address")):
        return ""
    if may_stand_elsewhere(entry, "ssh"):
        raise HostError(
            name,
            "may share its ssh with another host, by an alias or a merge, and an address is of one alone; write ssh "
            "out for each",
        )
    kept = {key: value for key, value in (ssh or {}).items() if key != "address"}
    way = find_way(name, has_bastion=bool(kept.get("bastion")))
    merged = {**way.as_settings(), **kept}
    if ssh is None:
        entry["ssh"] = flow_mapping(merged)
    else:
        ssh.update(merged)
    user = f"{merged.get('user', 'root')}@{way.address} port {merged.get('port', _DEFAULT_PORT)}"
    return f"{user}, through {way.jump}" if way.jump else user


def keys_known_of(name: str, connection: Connection) -> KnownKeys:
    """Return what known_hosts holds for where a connection leads, under its address or as `ssh NAME` looks it up.

    Raises:
        HostError: If OpenSSH, which is there, cannot say it.
    """
    if shutil.which("ssh") is None:
        return KnownKeys({}, {})
    address, port = str(connection["address"]), int(connection["port"])
    names = [address if port == _DEFAULT_PORT else f"[{address}]:{port}"]
    by_address, by_name = _ask_ssh(address), _ask_ssh(name)
    if (by_name.address, by_name.port) == (address, port) and by_name.known_as not in names:
        names.append(by_name.known_as)
    files = dict.fromkeys((*by_address.known_hosts, *by_name.known_hosts))
    found = [find_known_keys(known_as, [file for file in files if Path(file).is_file()]) for known_as in names]
    return KnownKeys(
        {place: key for keys in found for place, key in keys.trusted.items()},
        {place: key for keys in found for place, key in keys.revoked.items()},
    )
