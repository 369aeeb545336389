"""A host that says what it likes harms nobody but itself: it is named in one line, and the others go on or roll back.

What each reply does is tried against the rollout itself, in this process; the real engine shows that nothing is lost
between there and the terminal.
"""

import json
import re
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from mesh.cli.status import read_status
from mesh.errors import MeshError
from mesh.remote.concurrency import run
from mesh.rollout import apply
from mesh.stored.forms import RolloutState
from mesh.stored.reader import read_rollout
from tests.engine.conftest import Maker
from tests.engine.stack import Outcome, Stack

HOSTS = ["h1", "h2", "h3"]
# What takes over a terminal: its title, its screen, and a line in another's name.
ESCAPES = b"\x1b]0;owned\x07\x1b[2J\rAll hosts are well."
Says = Callable[[bytes], Iterable[bytes]]


def instead(said: bytes) -> Says:
    """Say this, and that all is well."""
    return lambda _: [said + b".ok\n"]


def but(pattern: bytes, replacement: bytes) -> Says:
    """Say what is so, but for the lines that match."""
    return lambda said: [re.sub(rb"(?m)^" + pattern, replacement, said)]


def without_end(piece: bytes) -> Says:
    """Say the same for ever."""

    def flood(_: bytes) -> Iterator[bytes]:
        while True:
            yield piece * (1 << 15)

    return flood


FACTS = {
    "a word where the MTU is a number": but(rb"mtu .*", b"mtu wide"),
    "an MTU that no number holds": but(rb"mtu .*", b"mtu " + b"9" * 5000),
    "no MTU": but(rb"mtu .*\n", b""),
    "a key that is none": but(rb"interface \S+", b"interface k"),
    "a handshake that is no number": but(rb"(peer \S+ \S+ \S+) \d+", rb"\1 never"),
    "an endpoint that clears the screen": but(rb"(peer \S+) \S+", rb"\1 " + ESCAPES),
    "bytes that are no text": but(rb"mtu .*", b"mtu \xff\xfe"),
    "a difference that is a colour of the engine": lambda said: [b"differs edited <{%nonsense%}>\n" + said],
    "a line that nobody asked for": lambda said: [ESCAPES + b"\n" + said],
    "nothing": instead(b""),
    "a request for the program": lambda _: [b".program\n"],
    "one line without end": without_end(b"x"),
    "lines without end": without_end(b"\n"),
}
UP: dict[str, tuple[str, Says]] = {
    **{f"facts: {name}": ("facts", says) for name, says in FACTS.items()},
    "start: a request for the program again and again": ("start", without_end(b".program\n")),
    "prepare: a system that is none": ("prepare", instead(b"system [/red]\n")),
    "prepare: nothing": ("prepare", instead(b"")),
    "stage: no key": ("stage", instead(b"confirmed none\n")),
    "stage: a key that is none": ("stage", instead(b"running yes\nconfirmed none\n")),
    "arm: lines without end": ("arm", without_end(b"yes\n")),
    "clock: no number": ("clock", instead(b"noon\n")),
    "clock: not a number": ("clock", instead(b"nan\n")),
    "clock: two": ("clock", instead(b"1\n2\n")),
    "clock: none": ("clock", instead(b"")),
    "prove: a peer left out": ("prove", lambda said: [re.sub(rb"(?m)^(well|silent) h\d\n", b"", said, count=1)]),
    "prove: a peer that is none": ("prove", lambda said: [b"silent h9\n" + said]),
    "prove: a width that is none": ("prove", but(rb"(well|silent) (h\d)", rb"narrow \2 wide")),
    "confirm: an error that clears the screen": ("confirm", lambda _: [b".error " + ESCAPES + b"\n"]),
}
STATUS: dict[str, tuple[str, Says]] = {
    **{f"status: {name}": ("status", says) for name, says in FACTS.items()},
    "ping: no number": ("ping", but(rb"(ping h\d) .*", rb"\1 soon")),
    "ping: a number that is none": ("ping", but(rb"(ping h\d) .*", rb"\1 nan")),
    "ping: a peer left out": ("ping", lambda said: [re.sub(rb"ping h\d .*\n", b"", said, count=1)]),
    "ping: nothing": ("ping", instead(b"")),
    "ping: two words": ("ping", but(rb"ping (h\d) .*", rb"ping \1")),
}


