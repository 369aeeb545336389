"""What the operator's own SSH knows of a host: the way that `ssh NAME` would take, and the host keys that it trusts.

OpenSSH's programs read its files themselves: `ssh -G` the configuration, and `ssh-keygen -F` known_hosts, where names
may be hashed.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.cli.yaml_values import flow_mapping
from mesh.config.connection import Connection
from mesh.errors import HostError

__all__ = ["KnownKeys", "Way", "fill_in_way", "find_known_keys", "find_way", "keys_known_of"]

_SECONDS = 20
_DEFAULT_PORT = 22
_LINE = re.compile(r"found: line (\d+)")


@dataclass(frozen=True)
class Way:
    """How `ssh` reaches a machine: address, port, user, jumps, and the files that may hold its host key."""

    address: str
    port: int
    user: str
    jumps: tuple[str, ...]
    known_as: str
    known_hosts: tuple[str, ...]

    def as_settings(self) -> dict[str, Any]:
        """Return it as fields of a stack file, without those that are so by default."""
        return {
            "address": self.address,
            **({"port": self.port} if self.port != _DEFAULT_PORT else {}),
            **({"user": self.user} if self.user != "root" else {}),
        }


@dataclass(frozen=True)
class KnownKeys:
    """Host keys by where they are written, such as `/root/.ssh/known_hosts:3`; those that are revoked apart."""

    trusted: dict[str, str]
    revoked: dict[str, str]


def _environment() -> dict[str, str]:
    # `Match exec` and `ProxyCommand` run what they like, which needs no passphrase of a stack.
    return {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")}


def _run(*command: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=_SECONDS,
            stdin=subprocess.DEVNULL, env=_environment(),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def find_way(name: str) -> Way:
    """Return the way that `ssh NAME` takes; `name` may be `user@address` or have a port behind a colon, as a jump does.

    Raises:
        HostError: If OpenSSH cannot say it, or goes a way that a stack file cannot.
    """
    place, colon, port = name.rpartition(":")
    # An IPv6 address has colons of its own, and brackets before a port.
    has_port = colon and port.isdigit() and (":" not in place or place.endswith("]"))
    user, at, address = (place if has_port else name).rpartition("@")
    options = [*(["-p", port] if has_port else []), *(["-l", user] if at else [])]
    said = _run("ssh", "-G", *options, "--", address.strip("[]"))
    fields = dict(line.split(" ", 1) for line in said.splitlines() if " " in line)
    if not (fields.get("hostname") and fields.get("user") and _is_port(fields.get("port", ""))):
        raise HostError(name, "has no ssh.address, and `ssh -G` does not tell one; give it in the stack file")
    if fields.get("proxycommand", "none") != "none":
        raise HostError(name, "is reached by a ProxyCommand, which mesh cannot; give ssh.address, or ssh.bastion")
    jumps = [jump for jump in fields.get("proxyjump", "none").split(",") if jump != "none"]
    if len(jumps) > 1:
        raise HostError(name, "is reached by several ProxyJumps, and mesh takes one; give ssh.address, or ssh.bastion")
    files = f"{fields.get('userknownhostsfile', '')} {fields.get('globalknownhostsfile', '')}"
    number = int(fields["port"])
    alias = fields.get("hostkeyalias", "none")
    # ssh looks an alias up without a port.
    plain = fields["hostname"] if number == _DEFAULT_PORT else f"[{fields['hostname']}]:{number}"
    return Way(
        fields["hostname"],
        number,
        fields["user"],
        tuple(jumps),
        alias if alias != "none" else plain,
        tuple(file for file in _split(files) if file not in ("none", "/dev/null")),
    )


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535


def _split(files: str) -> list[str]:
    try:
        return shlex.split(files)
    except ValueError:
        # A quotation that does not end; ssh itself refuses such a name where it is given.
        return files.split()


def find_known_keys(known_as: str, files: Sequence[str]) -> KnownKeys:
    """Return the host keys that known_hosts files hold for a name; keys of certificate authorities are none."""
    trusted: dict[str, str] = {}
    revoked: dict[str, str] = {}
    for file in files:
        place = file
        for line in _run("ssh-keygen", "-F", known_as, "-f", file).splitlines():
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

    What the entry says already stays.

    Raises:
        HostError: As `find_way`.
    """
    ssh = entry.get("ssh")
    if ssh is not None and (not isinstance(ssh, dict) or ssh.get("address")):
        return ""
    way = find_way(name)
    found = way.as_settings()
    if way.jumps:
        found["bastion"] = flow_mapping(find_way(way.jumps[0]).as_settings())
    kept = {key: value for key, value in (ssh or {}).items() if key != "address"}
    merged = {**found, **kept}
    if ssh is None:
        entry["ssh"] = flow_mapping(merged)
    else:
        ssh.update(merged)
    user = f"{merged.get('user', 'root')}@{way.address} port {way.port}"
    return f"{user}, through {way.jumps[0]}" if way.jumps else user


def keys_known_of(name: str, connection: Connection) -> KnownKeys:
    """Return what known_hosts holds for where a connection leads, under its address or as `ssh NAME` looks it up."""
    address, port = str(connection["address"]), int(connection["port"])
    names = [address if port == _DEFAULT_PORT else f"[{address}]:{port}"]
    try:
        by_address, by_name = find_way(address), find_way(name)
    except HostError:
        return KnownKeys({}, {})
    if (by_name.address, by_name.port) == (address, port) and by_name.known_as not in names:
        names.append(by_name.known_as)
    files = dict.fromkeys((*by_address.known_hosts, *by_name.known_hosts))
    found = [find_known_keys(known_as, [file for file in files if Path(file).is_file()]) for known_as in names]
    return KnownKeys(
        {place: key for keys in found for place, key in keys.trusted.items()},
        {place: key for keys in found for place, key in keys.revoked.items()},
    )
