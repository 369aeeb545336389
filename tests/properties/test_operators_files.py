"""What SSH servers, agents and OpenSSH's programs say, and files of the operator: read, or refused in words."""

import asyncio
import base64
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mesh.cli import known_keys, openssh, ssh_config
from mesh.cli.stack_file import StackFile
from mesh.config.hosts_file import read_hosts
from mesh.errors import HostError, MeshError
from mesh.remote import agent, identities
from mesh.remote.greeting import find_ssh_obstacle
from mesh.remote.wire import pack
from tests.strategies import SECRETS

_TEXT = st.text(st.characters(codec="utf-8"), max_size=60)
_WORDS = st.sampled_from(
    ["hostname", "port", "user", "proxyjump", "proxycommand", "hostkeyalias", "userknownhostsfile", "none", "22", "-1",
     "65536", "²", "9" * 5000, "bernard", "root", "~/.ssh/known_hosts", '"', "'", "\\", "a,b", "a@b:1", "[::1]:5", ""]
)  # fmt: skip
_LINES = st.lists(st.lists(_WORDS | _TEXT, max_size=3).map(" ".join), max_size=8).map("\n".join)
_WAY = "hostname bernard\nport 22\nuser root\n"
_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


@given(_LINES | _LINES.map(lambda lines: _WAY + lines), st.text(max_size=30) | _WORDS)
@example(_WAY + 'userknownhostsfile "', "bernard")
@example("hostname bernard\nport ²\nuser root", "bernard")
@example("hostname bernard", "bernard")
def test_a_way_that_ssh_tells_is_taken_or_refused(said: str, name: str) -> None:
    """In words that name the host."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openssh, "run_openssh", lambda *_, **__: said)
        refused = ""
        try:
            way = ssh_config.find_way(name)
        except HostError as error:
            refused = str(error)
        else:
            assert 1 <= way.port <= 65535
            assert way.address
            assert way.user
    assert refused.isprintable()


@given(
    st.lists(
        st.lists(st.sampled_from([_KEY, "@revoked", "@cert-authority", "#", "bernard", "|1|x|y"]) | _TEXT).map(" ".join)
    )
)
def test_known_hosts_lines_are_keys_or_nothing(lines: list[str]) -> None:
    """A key of an authority is none of a host, and one that is revoked is never trusted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known_keys, "run_openssh", lambda *_, **__: "\n".join(lines))
        found = known_keys.find_known_keys("bernard", ["/known_hosts"])
    assert all(len(key.split()) == 2 for key in [*found.trusted.values(), *found.revoked.values()])


_NAMES = st.lists(st.sampled_from(["curve25519-sha256", "ssh-ed25519", "aes256-gcm@openssh.com", "hmac-sha2-256", "é"]))
_OFFER = st.lists(_NAMES.map(lambda names: ",".join(names).encode()) | st.binary(max_size=30), max_size=7).map(
    lambda lists: bytes([20]) + bytes(16) + pack(*lists)
)
_PACKET = (_OFFER | st.binary(max_size=80)).map(lambda body: (len(body) + 1).to_bytes(4, "big") + b"\0" + body)


@given(
    st.lists(
        st.binary(max_size=40) | st.sampled_from([b"SSH-2.0-OpenSSH_9.9\r\n", b"\n", b"SSH-", b"\xff" * 300]),
        max_size=5,
    ),
    st.lists(_PACKET | st.binary(max_size=40), max_size=3),
    st.sampled_from([(), ("mlkem768x25519-sha256",)]),
)
def test_whatever_an_ssh_server_says_first_is_understood_or_told(
    before: list[bytes], after: list[bytes], exchanges: tuple[str, ...]
) -> None:
    """In one line that does nothing to a terminal."""

    async def greet() -> str:
        reader = asyncio.StreamReader()
        reader.feed_data(b"".join([*before, *after]))
        reader.feed_eof()
        writer: Any = type("Writer", (), {"write": staticmethod(lambda _: None)})
        return await find_ssh_obstacle(reader, writer, exchanges)

    assert asyncio.run(greet()).isprintable()


_ARMOUR = (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", b"\n-----END OPENSSH PRIVATE KEY-----\n")
_KEY_FILES = st.binary(max_size=200) | st.binary(max_size=60).map(
    lambda body: _ARMOUR[0] + base64.b64encode(b"openssh-key-v1\0" + body) + _ARMOUR[1]
)
_PUBLIC = st.lists(st.sampled_from([_KEY.encode(), b"ssh-rsa", b"AAAA", b"#"]) | st.binary(max_size=20)).map(b" ".join)


@given(_KEY_FILES | st.lists(_PUBLIC).map(b"\n".join))
def test_a_key_file_is_read_or_is_none(content: bytes) -> None:
    """Whatever somebody names by MESH_SSH_KEY_FILE."""
    with_values_or_not(lambda: identities.read_private_key(content))
    identities.read_key_blob(content)
    for blob, _ in identities.read_public_lines(content):
        if identities.is_certificate(blob):
            with_values_or_not(lambda: identities.certified_key(blob))  # noqa: B023 - called at once


def with_values_or_not(read: Callable[[], object]) -> None:
    """Let `read` find no value, or fewer than there should be."""
    try:
        read()
    except ValueError:
        return


@given(
    st.binary(max_size=60)
    | st.lists(st.binary(max_size=20), max_size=4).map(
        lambda found: b"\x0c" + len(found).to_bytes(4, "big") + pack(*found)
    )
)
def test_whatever_an_agent_says_is_a_list_or_no_agent(answer: bytes) -> None:
    """Also one that hangs up in the middle."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = os.path.join(folder, "agent")
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(pack(answer))

        thread = Thread(target=serve)
        thread.start()
        try:
            agent.list_identities(path)
        except (OSError, ValueError):
            pass
        finally:
            thread.join()


_YAML_PARTS = (
    "config:", "mesh:hosts:", "mesh:interfaces:", "  ", "\t", "- ", "? ", "&a ", "*a", "<<: *a",
    "!!python/name:os.system ",
    "{", "}", "[", "]", "|", ">", "'", '"', "#", "\n", "bernard:", "ssh:", "address: 10.0.0.5", "---", "...", "%YAML 9",
    "2026-99-99", "0o9", "1_0",
)  # fmt: skip
_YAML = st.lists(st.sampled_from([*_YAML_PARTS, *SECRETS]) | _TEXT, max_size=20).map("".join)


@given(_YAML | st.binary(max_size=80))
@example(f"*{SECRETS[0]}")
@example("2026-99-99")
@example("? ")
@example("[" * 1000)
@example("config: 3")
@example("bernard:")
@example("- a")
def test_any_text_is_a_stack_file_or_refused_in_words(content: str | bytes) -> None:
    """By the commands, which keep its comments, and as a file of hosts by the program; with no key that it holds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "Pulumi.test.yaml")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        readers: list[Callable[[], object]] = [
            lambda: StackFile(path).hosts,
            lambda: StackFile(path, complete=True).hosts,
            lambda: StackFile(path, complete=True).text(),
            lambda: StackFile(path).configuration(),
            lambda: StackFile(path).section("mesh:interfaces"),
            lambda: read_hosts(None, path.name, Path(folder)),
        ]
        for read in readers:
            said = ""
            try:
                read()
            except MeshError as error:
                said = str(error)
            assert not [secret for secret in SECRETS if secret in said]
