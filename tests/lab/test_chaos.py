"""Whatever strikes in the middle of a change, hosts end up all old or all new, and the next run completes."""

from collections.abc import Callable, Iterator

import pytest

from tests.lab.chaos import Chaos, planned
from tests.lab.conftest import PREFIX, skip_without
from tests.lab.lab import require_lab
from tests.lab.phases import PHASES
from tests.lab.strikes import STRIKES

# A few that take seconds; `python -m tests.bench chaos` has all.
_CHOSEN = [
    ("watchdogs stopped, operator's machine dies", "prove"),
    ("power cut of a host", "switch"),
    ("operator cut off from hosts", "go back"),
]


@pytest.fixture(scope="module")
def chaos(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chaos]:
    """Return a lab of its own, whose hosts may be struck."""
    assert engine
    skip_without(require_lab)
    with Chaos(f"{PREFIX}c", tmp_path_factory.mktemp("chaos")) as made:
        yield made


def _seed(fault: str, phase: str) -> int:
    count = len(STRIKES) * len(PHASES)
    return next(seed for seed in range(count) if (planned(seed)[0].name, planned(seed)[1]) == (fault, phase))


@pytest.mark.parametrize(("fault", "phase"), _CHOSEN)
def test_a_struck_change_ends_all_old_or_all_new(
    chaos: Chaos, fault: str, phase: str, record_property: Callable[[str, object], None]
) -> None:
    """Within the deadline, no key is lost, and the next run completes."""
    result = chaos.strike(_seed(fault, phase))
    record_property("strike", f"{fault}, {result.phase}: all {result.outcome}, settled in {result.seconds:.0f} s")


def test_every_fault_comes_in_every_phase() -> None:
    """Before any pair of them comes again."""
    count = len(STRIKES) * len(PHASES)
    assert len({(strike.name, phase) for strike, phase in map(planned, range(count))}) == count
