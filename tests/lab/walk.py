"""A walk: random edits of the stack file, one to four at a time, each carried out in the lab under traffic.

After each, the hosts run what the file says, packets between hosts that no address changed for arrived, and what is not
of the mesh is as it was. An edit is its name and a seed, so a walk that failed can be walked again, and made shorter.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import permutations
from random import Random
from typing import Any

from mesh.config.reader import read_configuration
from mesh.errors import ConfigurationError
from mesh.plan.pairs import Pairs
from mesh.plan.roster_builder import build_roster
from mesh.plan.topology import plan_meshes
from tests.lab.gaps import Gaps, total
from tests.lab.hosts import Host
from tests.lab.lab import Lab
from tests.lab.snapshot import difference
from tests.lab.stack import Stack, UnexpectedEndError
from tests.lab.traffic import Traffic

__all__ = ["Edit", "Summary", "Walk", "WalkError", "random_walk", "shortened", "walk_on"]

INTERFACE = "testwg"
_RATE = 20
# What a handshake that crosses another, or gets lost, would be far beyond, also on a busy machine: it takes 5 seconds.
_STALL = 1.0
# In one direction; what is sent to a port at the moment in which it moves is lost.
_LOST, _LOST_PORT = 1, 3

Pair = tuple[str, str]


class WalkError(AssertionError):
    """A walk found something wrong."""


@dataclass
class Draft:
    """The stack file while it is edited: its hosts, its one interface, and which hosts are at their second address."""

    hosts: dict[str, Any]
    mesh: dict[str, Any]
    moved: dict[str, bool]
    # Those for whom an edit changed where they are sought, or their address inside.
    touched: set[str] = field(default_factory=set)

    def member(self, host: str) -> dict[str, Any]:
        """Return what the interface says of one host, to be edited."""
        entry: dict[str, Any] = self.mesh.setdefault("members", {}).setdefault(host, {})
        return entry

    def pairs(self) -> Pairs:
        """Return how its hosts meet.

        Raises:
            ConfigurationError: If the file has faults.
        """
        plan = plan_meshes(read_configuration(self.hosts, {INTERFACE: self.mesh}))[INTERFACE]
        names = [participant.name for participant in plan.participants]
        return Pairs(build_roster(plan, dict.fromkeys(names, ""), {name: {} for name in names}))

    def tunnels(self) -> set[Pair]:
        """Return the pairs of hosts that can talk."""
        pairs = self.pairs()
        hosts = set(self.mesh["hosts"])
        return {pair for pair in pairs if set(pair) <= hosts and (pairs.can_meet(*pair) or pairs.relay(*pair))}


def _public(draft: Draft) -> list[str]:
    return [name for name, host in draft.hosts.items() if host.get("externalIps") and name in draft.mesh["hosts"]]


def _toggle(entry: dict[str, Any], name: str, value: Any) -> None:
    """Give an entry this value, or take it away."""
    if entry.get(name) == value:
        del entry[name]
    else:
        entry[name] = value


def _come_or_go(random: Random, draft: Draft) -> None:
    # Two hosts are the least that can lose anything.
    absent = draft.hosts.keys() - set(draft.mesh["hosts"])
    host = random.choice(sorted(absent if len(draft.mesh["hosts"]) <= 2 else draft.hosts))
    if host in draft.mesh["hosts"]:
        draft.mesh["hosts"] = [name for name in draft.mesh["hosts"] if name != host]
        draft.mesh.get("members", {}).pop(host, None)
    else:
        draft.mesh["hosts"] = [*draft.mesh["hosts"], host]
    draft.touched.add(host)


def _address_of(host: str, draft: Draft) -> str:
    number = int(draft.hosts[host]["ssh"]["address"].rpartition(".")[2])
    return f"203.0.113.{200 + number if draft.moved[host] else number}"


def _roam(random: Random, draft: Draft) -> None:
    host = random.choice(sorted(draft.moved))
    draft.hosts[host].pop("externalIps" if "externalIps" in draft.hosts[host] else "", None) or draft.hosts[
        host
    ].update(externalIps=[_address_of(host, draft)])
    draft.touched.add(host)


def _move(random: Random, draft: Draft) -> None:
    host = random.choice(sorted(draft.moved))
    draft.moved[host] = not draft.moved[host]
    if "externalIps" in draft.hosts[host]:
        draft.hosts[host]["externalIps"] = [_address_of(host, draft)]
    draft.touched.add(host)


def _site(random: Random, draft: Draft) -> None:
    for host in random.sample(sorted(draft.moved), 2):
        number = int(draft.hosts[host]["ssh"]["address"].rpartition(".")[2])
        _toggle(draft.hosts[host], "site", "cellar")
        _toggle(draft.hosts[host], "localIps", [f"198.51.100.{number}"])
        draft.touched.add(host)


def _fixed_address(random: Random, draft: Draft) -> None:
    host = random.choice(draft.mesh["hosts"])
    _toggle(draft.member(host), "address", f"fd99:0:0:{ord(host[0]):x}::1/64")
    draft.touched.add(host)


def _prefix(_: Random, draft: Draft) -> None:
    _toggle(draft.mesh, "prefix", "fd12:3456:789a::/48")
    draft.touched.update(draft.hosts)


def _peering(random: Random, draft: Draft) -> None:
    hub = random.choice(draft.mesh["hosts"])
    choices = [
        None,
        [{"hub": [hub], "spokes": ["all"]}],
        [{"group": draft.mesh["hosts"][:2]}, {"hub": [hub], "spokes": ["all"]}],
    ]
    draft.mesh["peering"] = random.choice(choices)
    if draft.mesh["peering"] is None:
        del draft.mesh["peering"]


def _ipv4(_: Random, draft: Draft) -> None:
    if "ipv4" in draft.mesh:
        del draft.mesh["ipv4"]
        for entry in (*draft.mesh.get("members", {}).values(), *draft.mesh.get("peers", {}).values()):
            entry.pop("ipv4", None)
    else:
        draft.mesh["ipv4"] = "10.20.0.0/24"


def _peer(random: Random, draft: Draft) -> None:
    name = random.choice(["laptop", "phone"])
    _toggle(draft.mesh.setdefault("peers", {}), name, draft.mesh.get("peers", {}).get(name, {}))


def _exit_node(random: Random, draft: Draft) -> None:
    host, node = random.sample(draft.mesh["hosts"], 2)
    _toggle(draft.member(host), "exitNode", node)


def _counted(name: str) -> Callable[[Random, Draft], None]:
    def raise_it(random: Random, draft: Draft) -> None:
        draft.mesh[name] = draft.mesh[name] + random.randint(1, 9)

    return raise_it


def _choice(name: str, *values: Any) -> Callable[[Random, Draft], None]:
    def choose(random: Random, draft: Draft) -> None:
        draft.mesh[name] = random.choice([value for value in values if value != draft.mesh.get(name)])
        if draft.mesh[name] is None:
            del draft.mesh[name]

    return choose


def _of_member(name: str, *values: Any) -> Callable[[Random, Draft], None]:
    def choose(random: Random, draft: Draft) -> None:
        _toggle(draft.member(random.choice(draft.mesh["hosts"])), name, random.choice(values))

    return choose


def _rotate_one(random: Random, draft: Draft) -> None:
    entry = draft.member(random.choice(draft.mesh["hosts"]))
    entry["rotation"] = entry.get("rotation", 1) + 1


def _relay(random: Random, draft: Draft) -> None:
    _toggle(draft.mesh, "relay", random.choice(["auto", *_public(draft)]))


EDITS: dict[str, Callable[[Random, Draft], None]] = {
    "a host leaves or returns": _come_or_go,
    "a host roams or stays": _roam,
    "a host moves": _move,
    "site": _site,
    "address inside": _fixed_address,
    "prefix": _prefix,
    "peering": _peering,
    "relay": _relay,
    "exit node": _exit_node,
    "routes": _of_member("routes", ["192.168.30.0/24"], ["192.168.31.0/24", "2001:db8:31::/64"]),
    "all keys": _counted("rotation"),
    "one key": _rotate_one,
    "port": _counted("port"),
    "MTU": _choice("mtu", None, 1400, 1380, 1300),
    "names": _choice("names", None, True),
    "preshared keys": _choice("presharedKeys", None, "pairwise"),
    "unmanaged peer": _peer,
    "IPv4": _ipv4,
    "keepalive": _choice("persistentKeepalive", None, 15, 25),
    "keepalive of one": _of_member("persistentKeepalive", 10, 20),
}


@dataclass(frozen=True)
class Edit:
    """One edit; the seed decides what it does to the file that it finds."""

    name: str
    seed: int


def _edited(draft: Draft, edits: Iterable[Edit]) -> Draft:
    """Return the file after these edits, whole: who is new in a mesh with IPv4 has such an address.

    Raises:
        ConfigurationError: If it has faults.
    """
    after = deepcopy(draft)
    after.touched.clear()
    for edit in edits:
        EDITS[edit.name](Random(edit.seed), after)  # noqa: S311
    if "ipv4" in after.mesh:
        for number, name in enumerate(sorted(after.hosts), 1):
            if name in after.mesh["hosts"]:
                after.member(name)["ipv4"] = f"10.20.0.{number}"
        for number, peer in enumerate(after.mesh.get("peers", {}).values(), 50):
            peer["ipv4"] = f"10.20.0.{number}"
    after.pairs()
    return after


def random_walk(draft: Draft, seed: int, steps: int) -> list[list[Edit]]:
    """Return the edits of a walk that begins with `draft`, so many steps of one to four edits."""
    random = Random(seed)  # noqa: S311
    walk: list[list[Edit]] = []
    while len(walk) < steps:
        names = random.sample(sorted(EDITS), random.choice([1, 2, 2, 3, 4]))
        edits = [Edit(name, random.randrange(2**32)) for name in names]
        try:
            after = _edited(draft, edits)
        except ConfigurationError:
            continue
        if (after.hosts, after.mesh) != (draft.hosts, draft.mesh):
            walk.append(edits)
            draft = after
    return walk


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
ip link add own0 type dummy; ip address add 192.168.44.1/24 dev own0; ip address add fd44::1/64 dev own0 nodad
ip link set own0 up; ip route add 192.168.45.0/24 via 192.168.44.2; ip rule add pref 900 from 192.168.44.0/24 lookup 90
nft 'add table inet own { chain c { type filter hook input priority 5; udp dport 9999 drop; }; }'
echo '192.168.44.9 own.example # own' >>/etc/hosts
mkdir -p /etc/wireguard; echo '# own' >/etc/wireguard/own.conf.disabled
"""
_FOREIGN_LOOKS = """
ip address show own0 | grep inet; ip route show dev own0; ip rule show pref 900; nft list table inet own
grep own /etc/hosts; cat /etc/wireguard/own.conf.disabled
ip route show default; ip -4 rule show | grep -v 518; cat /etc/ssh/sshd_config.d/* /etc/resolv.conf 2>/dev/null
"""
_FOREIGN_GOES = """
ip link del own0; ip rule del pref 900; nft delete table inet own; sed -i '/# own$/d' /etc/hosts
rm -f /etc/wireguard/own.conf.disabled; rmdir /etc/wireguard 2>/dev/null
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

    def step(self, edits: Sequence[Edit]) -> None:
        """Carry out some edits of the file in one go.

        Raises:
            WalkError: If a tunnel that stays lost something, if the hosts do not run the plan, or if anything of
                others has changed.
        """
        before, after, self.failed = self.draft, _edited(self.draft, edits), edits
        stay = before.tunnels() & after.tunnels()
        old, new = before.pairs(), after.pairs()
        names = {name for pair in stay for name in pair if old.address(name) == new.address(name)}
        directions = [pair for pair in permutations(sorted(names), 2) if tuple(sorted(pair)) in stay]
        hosts = [self.lab.hosts[name] for name in sorted(names)]
        addresses = {name: new.address(name) for name in names}
        self._place(after)
        foreign = self._look()
        traffic = Traffic(hosts, INTERFACE, _RATE, directions=directions, addresses=addresses)
        with traffic, traffic.watch() as watch:
            self._up(after)
        self._count(edits, before, after, watch.gaps)
        try:
            self.stack.run("preview", "--refresh", "--expect-no-changes")
        except UnexpectedEndError as error:
            raise WalkError(f"the hosts do not run what the file says: {error}") from None
        for name, looks in self._look().items():
            if looks != foreign[name]:
                raise WalkError(f"{name}: what is not of the mesh has changed:\n{difference(foreign[name], looks)}")
        self.draft = after

    def _count(self, edits: Sequence[Edit], before: Draft, after: Draft, gaps: dict[Pair, Gaps]) -> None:
        self.summary.steps += 1
        self.summary.fields.update(edit.name for edit in edits)
        faults = []
        moves_port = before.mesh["port"] != after.mesh["port"]
        for pair, lost in gaps.items():
            is_moved = bool(set(pair) & after.touched)
            kind = self.summary.moved if is_moved else self.summary.port if moves_port else self.summary.still
            kind.append(lost)
            # A host that moved is not found before the switch; that it is then has been proven.
            if not is_moved and (lost.stall > _STALL or lost.lost > (_LOST_PORT if moves_port else _LOST)):
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
            _edited(before, candidate)
            walk.restart(before)
            walk.step(candidate)
        except WalkError:
            found = in_words(before, candidate)
        except ConfigurationError:
            pass
    return found
