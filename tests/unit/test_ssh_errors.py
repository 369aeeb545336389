"""What a host says is told in our words, whoever passes it on, and the documentation lists these words."""

import asyncio
import errno
import re
import socket
from pathlib import Path

import pytest

from mesh.remote import greeting, ssh_errors
from mesh.remote.greeting import find_ssh_obstacle
from mesh.remote.ssh import explain
from mesh.remote.ssh_errors import explain_command_error, explain_words

ROOT = Path(__file__).parents[2]


class _Sink:
    def write(self, _: bytes) -> None:
        """Take what we say."""


def greet(*said: bytes) -> str:
    """Return what is made of a server that says this and hangs up."""

    async def run() -> str:
        reader = asyncio.StreamReader()
        for piece in said:
            reader.feed_data(piece)
        reader.feed_eof()
        return await find_ssh_obstacle(reader, _Sink())

    return asyncio.run(run())


def offer(*lists: str) -> bytes:
    """Return a server's KEXINIT (RFC 4253, section 7.1): key exchanges, host keys, and ciphers and MACs both ways."""
    kex, keys, ciphers, macs = lists
    names = (kex, keys, ciphers, ciphers, macs, macs, "none", "none", "", "")
    body = b"\x14" + bytes(16) + b"".join(len(name).to_bytes(4, "big") + name.encode() for name in names) + bytes(5)
    return (len(body) + 1 + 4).to_bytes(4, "big") + b"\x04" + body + bytes(4)


GOOD = ("curve25519-sha256", "ssh-ed25519,rsa-sha2-512", "aes256-gcm@openssh.com", "hmac-sha2-256")


@pytest.mark.parametrize("before", [b"", b"Welcome\r\n", b"one\ntwo\r\n\r\n", b"x" * 200 + b"\n"])
def test_text_before_the_version_is_passed_over(before: bytes) -> None:
    """As far as the command plugin takes it, too."""
    assert greet(before + b"SSH-2.0-test\r\n" + offer(*GOOD)) == ""


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"", "closes the connection before it greets"),
        (b"Not allowed at this time\r\n", "turns you away for a while"),
        (b"Exceeded MaxStartups\r\n", "has too many logins under way"),
        (b"HTTP/1.1 400 \x1b]0;x\x07Bad Request\r\n", "is no SSH server (it says 'HTTP/1.1 400  ]0;x Bad Request')"),
        (b"x" * 70000, "is no SSH server"),
        (b"x\n" * 200 + b"SSH-2.0-test\r\n", "says 414 bytes before it speaks SSH, and commands take 255"),
        (b"SSH-2.0-test\r\n", "closes the connection before it greets"),
        (b"SSH-2.0-test\r\n" + b"\0\0\0\x0c" + bytes(12), "closes the connection before it greets"),
        (b"SSH-2.0-test\r\n" + b"\xff" * 70000, "closes the connection before it greets"),
        (b"SSH-2.0-test\r\n" + b"\0\0\0\x20\x04\x14" + b"\xff" * 30, "closes the connection before it greets"),
    ],
)
def test_what_is_no_greeting_is_told_as_what_it_is(said: bytes, told: str) -> None:
    """Bounded, and without anything that a terminal would obey."""
    assert greet(said).startswith(told)


@pytest.mark.parametrize(
    ("number", "value", "told"),
    [
        (0, "sntrup761x25519-sha512", "offers none of the KexAlgorithms that are needed (it offers 'sntrup761"),
        (1, "rsa-sha2-512,rsa-sha2-256", "has only an RSA host key"),
        (1, "ssh-dss", "offers none of the HostKeyAlgorithms that are needed"),
        (2, "aes256-cbc", "offers none of the Ciphers that are needed"),
        (3, "umac-64@openssh.com", ""),
    ],
)
def test_an_offer_that_one_of_our_clients_lacks_is_told(number: int, value: str, told: str) -> None:
    """With what the host offers; a cipher with a MAC of its own needs no other."""
    lists = list(GOOD)
    lists[number] = value
    assert greet(b"SSH-2.0-test\r\n", offer(*lists)).startswith(told)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("ssh: handshake failed: ssh: host key mismatch", ssh_errors.OTHER_HOST_KEY),
        (
            "ssh: handshake failed: ssh: unable to authenticate, attempted methods [none publickey]",
            ssh_errors.KEY_REFUSED,
        ),
        ("ssh: disconnect, reason 2: Too many authentication failures", ssh_errors.FEW_TRIES),
        (
            'ssh: no common algorithm for host key; we offered: ["ecdsa-sha2-nistp256"], peer offered: ["ssh-ed25519"]',
            ssh_errors.GONE_KEY_TYPE,
        ),
        ("ssh: no common algorithm for key exchange; we offered: [], peer offered: []", ssh_errors.NOTHING_SHARED),
        (
            "ssh: handshake failed: agent: failed to sign challenge",
            ssh_errors.UNSIGNED.format(reason=ssh_errors.UNWILLING_AGENT),
        ),
        ("ssh: rejected: administratively prohibited (open failed)", ssh_errors.FORWARDING),
        ("Process exited with status 1: This account is currently not available.", None),
        ("sudo: a password is required", None),
    ],
)
def test_the_command_plugins_words_become_ours(error: str, told: str | None) -> None:
    """Those of the host, which it passes on, too."""
    assert explain_command_error(error) == (told or explain_words(error))
    assert explain_command_error(error)


def test_what_nobody_knows_is_left_as_it_is() -> None:
    """A wrong cause is worse than none."""
    assert explain_command_error("ssh: handshake failed: EOF") is None


def test_every_message_in_the_documentation_is_one_that_is_printed() -> None:
    """Word for word, so that it can be found there."""
    page = (ROOT / "docs/tasks/ssh.md").read_text().partition("## When a host does not let us in")[2]
    rows = re.findall(r"^- (.*?)(?: ¹)?: ", page, re.MULTILINE)
    sources = "".join(Path(module.__file__ or "").read_text() for module in (ssh_errors, greeting))
    printed = re.sub(r'"\s*\n\s*f?"', "", sources).replace("{setting}", "KexAlgorithms")
    missing = [row for row in rows if row not in printed]
    assert len(rows) > 10
    assert missing == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        # As asyncio words them: its text is the same for each cause, and each of several addresses is tried.
        (OSError(errno.EHOSTUNREACH, "Connect call failed ('10.0.0.5', 22)"), "No route to host"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('10.0.0.5', 22)"), "Connection refused"),
        (
            OSError(
                "Multiple exceptions: [Errno 111] Connect call failed ('::1', 22, 0, 0), "
                "[Errno 111] Connect call failed ('127.0.0.1', 22)"
            ),
            "Connection refused",
        ),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (OSError("something else"), "something else"),
    ],
)
def test_why_a_host_cannot_be_reached_is_said_as_the_system_says_it(error: OSError, words: str) -> None:
    """A host that is off and one whose sshd does not run want different things done."""
    assert explain(error) == f"cannot be reached ({words}); check ssh.address and ssh.port"
