"""A walk: random edits of the stack file, one to four at a time, each carried out in the lab under traffic.

After each, the hosts run what the file says, packets between hosts that no address changed for arrived, and what is not
of the mesh is as it was. Which edits there are is said in `edits`; a walk that failed is made as short as it can be.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

from mesh.errors import ConfigurationError
from tests.lab.edits import INTERFACE, Draft, Edit, edited
from tests.lab.gaps import Gaps, total
from tests.lab.hosts import Host
from tests.lab.lab import Lab
from tests.lab.snapshot import difference
from tests.lab.stack import Stack, UnexpectedEndError
from tests.lab.traffic import Traffic, Watch

__all__ = ["Summary", "Walk", "WalkError", "shortened", "walk_on"]

_RATE = 20
# What a handshake that crosses another, or gets lost, would be far beyond, also on a busy machine: it takes 5 seconds.
_STALL = 1.0
# In one direction; what is sent to a port at the moment in which it moves is lost.
_LOST, _LOST_PORT = 1, 3

Pair = tuple[str, str]


class WalkError(AssertionError):
    """A walk found something wrong."""


@dataclass
class Summary:
    """What a walk did and lost: among hosts that no address changed for, as a port moved, and with hosts that moved."""

    steps: int = 0
    fields: Counter[str] = field(default_factory=Counter)
    still: list[Gaps] = field(default_factory=list)
    port: list[Gaps] = field(default_factory=list)
    moved: list[Gaps] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield it in words."""
        yield f"{self.steps} steps; " + ", ".join(f"{name} {times}" for name, times in sorted(self.fields.items()))
        for name, gaps in (
            ("no address of theirs changed", self.still),
            ("a port moved", self.port),
            ("with hosts that moved", self.moved),
        ):
            whole = total(gaps)
            yield f"{name}: {whole.lost} of {whole.sent} lost, worst stall {whole.stall * 1000:.0f} ms"


_FOREIGN = """
ip link add own0 type bridge; ip address add 192.168.44.1/24 dev own0; ip address add fd44::1/64 dev own0 nodad
ip link set own0 up; ip route add 192.168.45.0/24 dev own0; ip rule add pref 900 from 192.168.44.0/24 lookup 90
nft 'add table inet own { chain c { type filter hook input priority 5; udp dport 9999 drop; }; }'
echo '192.168.44.9 own.example # own' >>/etc/hosts
echo '# own' >/etc/wireguard/own.conf.disabled
"""
_FOREIGN_LOOKS = """
ip -o address show own0 scope global; ip route show dev own0; ip rule show pref 900; nft list table inet own
grep own /etc/hosts; cat /etc/wireguard/own.conf.disabled
ip route show default; ip -4 rule show | grep -v 518; cat /etc/ssh/sshd_config.d/* /etc/resolv.conf 2>/dev/null
"""
_FOREIGN_GOES = """
ip link del own0; ip rule del pref 900; nft delete table inet own; sed -i '/# own$/d' /etc/hosts
rm -f /etc/wireguard/own.conf.disabled
"""


