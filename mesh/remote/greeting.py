"""Read what an SSH server says before anybody logs in, and tell whether both of our SSH clients can go on from there.

The rollout connects by asyncssh, and the command plugin by golang.org/x/crypto/ssh; a host has to suit both. Formats:
RFC 4253, sections 4.2 and 7.1.
"""

from collections.abc import Collection
from typing import Any

from mesh.config.connection import HOST_KEY_TYPES
from mesh.remote.ssh_errors import BUSY, CLOSED_AT_ONCE, GONE_KEY_TYPE, NO_POST_QUANTUM, RSA_ONLY, TURNED_AWAY, quote
from mesh.remote.wire import unpack

__all__ = ["explain_end", "explain_start", "find_ssh_obstacle"]

# What golang.org/x/crypto/ssh takes at most, its version included.
_LONGEST_GREETING = 255
_MUCH = 1 << 16
_KEXINIT = 20
_HELLO = b"SSH-2.0-mesh\r\n"

# What both clients know; of each list the server has to offer one. The names are those of sshd_config.
_SHARED = {
    "KexAlgorithms": (
        "mlkem768x25519-sha256",
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
        "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
        "diffie-hellman-group14-sha256",
    ),
    "HostKeyAlgorithms": HOST_KEY_TYPES,
    "Ciphers": (
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
        "aes128-ctr",
        "aes192-ctr",
        "aes256-ctr",
    ),
    "MACs": (
        "hmac-sha2-256-etm@openssh.com",
        "hmac-sha2-512-etm@openssh.com",
        "hmac-sha2-256",
        "hmac-sha2-512",
        "hmac-sha1",
    ),
}
# These need no MAC beside them.
_WITH_OWN_MAC = set(_SHARED["Ciphers"][:3])


async def find_ssh_obstacle(reader: Any, writer: Any, exchanges: Collection[str] = (), pinned: str = "") -> str:
    """Return why one of our clients cannot log in over this stream, in words for the user; empty if both can.

    Raises:
        OSError: If the stream breaks.
    """
    said, has_greeted = b"", False
    while (obstacle := explain_start(said, exchanges, pinned)) is None:
        if not has_greeted and _end_of_greeting(said) is not None:
            has_greeted = True
            writer.write(_HELLO)
        piece = await reader.read(_MUCH)
        if not piece or len(said) > _MUCH:
            return explain_end(said) or CLOSED_AT_ONCE
        said += piece
    return obstacle


def explain_start(said: bytes, exchanges: Collection[str] = (), pinned: str = "") -> str | None:
    """Return why one of our clients cannot log in to a server that says this first; None while more is to be heard.

    Where `exchanges` are given, the server has to offer one of these, and the type of the key that is `pinned` for it.
    """
    end = _end_of_greeting(said)
    if end is None:
        return None
    if end > _LONGEST_GREETING:
        return (
            f"says {end} bytes before it speaks SSH, and commands take {_LONGEST_GREETING}; "
            "shorten what is printed before its version"
        )
    rest = said[end:]
    if len(rest) < 5 or len(rest) < 4 + int.from_bytes(rest[:4], "big"):
        return None
    return _explain_offer(rest, exchanges, pinned)


def explain_end(said: bytes) -> str:
    """Return what it means that a server hangs up after this, if it never came to its greeting; empty if it did."""
    return _explain_no_greeting(said) if _end_of_greeting(said) is None else ""


def _end_of_greeting(said: bytes) -> int | None:
    start = 0
    while (newline := said.find(b"\n", start)) >= 0:
        if said.startswith(b"SSH-", start):
            return newline + 1
        start = newline + 1
    return None


def _explain_no_greeting(said: bytes) -> str:
    if not said.strip():
        return CLOSED_AT_ONCE
    # sshd says these itself: at a penalty of the address we come from, and at too many connections that log in.
    if b"Not allowed at this time" in said:
        return TURNED_AWAY
    if b"Exceeded MaxStartups" in said:
        return BUSY
    return f"is no SSH server (it says {quote(said)}); check ssh.address and ssh.port"


def _explain_offer(packet: bytes, exchanges: Collection[str], pinned: str) -> str:
    if packet[5:6] != bytes([_KEXINIT]):
        return CLOSED_AT_ONCE
    try:
        kex, keys, ciphers, _, macs, *_ = unpack(packet[22:], 6)
    except ValueError:
        return CLOSED_AT_ONCE
    offered = {
        name: listed.decode("ascii", "replace").split(",")
        for name, listed in zip(_SHARED, (kex, keys, ciphers, macs), strict=True)
    }
    for setting, shared in _SHARED.items():
        if set(shared) & set(offered[setting]) or (setting == "MACs" and _WITH_OWN_MAC & set(offered["Ciphers"])):
            continue
        if setting == "HostKeyAlgorithms" and any(name.startswith(("rsa-", "ssh-rsa")) for name in offered[setting]):
            return RSA_ONLY
        return (
            f"offers none of the {setting} that are needed (it offers {quote(','.join(offered[setting]).encode())}); "
            f"let its sshd_config have one of {', '.join(shared)}"
        )
    if pinned and pinned.split(maxsplit=1)[0] not in offered["HostKeyAlgorithms"]:
        return GONE_KEY_TYPE
    if exchanges and not set(exchanges) & set(offered["KexAlgorithms"]):
        return NO_POST_QUANTUM
    return ""
