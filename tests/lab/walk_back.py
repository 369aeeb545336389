"""A walk whose every step fails first, in one of several ways, and is rolled back under traffic before it succeeds.

After each failure the hosts run and boot what they did before, packets arrived as in a step that succeeds, and what is
not of the mesh is as it was.
"""

import sys
from collections.abc import Sequence
from random import Random

from tests.lab.edits import INTERFACE, Edit, edited
from tests.lab.failures import kernel
from tests.lab.hosts import Host
from tests.lab.lab import Lab
from tests.lab.snapshot import difference
from tests.lab.stack import Run, Stack
from tests.lab.walk import Walk, WalkError

__all__ = ["WalkBack"]

_DEAF = f"""nft 'add table inet deaf {{ chain c {{ type filter hook input priority 5
iifname {INTERFACE} meta l4proto icmp drop; iifname {INTERFACE} icmpv6 type echo-request drop; }}; }}'"""


class WalkBack(Walk):
    """Such a walk; the seed decides how each step fails."""

    def __init__(self, lab: Lab, stack: Stack, seed: int) -> None:
        """Begin as any walk does."""
        super().__init__(lab, stack)
        self._random = Random(seed)  # noqa: S311

    def step(self, edits: Sequence[Edit]) -> None:
        """Let some edits of the file fail, and then carry them out.

        Raises:
            WalkError: As of a walk, and if anything is not as it was after the failure.
        """
        before, after, self.failed = self.draft, edited(self.draft, edits), edits
        fail = self._random.choice([self._unanswered, self._shut, self._killed])
        host = self.lab.hosts[self._random.choice(after.mesh["hosts"])]
        sys.stderr.write(f"walk: first {fail.__name__.strip('_')} at {host.name}\n")
        was = {name: kernel(host) for name, host in self.lab.hosts.items()}
        self.stack.write({INTERFACE: after.mesh}, after.hosts)
        with self.nothing_of_others_changes():
            with self.traffic(before, after) as watch:
                fail(host)
                self.stack.wait_until_settled(90)
            # There and back again.
            self.count(edits, before, after, watch.gaps, times=2)
        for name, member in self.lab.hosts.items():
            if (runs := kernel(member)) != was[name]:
                raise WalkError(f"{name}: does not run what it did before:\n{difference(was[name], runs)}")
        super().step(edits)

    def _unanswered(self, host: Host) -> None:
        """One host answers no pings from the mesh."""
        host.run(_DEAF)
        try:
            self._fails(self.stack.start("up"))
        finally:
            host.run("nft delete table inet deaf")

    def _shut(self, host: Host) -> None:
        """One host takes no new SSH connection."""
        run = self.stack.start("up")
        with self.stack.held_at(run, member=host.name):
            self._fails(run)

    def _killed(self, host: Host) -> None:
        """The operator's machine dies while the hosts are verified."""
        run = self.stack.start("up")
        with self.stack.held_at(run, member=host.name):
            run.kill_all()
        self.stack.cancel()

    @staticmethod
    def _fails(run: Run) -> None:
        outcome = run.end()
        if outcome.code == 0:
            raise WalkError(f"it did not fail:\n{outcome.output}")