@pytest.fixture(scope="module")
def shared(make_stack: Maker) -> Stack:
    """Return a stack of three hosts whose mesh runs."""
    stack = make_stack(3)
    stack.write({"testwg": {"hosts": HOSTS, "deadline": 10}})
    stack.up()
    return stack


@pytest.fixture(scope="module")
def recorded(shared: Stack) -> tuple[dict[str, Any], RolloutState]:
    """Return the inputs and the outputs of the rollout in the state, in clear."""
    exported = json.loads(shared.must("stack", "export", "--show-secrets").output)
    found = next(entry for entry in exported["deployment"]["resources"] if entry["urn"].endswith("::testwg/rollout"))

    def clear(value: Any) -> Any:
        if isinstance(value, dict):
            plain = value.get("plaintext")
            return clear(json.loads(plain)) if plain else {name: clear(item) for name, item in value.items()}
        return [clear(item) for item in value] if isinstance(value, list) else value

    return clear(found["inputs"]), read_rollout("testwg", clear(found["outputs"]))


@pytest.fixture
def stack(shared: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """Return the stack, with the operator's key in this process too; hosts say what is so before and after."""
    monkeypatch.setenv("MESH_SSH_KEY_FILE", shared.environment["MESH_SSH_KEY_FILE"])
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    yield shared
    for host in shared.hosts.by_name.values():
        host.says.clear()
        host.noise = b""


def is_harmless(text: str) -> bool:
    """Tell whether a text only shows something, in a terminal."""
    return all(line.isprintable() for line in text.split("\n")) and "<{%" not in text


@pytest.mark.parametrize("case", UP)
def test_a_rollout_with_a_host_that_says_nonsense_names_it_alone(
    stack: Stack, recorded: tuple[dict[str, Any], RolloutState], case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the others run what they ran before."""
    news, olds = recorded
    order, says = UP[case]
    before = {host: stack.hosts[host].public_key("testwg") for host in HOSTS}
    stack.hosts["h2"].says = {order: says}
    with pytest.raises(MeshError) as caught:
        apply.deploy(news, {**olds, "digest": "another"})
    assert set(re.findall(r"(?m)^ *(?:host )?'?(h\d)'?:", str(caught.value))) == {"h2"}
    assert is_harmless(str(caught.value) + capsys.readouterr().err)
    assert {host: stack.hosts[host].public_key("testwg") for host in HOSTS} == before


@pytest.mark.parametrize("case", STATUS)
def test_the_status_of_a_host_that_says_nonsense_is_its_own(
    stack: Stack, recorded: tuple[dict[str, Any], RolloutState], case: str
) -> None:
    """It is not well, and the others are rows as ever."""
    order, says = STATUS[case]
    stack.hosts["h2"].says = {order: says}
    status = run(lambda: read_status(recorded[1], ping=True))
    assert not status.is_well
    assert {host.host for host in status.hosts if host.state != "up"} == {"h2"}
    assert {fault.host for fault in status.faults} == {"h2"}
    assert all(str(fault).isprintable() for fault in status.faults)


@pytest.mark.usefixtures("stack")
def test_the_status_of_hosts_that_say_what_is_so_is_well(recorded: tuple[dict[str, Any], RolloutState]) -> None:
    """Else the cases above would show nothing."""
    assert run(lambda: read_status(recorded[1], ping=True)).is_well


@pytest.mark.parametrize("case", FACTS)
def test_a_refresh_tells_of_a_host_that_says_nonsense_and_of_the_drift_of_others(
    stack: Stack, recorded: tuple[dict[str, Any], RolloutState], case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A host that cannot be read is drift too, since nobody knows what it runs."""
    stack.hosts["h2"].says = {"audit": FACTS[case]}
    stack.hosts["h3"].interfaces["testwg"].differs = ["disabled"]
    drift = apply.find_drift(recorded[1])
    stack.hosts["h3"].interfaces["testwg"].differs = []
    assert set(drift) == {"h2", "h3"}
    assert drift["h2"][0].startswith(("h2: answers", "h2: says without end", "h2: <{"))
    assert is_harmless(str(drift) + capsys.readouterr().err)


def checked(outcome: Outcome) -> str:
    """Return what was printed, which is no traceback and does nothing to a terminal."""
    assert "Traceback" not in outcome.text
    assert is_harmless(outcome.text.replace("\t", " ")), outcome.text
    return outcome.text


def test_noise_of_a_login_shell_changes_nothing(stack: Stack) -> None:
    """A title without a line feed, a greeting, and bytes that are no text, in front of every answer."""
    stack.hosts["h2"].noise = ESCAPES + b"Welcome to h2\n\xfc\n.ok\n.error no\n\x1b]0;title\x07"
    assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0


def test_start_up_files_whose_bytes_no_state_can_keep_are_told_before_the_host_is_enrolled(stack: Stack) -> None:
    """The command plugin would keep them, and the SDK could not read that state ever again."""
    stack.write(
        {"testwg": {"hosts": HOSTS, "deadline": 10}, "backwg": {"hosts": HOSTS[:2], "port": 51825, "deadline": 10}}
    )
    stack.hosts["h2"].noise = b"Gr\xfc\xdfe\n"
    outcome = stack.run("up", "--yes", "--skip-preview")
    assert outcome.code != 0
    assert "host 'h2': its start-up files (.bashrc and the like) print bytes that are not UTF-8" in checked(outcome)
    assert stack.hosts["h2"].interfaces.keys() == {"testwg"}
    stack.hosts["h2"].noise = "Grüße\n".encode()
    stack.up()
    stack.hosts["h2"].noise = b""
    stack.write({"testwg": {"hosts": HOSTS, "deadline": 10}})
    stack.up()


def test_nothing_of_a_host_reaches_the_terminal_of_an_up_as_it_came(stack: Stack) -> None:
    """Neither as what controls it nor as a colour of the engine, which would end over one that it does not know."""
    stack.write({"testwg": {"hosts": HOSTS, "deadline": 10, "mtu": 1400}})
    stack.hosts["h2"].says = {"finish": lambda _: [b".error <{%nonsense%}> " + ESCAPES + b"\n"]}
    outcome = stack.run("up", "--yes", "--skip-preview")
    assert outcome.code != 0
    text = checked(outcome)
    assert r"host 'h2': <{\x25nonsense%}> \x1b]0;owned\x07\x1b[2J\rAll hosts are well." in text
    stack.write({"testwg": {"hosts": HOSTS, "deadline": 10}})
    stack.hosts["h2"].says.clear()
    stack.up()


def test_a_flood_is_cut_off_within_seconds_and_little_memory(stack: Stack) -> None:
    """It is drift, and the drift of others is told all the same."""
    stack.hosts["h2"].says = {"audit": without_end(b"differs edited /etc/passwd\n")}
    stack.hosts["h3"].interfaces["testwg"].differs = ["disabled"]
    began = time.monotonic()
    outcome = stack.run("preview", "--refresh", "--expect-no-changes")
    stack.hosts["h3"].interfaces["testwg"].differs = []
    text = checked(outcome)
    assert outcome.code == 7
    assert "h2: says without end where an answer to 'audit' is due, and was cut off" in text
    assert "h3: testwg does not come up at the next boot" in text
    assert time.monotonic() - began < 60
    # The largest of all processes so far, the engine included, in KB.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 500_000


def test_the_status_command_shows_what_a_host_says_as_text(stack: Stack) -> None:
    """An answer that is left out is no good one, and an address in brackets is no markup."""
    stack.hosts["h1"].says = {"status": but(rb"(peer \S+) \S+", rb"\1 [fd12::1]:51824")}
    stack.hosts["h2"].says = {"ping": instead(b"")}
    stack.hosts["h3"].says = {"status": lambda _: [b".error [/nope] " + ESCAPES + b"\n"]}
    outcome = stack.companion("status")
    text = checked(outcome)
    assert outcome.code == 1
    assert "[fd12::1]:51824" in text
    assert r"! h3: [/nope] \x1b]0;owned\x07\x1b[2J\rAll hosts are well." in text
    assert "! h2: does not say whether h1 answers" in text
