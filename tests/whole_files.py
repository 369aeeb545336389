"""Whole stack files with whatever one may hold, and what each says of who talks with whom: the reference in code.

It reads the file itself, so that it can be right where the program is wrong.
"""

from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from mesh.config.reader import examine
from tests.strategies import HOST_KEY

__all__ = ["Section", "Spec", "StackFile", "whole_files"]

Section = dict[str, Any]
StackFile = tuple[Section, Section]

_NAMES = ["ada", "bob", "cy", "dee", "eve", "fay"]


@st.composite
def whole_files(draw: st.DrawFn) -> StackFile:
    """Return a stack file of one or two meshes that share hosts, with whatever it may have, and without a fault."""
    names = draw(st.lists(st.sampled_from(_NAMES), min_size=4, unique=True))
    hosts: Section = {}
    for number, name in enumerate(names, 1):
        hosts[name] = {"ssh": {"address": f"10.0.0.{number}", "hostKey": HOST_KEY}}
        way = draw(st.sampled_from(["", "", "", "4", "6", "46", "name", "shared"]))
        ips = {"4": [f"5.0.0.{number}"], "6": [f"2001:db8::{number}"], "shared": ["5.0.0.99"]}
        ips["46"] = ips["4"] + ips["6"]
        if way == "name":
            hosts[name]["externalName"] = f"{name}.example.org"
        elif way:
            hosts[name]["externalIps"] = ips[way]
        if draw(st.booleans()):
            site = draw(st.sampled_from(["cellar", "attic"]))
            local = draw(st.sampled_from([[], [f"192.168.1.{number}"]]))
            hosts[name] |= {"site": site} | ({"localIps": local} if local else {})
        hosts[name]["tags"] = draw(st.lists(st.sampled_from(["db", "web"]), unique=True))
    public = [name for name in names if {"externalIps", "externalName"} & {*hosts[name]}]
    interfaces = {"wg": draw(_meshes(names, public or names, 1))}
    if draw(st.integers(0, 2)) == 0:
        interfaces["wh"] = draw(_meshes(names, public or names, 2))
    return _repaired(hosts, interfaces)


@st.composite
def _meshes(draw: st.DrawFn, names: list[str], public: list[str], number: int) -> Section:
    members = draw(st.permutations(names))[: draw(st.integers(1, len(names)))]
    public = [name for name in public if name in members] or members
    peers = draw(st.lists(st.sampled_from(["phone", "laptop"]), unique=True))
    mesh: Section = {"hosts": members, "port": 51000 + number, "members": {n: {} for n in members}}
    mesh["peers"] = {name: {} for name in peers}
    entries = {**mesh["members"], **mesh["peers"]}
    has_ipv4, everyone = draw(st.booleans()), [*members, *peers]
    if has_ipv4:
        mesh["ipv4"] = f"10.{number}.0.0/24"
    for place, entry in enumerate(entries.values(), 1):
        if has_ipv4:
            entry["ipv4"] = f"10.{number}.0.{place}"
        if draw(st.integers(0, 4)) == 0:
            entry["address"] = draw(st.sampled_from([f"fd{number:02}::{place}/64", f"fd{number:02}:0:{place}::1/48"]))
        if draw(st.integers(0, 3)) == 0:
            routes = [
                f"2001:db8:{number}{place}a::/48",
                f"172.{15 + number}.{place}.0/24",
                f"172.{17 + number}.{place}.16/28",
            ]
            entry["routes"] = draw(st.lists(st.sampled_from(routes[: 3 if has_ipv4 else 1]), min_size=1, unique=True))
        if draw(st.integers(0, 3)) == 0:
            entry["exitNode"] = draw(st.sampled_from(["off", *everyone]))
        if draw(st.integers(0, 5)) == 0:
            entry["persistentKeepalive"] = draw(st.sampled_from(["off", 15]))
    for place, name in enumerate(members, 1):
        entry = mesh["members"][name]
        if draw(st.booleans()):
            entry["externalPort"] = 40000 + 100 * number + place
        if draw(st.integers(0, 3)) == 0:
            entry["masquerade"] = draw(st.booleans())
    for place, name in enumerate(peers, 1):
        entry = mesh["peers"][name]
        if draw(st.integers(0, 2)) == 0:
            entry["endpoint"] = draw(
                st.sampled_from([f"6.0.{number}.{place}:4000", f"p{number}{place}.example.org:4000"])
            )
        entry["tags"] = draw(st.lists(st.sampled_from(["db", "web"]), unique=True))
    words = st.lists(st.sampled_from([*everyone, "tag:db", "tag:web", "all"]), min_size=1, max_size=3, unique=True)
    rule = st.one_of(
        st.builds(lambda group: {"group": group}, words),
        st.builds(lambda hub, spokes: {"hub": hub, "spokes": spokes}, words, words),
    )
    if draw(st.booleans()):
        star = st.builds(lambda hub: {"hub": [hub], "spokes": ["all"]}, st.sampled_from(public))
        mesh["peering"] = [*draw(st.lists(star, max_size=1)), *draw(st.lists(rule, min_size=1, max_size=3))]
    if draw(st.booleans()):
        mesh["relay"] = draw(st.sampled_from(["auto", *public]))
    if draw(st.integers(0, 2)) == 0:
        mesh["exitNode"] = draw(st.sampled_from(public))
    if draw(st.booleans()):
        mesh["presharedKeys"] = "pairwise"
    return mesh


