"""What a person at a terminal does to a command that takes long: press Ctrl-C, and make the window narrower."""

import re
import sys
import time

import pytest

from tests.rehearsed.conftest import Maker
from tests.rehearsed.stack import RehearsedStack
from tests.terminal import Terminal

_CLEARED, _HIDES_CURSOR, _SHOWS_CURSOR = b"\x1b[2J", b"\x1b[?25l", b"\x1b[?25h"
_CTRL_C = b"\x03"
_HEALTHY = b"testwg is healthy"
_COMMANDS = (
    "doctor",
    "page",
    "page --output kept.html",
    "speed h1 h2",
    "status",
    "ping --all",
    "metrics --output kept.prom",
    "graph lab --live",
    "bundle",
)
# A resolver that does not answer.
_WITHOUT_NAMES = """
import socket, time
look_up = socket.getaddrinfo
def wait(host, *rest, **options):
    if host == "localhost":
        open("looked-up", "w").close()
        time.sleep(40)
    return look_up(host, *rest, **options)
socket.getaddrinfo = wait
from mesh.__main__ import run_mesh
run_mesh()
"""


@pytest.fixture(scope="module")
def stack(make_stack: Maker) -> RehearsedStack:
    """Return a running mesh of two hosts, one of which is reached by a name."""
    stack = make_stack(2)
    stack.write({"testwg": {"hosts": ["h1", "h2"]}}, h2={"address": "localhost"})
    stack.up()
    for name in ("kept.html", "kept.prom"):
        (stack.folder / name).write_text("of before\n")
    return stack


def start(stack: RehearsedStack, command: str, *program: str) -> Terminal:
    """Start a command in a terminal of its own."""
    words = [sys.executable, *(program or ("-m", "mesh")), *command.split()]
    return Terminal(words, stack.folder, stack.environment)


def files(stack: RehearsedStack) -> dict[str, str]:
    """Return all files of the project's folder, and what is in those that a command would replace."""
    found = [path for path in stack.folder.iterdir() if path.is_file()]
    return {path.name: path.read_text() if path.name.startswith("kept") else "" for path in found}


def end_by_ctrl_c(terminal: Terminal) -> None:
    """Press it, and see the end that every command has then."""
    before = len(terminal.said)
    terminal.press(_CTRL_C)
    began = time.monotonic()
    assert terminal.end() == 130
    assert time.monotonic() - began < 5
    assert terminal.said[before:].split() == [b"^C", b"interrupted"]


@pytest.mark.parametrize("command", _COMMANDS)
def test_ctrl_c_ends_a_command_while_a_host_says_nothing(stack: RehearsedStack, command: str) -> None:
    """Within moments, in a word, and without a file; one that was there stays as it was."""
    before = files(stack)
    host = stack.hosts["h2"]
    stack.hosts.become("h2", "silent")
    try:
        with start(stack, command) as terminal:
            terminal.wait_until(lambda: host.open)
            end_by_ctrl_c(terminal)
    finally:
        stack.hosts.become("h2", "well")
    assert files(stack) == before


@pytest.mark.parametrize(("command", "order"), [("doctor", "audit"), ("page", "examine"), ("status", "status")])
def test_ctrl_c_ends_a_command_while_a_host_does_not_answer_an_order(
    stack: RehearsedStack, command: str, order: str
) -> None:
    """It has logged in, and holds a lock of the host, which goes with the connection."""
    before = files(stack)
    host = stack.hosts["h2"]
    host.hang_at = order
    told = host.orders.count(order)
    try:
        with start(stack, command) as terminal:
            terminal.wait_until(lambda: host.orders.count(order) > told)
            end_by_ctrl_c(terminal)
    finally:
        host.hang_at = ""
    assert files(stack) == before


@pytest.mark.parametrize(("command", "status"), [("doctor", 130), ("status --watch", 0)])
def test_ctrl_c_ends_a_command_while_no_resolver_answers(stack: RehearsedStack, command: str, status: int) -> None:
    """As where the network is gone; a lookup itself cannot be ended, and is left."""
    mark = stack.folder / "looked-up"
    with start(stack, command, "-c", _WITHOUT_NAMES) as terminal:
        terminal.wait_until(mark.exists)
        terminal.press(_CTRL_C)
        began = time.monotonic()
        assert terminal.end() == status
        assert time.monotonic() - began < 5
        assert b"Traceback" not in terminal.said
    mark.unlink()


def drawing(shown: bytes) -> list[str]:
    """Return the lines of the first drawing after the screen was cleared."""
    found = re.search(rb"testwg is healthy.*?(?=\x1b\[1A)", shown.partition(_CLEARED)[2], re.DOTALL)
    assert found
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", found[0].decode()).split("\n")


def test_a_watched_status_follows_the_width_of_its_terminal_and_leaves_it_as_it_was(stack: RehearsedStack) -> None:
    """Nothing of the wider tables stays; the cursor is there again after Ctrl-C, and so are the settings."""
    with start(stack, "status --watch --interval 1") as terminal:
        settings = terminal.settings
        terminal.wait_until(lambda: terminal.said.count(_HEALTHY) >= 2)
        assert _CLEARED not in terminal.said
        widths = []
        for columns in (60, 120):
            seen = len(terminal.said)
            terminal.resize(columns)
            terminal.wait_until(lambda: terminal.said[seen:].partition(_CLEARED)[2].count(_HEALTHY) >= 2)  # noqa: B023
            widths.append(max(map(len, drawing(terminal.said[seen:]))))
        terminal.press(_CTRL_C)
        assert terminal.end() == 0
        assert terminal.settings == settings
    assert widths[0] <= 60 < widths[1] <= 120
    assert terminal.said.count(_HIDES_CURSOR) == terminal.said.count(_SHOWS_CURSOR) == 1
    assert terminal.said.rindex(_SHOWS_CURSOR) > terminal.said.rindex(_HEALTHY)
    assert b"\x1b[?1049h" not in terminal.said
    assert b"Traceback" not in terminal.said
