"""How a command ends."""

import pytest

from mesh.cli import app


def test_ctrl_c_before_typer_looks_after_it_ends_a_command_in_a_word_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As while the commands are put together."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "app", interrupted)
    with pytest.raises(SystemExit) as end:
        app.main()
    assert end.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"
