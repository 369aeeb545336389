"""Random edits of the stack file of a lab, over all fields that an interface and its hosts have.

An edit is its name and a seed, so edits that failed can be made again. Carrying them out belongs to `walk`.
"""

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random
from typing import Any

from mesh.config.reader import read_configuration
from mesh.errors import ConfigurationError
from mesh.plan.pairs import Pairs
from mesh.plan.roster_builder import build_roster
from mesh.plan.topology import plan_meshes

__all__ = ["EDITS", "INTERFACE", "Draft", "Edit", "edited", "random_walk"]

INTERFACE = "testwg"

Pair = tuple[str, str]


@dataclass
class Draft:
    """The stack file while it is edited: its hosts, its one interface, and which hosts are at their second address."""

    hosts: dict[str, Any]
    mesh: dict[str, Any]
    moved: dict[str, bool]
    # Those for whom an edit changed their endpoint, or their address inside.
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
        return {pair for pair in pairs if set(pair) <= hosts and (pairs.can_meet(*pair) or pairs.relay_between(*pair))}


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
    if draft.hosts[host].pop("externalIps", None) is None:
        draft.hosts[host]["externalIps"] = [_address_of(host, draft)]
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
            # Only with such addresses is there a way to networks of that version.
            entry.pop("routes", None)
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


def edited(draft: Draft, edits: Iterable[Edit]) -> Draft:
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
            after = edited(draft, edits)
        except ConfigurationError:
            continue
        if (after.hosts, after.mesh) != (draft.hosts, draft.mesh):
            walk.append(edits)
            draft = after
    return walk
