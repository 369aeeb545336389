"""Where the operator's own ssh keeps the host keys that it trusts: files of any name, a command, a list of revoked."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.own_ssh import write_own_ssh
from tests.unit.scanned import OTHER_KEY, FakeHost, running_host, scan, write


@pytest.fixture
def host() -> Iterator[FakeHost]:
    """Return a running host."""
    with running_host() as running:
        yield running


def configure(folder: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Have the real ssh read these lines of every host instead of yours."""
    config = folder / "config"
    config.write_text("Host *\n" + "".join(f"  {line}\n" for line in lines))
    write_own_ssh(folder, f"-F {config}")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ('"{folder}/known hosts"', "known hosts"),
        (r"{folder}/known\ hosts", "known hosts"),
        ('"{folder}/known  hosts" {folder}/second', "known  hosts"),
        ('{folder}/first "{folder}/known hosts"', "known hosts"),
        ('{folder}/none-there "{folder}/known hosts" {folder}/second', "known hosts"),
        ("{folder}/first {folder}/second", "second"),
        ('"{folder}/Ben\'s" "{folder}/Carol\'s"', "Carol's"),
        ('"{folder}/back\\\\slash"', "back\\slash"),
    ],
)
@pytest.mark.parametrize("option", ["UserKnownHostsFile", "GlobalKnownHostsFile"])
def test_a_key_is_found_in_a_file_of_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: FakeHost, given: str, name: str, option: str
) -> None:
    """`ssh -G` prints files in one line without quotes."""
    configure(tmp_path, monkeypatch, f"{option} {given.format(folder=tmp_path)}")
    (tmp_path / "first").write_text("")
    known = tmp_path / name
    known.write_text(f"[127.0.0.1]:{host.port} {OTHER_KEY}\n")
    file = write(tmp_path, f"address: 127.0.0.1, port: {host.port}")
    assert f"shows a host key that is not the one of {known}:1" in scan(file).problems["bernard"]
    assert host.logins == 0
    known.write_text(f"[127.0.0.1]:{host.port} {host.public_key()}\n")
    shown: list[str] = []
    assert scan(file, show=lambda what: shown.append(str(what))).problems == {}
    assert f"bernard: its key is trusted already, by {known}:1" in shown


def test_a_file_that_may_be_there_is_never_taken_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: FakeHost
) -> None:
    """A name that the system cannot even look for was a stack trace."""
    configure(tmp_path, monkeypatch, f"UserKnownHostsFile {tmp_path}/{'k' * 300}")
    told = scan(write(tmp_path, f"address: 127.0.0.1, port: {host.port}")).problems["bernard"]
    assert told.startswith(f"may be trusted or not by known_hosts: {tmp_path}/kkk")
    assert told.endswith("; correct that file")
    assert host.logins == 0


def test_a_file_is_found_where_ssh_prints_the_home_directory_as_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: FakeHost
) -> None:
    """So does OpenSSH before 8.4."""
    program = tmp_path / "ssh"
    program.write_text(
        f"#!/bin/sh\nprintf 'hostname 127.0.0.1\\nuser root\\nport {host.port}\\nuserknownhostsfile ~/known\\n'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "known").write_text(f"[127.0.0.1]:{host.port} {OTHER_KEY}\n")
    told = scan(write(tmp_path, f"address: 127.0.0.1, port: {host.port}")).problems["bernard"]
    assert f"shows a host key that is not the one of {tmp_path}/known:1" in told


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (["KnownHostsCommand /bin/echo %H"], "KnownHostsCommand"),
        (["RevokedHostKeys /etc/ssh/revoked"], "RevokedHostKeys"),
        (["KnownHostsCommand /bin/echo %H", "RevokedHostKeys /x"], "KnownHostsCommand and RevokedHostKeys"),
        (["KnownHostsCommand none"], ""),
    ],
)
def test_an_option_that_would_say_more_of_a_host_key_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: FakeHost, lines: list[str], named: str
) -> None:
    """Ssh may know a key by it, or refuse it; here the key is new, and the operator compares."""
    configure(tmp_path, monkeypatch, *lines)
    shown: list[str] = []
    file = write(tmp_path, f"address: 127.0.0.1, port: {host.port}")
    assert scan(file, show=lambda what: shown.append(str(what))).problems == {}
    told = [line for line in shown if "SSH configuration" in line]
    words = f"bernard: {named} of your SSH configuration is not read; compare the fingerprint"
    assert told == ([words] if named else [])
    shown.clear()
    assert scan(file, show=lambda what: shown.append(str(what))).problems == {}
    assert [line for line in shown if "SSH configuration" in line] == []
