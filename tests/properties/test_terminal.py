"""Whatever a host says, a terminal only shows it: no control character, markup or colour of the engine gets through."""

import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Group
from rich.table import Table
from rich.text import Text

from mesh.cli.console import Screen
from mesh.errors import HostError, HostsFailedError, MeshError, visible
from mesh.progress import announce

_CONTROLS = ["\x1b]0;x\x07", "\x1b[2J", "\r", "\n", "\x9b31m", "\u202e", "\u2028"]
_MARKUP = ["[/nope]", "[red]", ":smile:", "<{%x%}>", "a"]
_TEXT = st.text(max_size=60) | st.lists(st.sampled_from([*_CONTROLS, *_MARKUP])).map("".join)


def is_harmless(text: str) -> bool:
    """Tell whether a text is lines that are only shown."""
    return "<{%" not in text and all(line.isprintable() for line in text.split("\n"))


@given(text=_TEXT)
@example(text="[fd12::1]:51824")
@example(text="<{%nonsense%}>")
@example(text="<<{%{%")
def test_a_text_is_shown_in_one_line_and_the_same_when_shown_again(text: str) -> None:
    """What does nothing to a terminal stays as it is."""
    shown = visible(text)
    assert is_harmless(shown)
    assert "\n" not in shown
    assert visible(shown) == shown
    if text.isprintable() and "<{%" not in text:
        assert shown == text


@given(text=_TEXT)
def test_errors_are_lines_that_are_only_shown(text: str) -> None:
    """Of one host a single line."""
    assert is_harmless(str(MeshError(text)))
    assert is_harmless(str(HostError("bernard", text)))
    assert "\n" not in str(HostError("bernard", text))
    assert str(HostsFailedError({"bernard": text}, "failed")).count("\n") == 1


@given(text=_TEXT)
@example(text="[fd12::1]:51824")
@example(text="[/nope]")
def test_the_screen_shows_texts_as_they_are(text: str) -> None:
    """As a line, in a table, and in a text with a colour."""
    written = io.StringIO()
    screen = Screen(file=written, width=2000, force_terminal=False)
    table = Table("what")
    table.add_row(text)
    screen.print(text, soft_wrap=True)
    screen.print(Group(table, Text(text, style="red")))
    said = written.getvalue()
    assert is_harmless(said.replace("<{%", ""))
    # Text of rich itself drops bells and the like; what is left is shown.
    for word in ("[/nope]", "[red]", ":smile:", "[fd12::1]:51824"):
        assert said.count(word) == 3 * text.count(word)


def test_progress_is_lines_that_are_only_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The engine hands them to the terminal."""
    announce("testwg", ["bernard: \x1b]0;x\x07<{%x%}>\nAll hosts are well."])
    shown = capsys.readouterr().err
    assert shown == "testwg:\n  bernard: \\x1b]0;x\\x07<{\\x25x%}>\\nAll hosts are well.\n"
