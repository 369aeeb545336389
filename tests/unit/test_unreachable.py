"""When `mesh.unreachable` lets a run go on."""

import pytest

from mesh.rollout.unreachable import SKIP_VARIABLE, may_skip


@pytest.mark.parametrize(
    ("word", "goes_on"), [("1", True), ("true", True), ("True", True), ("", False), ("0", False), ("yes", False)]
)
def test_the_environment_lets_one_run_go_on(monkeypatch: pytest.MonkeyPatch, word: str, goes_on: bool) -> None:
    """In the words of Pulumi's own variables; any other stops, which harms nobody."""
    monkeypatch.setenv(SKIP_VARIABLE, word)
    assert may_skip("stop") == goes_on
    assert may_skip("skip")


def test_without_it_the_stack_file_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop is the default there."""
    monkeypatch.delenv(SKIP_VARIABLE, raising=False)
    assert not may_skip("stop")
    assert may_skip("skip")