def _repaired(hosts: Section, interfaces: Section) -> StackFile:
    """Take out what is faulty, by its place, until nothing is."""
    for _ in range(6):
        faults = examine(hosts, interfaces).faults
        if not faults:
            break
        for fault in faults:
            words = fault.place.replace("mesh:", "", 1).replace("[", ".").replace("]", "").split(".")
            holder: Any = {"hosts": hosts, "interfaces": interfaces}
            for word in words[:-1]:
                holder = holder.get(word, {}) if isinstance(holder, dict) else {}
            if isinstance(holder, dict):
                holder.pop(words[-1], None)
    assume(not examine(hosts, interfaces).faults)
    return hosts, interfaces


class Spec:
    """What one mesh of a stack file says, as its reference has it."""

    def __init__(self, hosts: Section, mesh: Section) -> None:
        """Read it."""
        self.hosts, self.mesh = hosts, mesh
        self.members: list[str] = mesh["hosts"]
        self.peers: Section = mesh["peers"]
        self.everyone = [*self.members, *self.peers]

    def _meant(self, words: list[str]) -> set[str]:
        tags = {n: self.hosts[n]["tags"] if n in self.members else self.peers[n].get("tags", []) for n in self.everyone}
        return {n for n in self.everyone if "all" in words or n in words or {f"tag:{t}" for t in tags[n]} & {*words}}

    def joined(self, one: str, other: str) -> bool:
        """Tell whether the two are to be peers."""
        if one == other or (one in self.peers and other in self.peers):
            return False
        if not self.mesh.get("peering"):
            return True
        for rule in self.mesh["peering"]:
            hubs, spokes = (self._meant(rule.get(side) or rule["group"]) for side in ("hub", "spokes"))
            if (one in hubs and other in spokes) or (other in hubs and one in spokes):
                return True
        return False

    def is_roaming(self, name: str) -> bool:
        """Tell whether nobody elsewhere can find it."""
        if name in self.peers:
            return not self.peers[name].get("endpoint")
        return not self.hosts[name].get("externalIps") and not self.hosts[name].get("externalName")

    def same_site(self, one: str, other: str) -> bool:
        """Tell whether both are hosts of one site."""
        sites = [self.hosts[name].get("site") if name in self.members else None for name in (one, other)]
        return sites[0] is not None and sites[0] == sites[1]

    def meets(self, one: str, other: str) -> bool:
        """Tell whether two that are to be peers need no relay."""
        near = self.same_site(one, other) and any(self.hosts[name].get("localIps") for name in (one, other))
        return self.joined(one, other) and (near or not self.is_roaming(one) or not self.is_roaming(other))

    @property
    def relay(self) -> str | None:
        """The relay."""
        named: str | None = self.mesh.get("relay")
        if named != "auto":
            return named
        return next(name for name in self.members if not self.is_roaming(name))

    def talks(self, one: str, other: str) -> bool:
        """Tell whether the two are to reach each other."""
        relay = self.relay
        if self.meets(one, other):
            return True
        over = relay not in (None, one, other) and self.meets(one, relay or "") and self.meets(other, relay or "")
        return over and self.joined(one, other)

    def entry(self, name: str) -> Section:
        """Return what it says of a participant."""
        return (self.peers if name in self.peers else self.mesh["members"]).get(name) or {}

    def exit_node(self, name: str) -> str | None:
        """Return whose way to everything else a participant takes."""
        node: str | None = self.entry(name).get("exitNode") or self.mesh.get("exitNode")
        return None if node in ("off", name) else node

    def may_leak(self, one: str, other: str) -> bool:
        """Tell whether two reach each other whatever is said of them, over the exit node of both that relays too."""
        node = self.exit_node(one)
        return node is not None and node == self.exit_node(other) == self.relay
