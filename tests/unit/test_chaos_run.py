"""A chaos run in several labs: each strike falls once, and a broken promise costs no other strike."""

from pathlib import Path

import pytest

from tests.bench import chaos
from tests.lab.chaos import ChaosError, Result

_SEEDS = range(3, 20)
_BROKEN = 8


class FakeChaos:
    """A lab that boots nothing and breaks one promise; it is thrown away then."""

    made: list[str]

    def __init__(self, prefix: str, folder: Path) -> None:
        """Be of a name."""
        assert folder.is_dir()
        self.made.append(prefix)
        self._is_broken = False

    def __enter__(self) -> "FakeChaos":
        """Boot nothing."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing."""

    def strike(self, seed: int) -> Result:
        """Strike nothing."""
        assert not self._is_broken
        if seed == _BROKEN:
            self._is_broken = True
            raise ChaosError(f"seed {seed}: broken")
        return Result(seed, "engine killed", "plan", "old", 0)


@pytest.mark.parametrize("labs", [1, 2, 5])
def test_labs_share_the_strikes(monkeypatch: pytest.MonkeyPatch, labs: int) -> None:
    """Each has a prefix of its own, and goes on in a new lab after a promise was broken."""
    made: list[str] = []
    monkeypatch.setattr(FakeChaos, "made", made, raising=False)
    monkeypatch.setattr(chaos, "Chaos", FakeChaos)
    outcomes = chaos.strike(_SEEDS, "lab", labs)
    struck = [outcome.seed for outcome in outcomes if isinstance(outcome, Result)]
    assert sorted([*struck, _BROKEN]) == list(_SEEDS)
    assert [str(outcome) for outcome in outcomes if isinstance(outcome, ChaosError)] == [f"seed {_BROKEN}: broken"]
    assert len(set(made)) == labs
    assert len(made) == labs + 1
