"""What `mesh.announce` prints for the person at `pulumi up`."""

import pytest

from mesh.progress import announce


def test_lines_stand_under_their_title(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, which the engine shows at once."""
    announce("testwg", ["+ bernard joins", "+ edgeworth joins"])
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "testwg:\n  + bernard joins\n  + edgeworth joins\n")


def test_a_line_without_title_stands_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """As progress does."""
    announce("", ["testwg: verifying 3 hosts"])
    assert capsys.readouterr().err == "testwg: verifying 3 hosts\n"


def test_nothing_to_say_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Not even the title."""
    announce("testwg", [])
    assert capsys.readouterr().err == ""
