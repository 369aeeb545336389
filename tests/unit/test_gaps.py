"""The arithmetic of `tests.lab.gaps`."""

from tests.lab.gaps import Gaps, find_gaps, total


def test_packets_that_all_come_at_once_are_a_stall_as_long_as_the_first_of_them_waited() -> None:
    """As after a handshake, when what was queued is sent."""
    sent = [0.0, 0.25, 0.5, 0.75]
    assert find_gaps(sent, {0: 0.125, 1: 1.0, 2: 1.0, 3: 1.0}, 5) == Gaps(4, 0, 0.75)


def test_a_lost_packet_waits_until_the_next_one_comes() -> None:
    """Its direction carried nothing until then."""
    assert find_gaps([0.0, 0.25, 0.5], {0: 0.125, 2: 0.625}, 5) == Gaps(3, 1, 0.375)


def test_packets_at_the_end_that_never_come_wait_until_the_end() -> None:
    """A direction that is dead is not one without stalls."""
    assert find_gaps([0.0, 0.25, 0.5], {0: 0.125}, 5) == Gaps(3, 2, 4.75)


def test_packets_that_overtake_one_another_are_not_a_stall() -> None:
    """Something came while the late one was under way."""
    assert find_gaps([0.0, 0.25], {0: 0.75, 1: 0.5}, 5) == Gaps(2, 0, 0.5)


def test_a_sender_that_was_late_is_not_a_stall() -> None:
    """What was not sent did not wait."""
    assert find_gaps([0.0, 3.0], {0: 0.125, 1: 3.125}, 5) == Gaps(2, 0, 0.125)


def test_directions_add_up_but_the_stall_is_the_longest() -> None:
    """And none at all is no loss."""
    assert total([Gaps(10, 1, 0.2), Gaps(20, 0, 0.3)]) == Gaps(30, 1, 0.3)
    assert total([]) == Gaps(0, 0, 0.0)
