"""What a host says when it does not let us in, and what to do, for the reachability check, the rollout and commands."""

import os
import re
import socket

__all__ = [
    "BUSY",
    "CLOSED_AT_ONCE",
    "FEW_TRIES",
    "FORWARDING",
    "GONE_KEY_TYPE",
    "HUNG_UP_SAYING",
    "KEY_REFUSED",
    "MORE_ASKED",
    "NOTHING_SHARED",
    "NOT_LET_IN",
    "NO_LOGIN_KEY",
    "NO_POST_QUANTUM",
    "OTHER_HOST_KEY",
    "PASSING",
    "RSA_ONLY",
    "SLOW_AGENT",
    "TOO_MANY_KEYS",
    "TURNED_AWAY",
    "UNSIGNED",
    "UNWILLING_AGENT",
    "explain_command_error",
    "explain_unreachable",
    "explain_words",
    "quote",
]

OTHER_HOST_KEY = (
    "has another SSH host key than the stack file says; if it was reinstalled, compare the fingerprint and "
    "run python -m mesh scan STACK --host HOST --accept-changed, otherwise somebody may be in between"
)
GONE_KEY_TYPE = (
    "no longer has a host key of the type that the stack file says; compare the fingerprint of another one and run "
    "python -m mesh scan STACK --host HOST --accept-changed, or let its sshd_config have that HostKey again"
)
KEY_REFUSED = "refuses your SSH key; check ssh.user, and that ssh-add -l lists a key it accepts"
MORE_ASKED = (
    "accepts your key, and asks for more than a key; let AuthenticationMethods of its sshd_config be publickey for "
    "ssh.user"
)
NOT_LET_IN = (
    "accepts your key and its signature, and still does not let ssh.user in; see PermitRootLogin of its sshd_config "
    "if that is root, or name another ssh.user"
)
UNSIGNED = "accepts your key, but {reason}"
UNWILLING_AGENT = (
    "the ssh-agent does not sign with it; touch the key or confirm when you are asked, or name another one"
)
SLOW_AGENT = (
    "accepts your key, but hung up before the ssh-agent had signed; touch the key or confirm sooner, or name by "
    "MESH_SSH_KEY_FILE a key that needs neither"
)
NO_LOGIN_KEY = "lets nobody in without a key: {lack}"
TOO_MANY_KEYS = (
    "accepts none of the first 15 keys, and more tries would lock you out; name the right one by MESH_SSH_KEY_FILE, "
    "where its .pub file is enough if ssh-agent holds it"
)
FEW_TRIES = (
    "takes fewer keys in one login than were offered (MaxAuthTries of its sshd_config); name the right one by "
    "MESH_SSH_KEY_FILE, where its .pub file is enough if ssh-agent holds it"
)
CLOSED_AT_ONCE = (
    "closes the connection before it greets as SSH; see whether a firewall, fail2ban or hosts.deny on it keeps "
    "you out, and whether sshd runs"
)
HUNG_UP_SAYING = "closed the SSH connection after it said {said}; if that does not tell why, run it again"
TURNED_AWAY = (
    "turns you away for a while, since too many logins from your address have failed (PerSourcePenalties of its "
    "sshd_config); wait some minutes, then log in with the right user and key"
)
BUSY = "has too many logins under way (MaxStartups of its sshd_config); wait a moment and run again, or raise that"
RSA_ONLY = (
    "has only an RSA host key, which commands do not take; give it another one: ssh-keygen -A on the host makes those "
    "that are missing, then let sshd_config name it if it has HostKey lines, restart sshd, and run python -m mesh scan "
    "STACK"
)
NO_POST_QUANTUM = (
    "offers no post-quantum key exchange that this machine has too, and requirePostQuantum asks for one; update its "
    "OpenSSH to 9.9 or later, and let KexAlgorithms of its sshd_config have mlkem768x25519-sha256"
)
NOTHING_SHARED = "shares no SSH algorithms with this machine; see KexAlgorithms, Ciphers and MACs in its sshd_config"
FORWARDING = (
    "its bastion forbids forwarding; let the bastion's sshd_config have AllowTcpForwarding yes or local, and "
    "PermitOpen this host's address and port or any"
)
# Of these another try a moment later may hear nothing.
PASSING = (BUSY, CLOSED_AT_ONCE)
_STILL_BOOTING = "lets only root log in while it boots or goes down (/run/nologin); wait until it has, then run again"
_EXPIRED = "wants the password of ssh.user changed, which has expired; log in and change it, or run chage -d -1 for it"
_NO_SHELL = "has no login shell for ssh.user; name another ssh.user, or give this one a shell by usermod -s /bin/sh"
_SUDO = "asks for a password at sudo; let ssh.user run sudo without one, or use root"

# By the words of sshd, PAM, login programs and sudo.
_SAID_BY_HOSTS = {
    "pam_nologin": _STILL_BOOTING,
    "System is booting up": _STILL_BOOTING,
    "System is going down": _STILL_BOOTING,
    "Password change required": _EXPIRED,
    "required to change your password": _EXPIRED,
    "password has expired": _EXPIRED,
    "account is currently not available": _NO_SHELL,
    "a password is required": _SUDO,
    "Too many authentication failures": FEW_TRIES,
    "Not allowed at this time": TURNED_AWAY,
    "Exceeded MaxStartups": BUSY,
}
# As golang.org/x/crypto/ssh words them in the errors of the command plugin.
_COMMAND_ERRORS = {
    "host key mismatch": OTHER_HOST_KEY,
    "no common algorithm for host key": GONE_KEY_TYPE,
    "no common algorithm": NOTHING_SHARED,
    "administratively prohibited": FORWARDING,
    "failed to sign challenge": UNSIGNED.format(reason=UNWILLING_AGENT),
    "unable to authenticate": KEY_REFUSED,
    "i/o timeout": "does not answer SSH; check that it runs and its address is right",
    "connection refused": "refuses the connection; check ssh.address and ssh.port",
}
_NUMBER = re.compile(r"\[Errno (\d+)\]")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")


def explain_words(said: str) -> str | None:
    """Return what it means if a host says this, in a banner or on either stream of a command; None if unknown."""
    return next((words for part, words in _SAID_BY_HOSTS.items() if part in said), None)


def explain_command_error(error: str) -> str | None:
    """Return our words for an error of a remote command, or None where its own have to do."""
    return explain_words(error) or next((words for part, words in _COMMAND_ERRORS.items() if part in error), None)


def explain_unreachable(error: OSError) -> str:
    """Return what it means that a connection cannot be made, in the operating system's own words.

    asyncio has `Connect call failed` in their place, which is the same for a host that is off and one that refuses.
    """
    numbers = [error.errno] if error.errno else map(int, _NUMBER.findall(str(error)))
    said = " and ".join(dict.fromkeys(map(os.strerror, numbers)))
    if isinstance(error, socket.gaierror) or not said:
        said = error.strerror or str(error)
    return f"cannot be reached ({said}); check ssh.address and ssh.port"


def quote(said: bytes, most: int = 100) -> str:
    """Return what a server says as one short text without control characters."""
    text = _UNPRINTABLE.sub(" ", said.decode("ascii", "replace")).strip()
    return repr(text if len(text) <= most else f"{text[:most]}…")
