"""Whatever hosts say of a stream is read as a speed, or is that host's fault in one line."""

import json
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.doctor.tcp_throughput import read_report
from mesh.doctor.throughput import Flow, read_arrival, read_sent
from mesh.errors import HostError

_FLOW = Flow("bernard", "carol", "testwg", "fd00::1", 51824, 1420, ("a", "b"))
_SAMPLES = st.lists(st.tuples(st.integers(1, 100), st.integers(0, 10**9)), min_size=1, max_size=50)


def shown(samples: list[tuple[float, int]]) -> str:
    """Return samples as a host prints them."""
    return "".join(f"sample {time:.2f} {count}\n" for time, count in samples)


@given(steps=_SAMPLES, sent=st.integers(0, 2**60))
def test_a_stream_is_never_faster_than_its_fastest_step(steps: list[tuple[int, int]], sent: int) -> None:
    """Nor has it more bytes than arrived, or lasts longer than the look."""
    samples, time, count = [(10.0, 5)], 1000, 5
    for wait, more in steps:
        time, count = time + wait, count + more
        samples.append((time / 100, count))
    found = read_arrival(_FLOW, shown(samples), sent)
    assert found.received <= count
    assert found.seconds <= (time - 1000) / 100 + 0.001
    assert bool(found.fault) == (found.bits_per_second is None)
    if found.bits_per_second is not None:
        assert found.bits_per_second <= max(more / wait for wait, more in steps) * 800 * 1.001


@given(rate=st.integers(10**5, 10**9), before=st.integers(0, 8), busy=st.integers(3, 20), after=st.integers(0, 8))
def test_a_steady_stream_has_its_speed(rate: int, before: int, busy: int, after: int) -> None:
    """Whatever silence is around it."""
    samples, count = [(0.0, 7)], 7
    for number, moves in enumerate([False] * before + [True] * busy + [False] * after, 1):
        count += rate // 5 * moves
        samples.append((number / 5, count))
    speed = read_arrival(_FLOW, shown(samples), 0).bits_per_second
    assert speed == pytest.approx(rate // 5 * 5 * 8, rel=0.001)


def fault_of(read: Callable[[], object]) -> HostError | None:
    """Return as what a text is refused, if it is."""
    try:
        read()
    except HostError as error:
        return error
    return None


_LINES = st.one_of(
    st.text(max_size=30), st.sampled_from(["sample 1.00 1", "sample 0.50 9", "sent 7", "broke x", "sent -1", "sample"])
)


@given(lines=st.lists(_LINES, max_size=5))
def test_anything_else_is_the_fault_of_that_host_in_one_line(lines: list[str]) -> None:
    """Numbers that go backwards too."""
    text = "\n".join(lines)
    for host, read in (("bernard", partial(read_sent, _FLOW, text)), ("carol", partial(read_arrival, _FLOW, text, 0))):
        if fault := fault_of(read):
            assert fault.host == host
            assert "\n" not in str(fault)


_NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.none(), st.text(max_size=3), st.booleans())
_SUMS = st.dictionaries(st.sampled_from(["bytes", "seconds", "bits_per_second"]), _NUMBERS)
_REPORTS = st.one_of(
    st.text(max_size=40),
    st.fixed_dictionaries(
        {},
        optional={
            "error": st.text(max_size=9),
            "end": st.dictionaries(st.sampled_from(["sum_sent", "sum_received"]), _SUMS),
        },
    ).map(json.dumps),
)


@given(text=_REPORTS)
def test_a_report_of_iperf3_is_a_speed_or_the_fault_of_that_host_in_one_line(text: str) -> None:
    """Also with numbers that are none, or negative, or endless."""
    found = []
    if fault := fault_of(lambda: found.append(read_report(_FLOW, text))):
        assert fault.host == "bernard"
        assert "\n" not in str(fault)
    for _, arrival in found:
        assert "\n" not in arrival.fault
        assert bool(arrival.fault) == (arrival.bits_per_second is None)
        assert arrival.bits_per_second is None or 0 < arrival.bits_per_second < float("inf")