class Walk:
    """A lab on which the stack file is edited, step by step."""

    def __init__(self, lab: Lab, stack: Stack) -> None:
        """Begin with a mesh of all hosts; use as a context manager."""
        self.lab, self.stack = lab, stack
        self.summary = Summary()
        self.failed: Sequence[Edit] = ()
        self.draft = self.first()
        self._at_second: dict[str, bool] = dict.fromkeys(self.draft.moved, False)
        self._foreign: dict[str, str] = {}

    def first(self) -> Draft:
        """Return the file with which it begins."""
        hosts = {name: self.stack.describe(host) for name, host in self.lab.hosts.items()}
        mesh: dict[str, Any] = {"hosts": list(hosts), "port": 51825, "deadline": 20, "rotation": 1}
        return Draft(hosts, mesh, {name: False for name, host in self.lab.hosts.items() if not host.spec.nat})

    def __enter__(self) -> "Walk":
        """Put things of others on the hosts, and bring the first mesh up."""
        try:
            return self._begin()
        except BaseException:
            self.__exit__()
            raise

    def _begin(self) -> "Walk":
        for name, host in self.lab.hosts.items():
            host.run(_FOREIGN)
            if name in self._at_second:
                self.lab.network.ip("inet", f"route add {self._second(host)}/32 dev p-{name}")
                self.lab.network.ip(name, f"addr add {self._second(host)}/32 dev eth0")
        self._up(self.draft)
        return self

    def __exit__(self, *_: object) -> None:
        """Take everything away."""
        self._place(self.first())
        for name, host in self.lab.hosts.items():
            host.run(_FOREIGN_GOES, check=False)
            if name in self._at_second:
                self.lab.network.ip(name, f"addr del {self._second(host)}/32 dev eth0")
                self.lab.network.ip("inet", f"route del {self._second(host)}/32 dev p-{name}")
        self.stack.cancel()
        self.stack.destroy()

    @staticmethod
    def _second(host: Host) -> str:
        return f"203.0.113.{200 + host.spec.number}"

    def _place(self, draft: Draft) -> None:
        """Put each host where the file says; it answers from there, and has its other address too."""
        for name, is_moved in draft.moved.items():
            if self._at_second[name] != is_moved:
                host = self.lab.hosts[name]
                first = self._second(host) if is_moved else str(host.external_address)
                self.lab.network.ip(name, f"route replace default via 169.254.0.1 dev eth0 src {first}")
                self._at_second[name] = is_moved

    def _up(self, draft: Draft) -> None:
        self._place(draft)
        self.stack.write({INTERFACE: draft.mesh}, draft.hosts)
        try:
            self.stack.up()
        except UnexpectedEndError as error:
            raise WalkError(str(error)) from None

    def restart(self, draft: Draft) -> None:
        """Bring up a mesh from nothing, as `draft` has it."""
        self.stack.cancel()
        self.stack.destroy()
        self._up(draft)
        self.draft = draft

    def _look(self) -> dict[str, str]:
        return {name: host.run(_FOREIGN_LOOKS, check=False) for name, host in self.lab.hosts.items()}

    @contextmanager
    def nothing_of_others_changes(self) -> Iterator[None]:
        """See to it that what is not of the mesh is as it was.

        Raises:
            WalkError: If anything of others has changed.
        """
        before = self._look()
        yield
        for name, looks in self._look().items():
            if looks != before[name]:
                raise WalkError(f"{name}: what is not of the mesh has changed:\n{difference(before[name], looks)}")

    @contextmanager
    def traffic(self, before: Draft, after: Draft) -> Iterator[Watch]:
        """Let hosts that stay, with their addresses inside, send to one another."""
        stay = before.tunnels() & after.tunnels()
        old, new = before.pairs(), after.pairs()
        names = {name for pair in stay for name in pair if old.address(name) == new.address(name)}
        directions = [pair for pair in permutations(sorted(names), 2) if tuple(sorted(pair)) in stay]
        hosts = [self.lab.hosts[name] for name in sorted(names)]
        addresses = {name: new.address(name) for name in names}
        sent = Traffic(hosts, INTERFACE, _RATE, directions=directions, addresses=addresses)
        with sent, sent.watch() as watch:
            yield watch

    def step(self, edits: Sequence[Edit]) -> None:
        """Carry out some edits of the file in one go.

        Raises:
            WalkError: If a tunnel that stays lost something, if the hosts do not run the plan, or if anything of
                others has changed.
        """
        before, after, self.failed = self.draft, edited(self.draft, edits), edits
        self._place(after)
        with self.nothing_of_others_changes():
            with self.traffic(before, after) as watch:
                self._up(after)
            self.count(edits, before, after, watch.gaps)
            try:
                self.stack.run("preview", "--refresh", "--expect-no-changes")
            except UnexpectedEndError as error:
                raise WalkError(f"the hosts do not run what the file says: {error}") from None
        self.draft = after

    def count(self, edits: Sequence[Edit], before: Draft, after: Draft, gaps: dict[Pair, Gaps], times: int = 1) -> None:
        """Add what was lost while hosts switched, so many times.

        Raises:
            WalkError: If a tunnel lost more than it may.
        """
        self.summary.steps += 1
        self.summary.fields.update(edit.name for edit in edits)
        faults = []
        moves_port = before.mesh["port"] != after.mesh["port"]
        ways = before.pairs(), after.pairs()
        for pair, lost in gaps.items():
            # A pair goes where its relay goes.
            is_moved = bool({*pair, *(pairs.relay_between(*pair) for pairs in ways)} & after.touched)
            kind = self.summary.moved if is_moved else self.summary.port if moves_port else self.summary.still
            kind.append(lost)
            # A host that moved is not found before the switch; that it is then has been proven.
            if not is_moved and (lost.stall > _STALL or lost.lost > times * (_LOST_PORT if moves_port else _LOST)):
                faults.append(f"{pair[0]} → {pair[1]}: {lost}")
        if faults:
            raise WalkError("\n".join(faults))


def in_words(draft: Draft, edits: Sequence[Edit]) -> str:
    """Return one step as a test can hold it: the file before, and the edits."""
    return json.dumps({"mesh": draft.mesh, "moved": draft.moved, "edits": [[e.name, e.seed] for e in edits]})


def walk_on(walk: Walk, steps: Sequence[Sequence[Edit]]) -> None:
    """Carry out all steps, and say each on standard error.

    Raises:
        WalkError: With the step that failed, and the file before it.
    """
    for number, edits in enumerate(steps, 1):
        before = walk.draft
        sys.stderr.write(f"walk: {number} of {len(steps)}: {', '.join(edit.name for edit in edits)}\n")
        try:
            walk.step(edits)
        except WalkError as error:
            raise WalkError(f"step {number}: {error}\nhosts: {before.hosts}\nstep: {in_words(before, edits)}") from None


def shortened(walk: Walk) -> str:
    """Return the shortest part of the step that just failed that fails from a new start, or that none does."""
    before, edits = walk.draft, walk.failed
    found = "the same step from a new start passes; the walk is needed"
    left = list(edits)
    for candidate in (left, *([edit] for edit in left)):
        try:
            edited(before, candidate)
            walk.restart(before)
            walk.step(candidate)
        except WalkError:
            found = in_words(before, candidate)
        except ConfigurationError:
            pass
    return found
