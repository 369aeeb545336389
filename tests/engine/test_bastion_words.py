"""What a bastion says before it hangs up, as a real run and a command tell it: of the bastion, and as text."""

import pytest

from mesh.remote import ssh_errors
from tests.engine.conftest import Maker
from tests.engine.stack import Outcome, Stack

_NOTICE = "Closed for maintenance\r\n\x1b]0;owned\x07\x1b[2Juntil noon.\r\n"
_AS_TEXT = "'Closed for maintenance ]0;owned [2Juntil noon.'"
# As PAM words it, and sshd sends it.
_NOLOGIN = '"System is going down. Unprivileged users are not permitted to log in anymore. See pam_nologin(8)."\r\n'

# By what it says before any SSH: what is told.
_LAST_WORDS = {
    _NOTICE: f"is no SSH server (it says {_AS_TEXT}); check ssh.address and ssh.port",
    "Not allowed at this time\r\n": ssh_errors.TURNED_AWAY,
    "Exceeded MaxStartups\r\n": ssh_errors.BUSY,
    "": ssh_errors.CLOSED_AT_ONCE,
}
# By the banner and the reason with which it refuses a login.
_REFUSALS = {
    (_NOLOGIN, "bye"): "lets only root log in while it boots or goes down (/run/nologin); wait until it has",
    ("Authorized users only\r\n", "Too many authentication failures"): ssh_errors.FEW_TRIES,
    (_NOTICE, "bye"): f"closed the SSH connection after it said {_AS_TEXT}; if that does not tell why, run it again",
    ("", "bye\x1b[2J"): r"closed the SSH connection (bye\x1b[2J); run it again",
}


@pytest.fixture(scope="module")
def stack(make_stack: Maker) -> Stack:
    """Return a running mesh of one host, which is behind the bastion h2."""
    stack = make_stack(2)
    bastion = {"address": "127.0.0.1", "port": stack.hosts["h2"].port, "hostKey": stack.hosts.host_key}
    stack.write({"testwg": {"hosts": ["h1"], "deadline": 10}}, ["h1"], h1={"bastion": bastion})
    stack.up()
    assert stack.hosts["h2"].logins > 0
    return stack


def both_tell(stack: Stack, words: str) -> None:
    """Have a run and a command fail."""
    orders = len(stack.hosts.orders)
    for outcome in (stack.run("up", "--yes", "--skip-preview"), stack.companion("status")):
        is_told(outcome, words)
    assert len(stack.hosts.orders) == orders


def is_told(outcome: Outcome, words: str) -> None:
    """See that a failure is told of the bastion, by text alone."""
    assert outcome.code != 0
    assert f"its bastion 127.0.0.1 {words}" in " ".join(outcome.text.split()), outcome.text
    assert [character for character in outcome.text if character < " " and character != "\n"] == []
    assert "Traceback" not in outcome.text


@pytest.mark.parametrize("said", _LAST_WORDS, ids=["notice", "penalty", "busy", "nothing"])
def test_what_a_bastion_says_instead_of_ssh_is_told_of_it(stack: Stack, said: str) -> None:
    """Nothing is changed, and h1 is not even asked."""
    stack.hosts["h2"].last_words = said.encode()
    stack.hosts.become("h2", "silent")
    try:
        both_tell(stack, _LAST_WORDS[said])
    finally:
        stack.hosts["h2"].last_words = None
        stack.hosts.become("h2", "well")


@pytest.mark.parametrize("refusal", _REFUSALS, ids=["nologin", "too many keys", "notice", "reason"])
def test_with_what_words_a_bastion_refuses_a_login_is_told_of_it(stack: Stack, refusal: tuple[str, str]) -> None:
    """What it says to everybody hides no reason that is known."""
    stack.hosts["h2"].refusal = refusal
    try:
        both_tell(stack, _REFUSALS[refusal])
    finally:
        stack.hosts["h2"].refusal = None


def test_with_a_bastion_that_is_well_again_all_goes_on(stack: Stack) -> None:
    """As the words say that have it run again."""
    stack.up()
    assert stack.companion("status").code == 0
