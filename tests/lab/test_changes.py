"""A change of a running mesh loses nothing among the hosts that stay."""

import sys
from typing import Any

import pytest

from tests.lab.hosts import HostSpec
from tests.lab.lab import Lab
from tests.lab.loss import Loss, pinging
from tests.lab.stack import Stack


def test_hosts_join_leave_and_take_new_keys_without_loss(
    stack: Stack, lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pings 20 times a second in every direction, one host behind NAT: none is lost, or two on a noisy machine."""
    stay = list(lab.hosts)
    lab.add([HostSpec("frank", 10)])
    try:
        mesh: dict[str, Any] = {"port": 51825}
        stack.write({"testwg": {**mesh, "hosts": stay}})
        stack.up()
        everybody = [*stay, "frank"]
        changes: dict[str, dict[str, Any]] = {
            "a host joins": {"hosts": everybody},
            "one host's key": {"hosts": everybody, "members": {"carol": {"rotation": 2}}},
            "the key of the host behind NAT": {
                "hosts": everybody,
                "members": {"carol": {"rotation": 2}, "edgeworth": {"rotation": 2}},
            },
            "all keys": {"hosts": everybody, "rotation": 3},
            "a host leaves": {"hosts": stay, "rotation": 3},
        }
        lost: dict[str, int] = {}
        gaps: dict[str, float] = {}
        for name, change in changes.items():
            each: dict[tuple[str, str], Loss] = {}
            with pinging(stack, "testwg", stay, each):
                stack.write({"testwg": {**mesh, **change}})
                seconds = stack.up().seconds
            lost[name] = sum(loss.lost for loss in each.values())
            gaps[name] = max(loss.gap for loss in each.values())
            sent = sum(loss.sent for loss in each.values())
            with capsys.disabled():
                sys.stdout.write(
                    f"\nloss: {name}: {lost[name]} of {sent} in {len(each)} directions, "
                    f"longest silence {gaps[name] * 1000:.0f} ms, up took {seconds:.1f} s"
                )
        assert {name: count for name, count in lost.items() if count > 2} == {}
        assert {name: gap for name, gap in gaps.items() if gap > 1} == {}
        stack.destroy()
    finally:
        lab.hosts.pop("frank").remove()
