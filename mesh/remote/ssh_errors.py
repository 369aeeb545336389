"""What SSH's refusals mean and what to do, in the same words for the fan-out and for remote commands."""

__all__ = ["FEW_TRIES", "KEY_REFUSED", "NO_KEY", "OTHER_HOST_KEY", "TOO_MANY_KEYS", "explain_command_error"]

OTHER_HOST_KEY = (
    "has another SSH host key than the stack file says; if it was reinstalled, compare the fingerprint and "
    "run python -m mesh scan, otherwise somebody may be in between"
)
KEY_REFUSED = "refuses our SSH key; check ssh.user, and that ssh-add -l lists a key it accepts"
NO_KEY = "lets nobody in without a key: {lack}"
TOO_MANY_KEYS = (
    "accepts none of the first 15 keys, and more tries would lock us out; name the right one by MESH_SSH_KEY_FILE, "
    "where its .pub file is enough if ssh-agent holds it"
)

FEW_TRIES = (
    "takes fewer keys in one login than were offered (MaxAuthTries of its sshd_config); name the right one by "
    "MESH_SSH_KEY_FILE, where its .pub file is enough if ssh-agent holds it"
)

# As golang.org/x/crypto/ssh words them in the errors of the command plugin.
_COMMAND_ERRORS = {
    "host key mismatch": OTHER_HOST_KEY,
    "Too many authentication failures": FEW_TRIES,
    "unable to authenticate": KEY_REFUSED,
    "a password is required": "asks for a password at sudo; let ssh.user run sudo without one, or use root",
    "i/o timeout": "does not answer SSH; check that it runs and its address is right",
    "connection refused": "refuses the connection; check ssh.address and ssh.port",
}


def explain_command_error(error: str) -> str | None:
    """Return our words for an error of a remote command, or None where its own have to do."""
    return next((words for part, words in _COMMAND_ERRORS.items() if part in error), None)
