"""What hosts set in each step of a switch, and of a way back from any of them, whatever edits of a file led to it.

The orders run as they are in the host program, against an interface that does what `wg set` says. The edits are those
of a walk in the lab.
"""

import shlex
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Collection
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.config.reader import read_configuration
from mesh.plan.host_payload import payload
from mesh.plan.pairs import Pairs
from mesh.plan.roster import Roster
from mesh.plan.roster_builder import build_roster
from mesh.plan.topology import plan_meshes
from mesh.rollout.switch_plan import Running, plan_switch
from tests.lab.edits import INTERFACE, Draft, edited, random_walk
from tests.strategies import first_draft

SHELLS = [shell for shell in (("dash",), ("busybox", "sh")) if shutil.which(shell[0])]
pytestmark = [pytest.mark.skipif(not SHELLS, reason="needs dash or busybox"), pytest.mark.thorough]

_PARTS = Path(__file__).parents[2] / "mesh" / "host"
_PROGRAM = "".join((_PARTS / f"wireguard/{part}.sh").read_text() for part in ("interface", "endpoints"))
_HEADER = """
set -eu
export LC_ALL=C
interface=testwg
fail() { printf 'fail %s\\n' "$*"; exit 1; }
planned() { echo next; }
is_up() { :; }
wg() { if [ "$3" = dump ]; then cat "$home/dump"; else awk 'NR > 1 { print $1 }' "$home/dump"; fi; }
wg_set() { printf '%s\\n' "$*"; }
"""
_PRESHARED = (_PARTS / "core/switch.sh").read_text().partition("order_preshared() {")[2].partition("\n}\n")[0]
_SHARED = "S" * 43 + "="


def _key(draft: Draft, name: str) -> str:
    """Return a public key: another one by each rotation."""
    entry = draft.mesh.get("members", {}).get(name, {}) | draft.mesh.get("peers", {}).get(name, {})
    text = f"{name} {draft.mesh['rotation'] if name in draft.hosts else 0} {entry.get('rotation', 1)}"
    return b64encode(sha256(text.encode()).digest()).decode()


def _roster(draft: Draft) -> Roster:
    plan = plan_meshes(read_configuration(draft.hosts, {INTERFACE: draft.mesh}))[INTERFACE]
    keys = {participant.name: _key(draft, participant.name) for participant in plan.participants}
    return build_roster(plan, keys, {name: {"ssh": {}, "system": ""} for name in keys})


@dataclass(frozen=True)
class _Entry:
    """What WireGuard knows of one peer."""

    endpoint: str = "(none)"
    allowed: frozenset[str] = frozenset()
    keepalive: str = "off"
    preshared: str = ""


class _Interface:
    """The interface of one host, which begins as its first configuration says, and what is staged for it."""

    def __init__(self, folder: Path, host: str, old: Roster, new: Roster) -> None:
        self.folder, self.host, self.pairs = folder / host, host, (Pairs(old), Pairs(new))
        self.peers: dict[str, _Entry] = {}
        for place, roster in (("run", old), ("next", new)):
            self._lay(self.folder / place, roster)
        for number, line in enumerate((self.folder / "run/peers").read_text().splitlines(), 1):
            name, key, _, endpoint, keepalive, allowed, _ = line.split()
            # Who has no endpoint has been heard from somewhere, if at all.
            learned = f"198.51.100.{number}:4000" if self.pairs[0].can_meet(host, name) else "(none)"
            place = endpoint if endpoint != "-" else learned
            self.peers[key] = _Entry(place, frozenset(allowed.split(",")), keepalive, self.secret("run", name))

    def _lay(self, place: Path, roster: Roster) -> None:
        (place / "pair-keys").mkdir(parents=True)
        peers = []
        for line in payload(roster, self.host, _SHARED, mesh="m", roster_id="r", digest="p").splitlines():
            word, _, rest = line.partition(" ")
            if word == "peer":
                peers.append(f"{rest}\n")
            elif word == "pair-key":
                name, key = rest.split()
                (place / "pair-keys" / name).write_text(f"{key}\n")
            elif word == "preshared-key":
                (place / "preshared-key").write_text(f"{rest}\n")
        (place / "peers").write_text("".join(peers))

    def secret(self, place: str, name: str) -> str:
        """Return the preshared key for one peer, as it is staged or was."""
        shared = self.folder / place / "preshared-key"
        return (shared if shared.exists() else self.folder / place / "pair-keys" / name).read_text().strip()

    def turn_back(self) -> None:
        """Lead to what ran before from now on."""
        for name, other in (("run", "aside"), ("next", "run"), ("aside", "next")):
            (self.folder / name).rename(self.folder / other)
        self.pairs = self.pairs[::-1]

    def dump(self) -> None:
        """Lay what `wg show IF dump` prints where the program finds it."""
        lines = ["private\tpublic\t51825\toff"]
        for key, entry in self.peers.items():
            allowed = ",".join(sorted(entry.allowed)) or "(none)"
            lines.append(f"{key}\t{entry.preshared}\t{entry.endpoint}\t{allowed}\t0\t0\t0\t{entry.keepalive}")
        (self.folder / "dump").write_text("\n".join(lines) + "\n")

    def set(self, arguments: str) -> None:
        """Do what `wg set` does with these arguments."""
        words, key = shlex.split(arguments), ""
        while words:
            word = words.pop(0)
            if word == "peer":
                key = words.pop(0)
                self.peers.setdefault(key, _Entry())
            elif word == "remove":
                del self.peers[key]
            elif word == "endpoint":
                self.peers[key] = replace(self.peers[key], endpoint=words.pop(0))
            elif word == "persistent-keepalive":
                self.peers[key] = replace(self.peers[key], keepalive=words.pop(0))
            elif word == "preshared-key":
                self.peers[key] = replace(self.peers[key], preshared=Path(words.pop(0)).read_text().strip())
            else:
                assert word == "allowed-ips"
                allowed = frozenset(words.pop(0).split(","))
                self.peers = {
                    other: replace(entry, allowed=entry.allowed - allowed) for other, entry in self.peers.items()
                }
                self.peers[key] = replace(self.peers[key], allowed=allowed)

    def by_name(self) -> dict[str, tuple[str, _Entry]]:
        """Return by which key each peer runs, and what is known of it."""
        names = {each.participants[name]["publicKey"]: name for each in self.pairs for name in each.participants}
        found = {names[key]: (key, entry) for key, entry in self.peers.items()}
        assert len(found) == len(self.peers)
        return found


class _Switch:
    """All hosts of a mesh that has been before and is afterwards, as they go from the one to the other."""

    def __init__(self, folder: Path, shell: tuple[str, ...], old: Roster, new: Roster) -> None:
        self.shell, self.rosters = shell, (old, new)
        live = sorted(old["members"].keys() & new["members"].keys())
        self.hosts = {name: _Interface(folder, name, old, new) for name in live}
        self.keys = {name: old["members"][name]["publicKey"] for name in live}

    def _run(self, hosts: Collection[str], order: str) -> None:
        """Let hosts work out an order, one after another in one shell, and set it."""
        script = [_PROGRAM, _HEADER, f"order_preshared() {{{_PRESHARED}\n}}"]
        for name in hosts:
            self.hosts[name].dump()
            script.append(f"home={self.hosts[name].folder}; ({order}) >$home/out")
        ended = subprocess.run(
            [*self.shell, "-c", "\n".join(script)], capture_output=True, text=True, check=False, timeout=60
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        for name in hosts:
            self.hosts[name].set((self.hosts[name].folder / "out").read_text().strip())

    def steps(self) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
        """Return the orders that change peers, as they are planned."""
        running = {name: Running(key, int(self.rosters[0]["port"])) for name, key in self.keys.items()}
        steps = plan_switch(self.rosters[1], running)
        return [(s.order, s.hosts, s.words) for s in steps if s.order in {"preshared", "own", "peer", "finish"}]

    def carry_out(self, order: str, hosts: tuple[str, ...], words: tuple[str, ...]) -> None:
        """Let hosts carry out one order, and see that it changed what it is to change, and nothing else."""
        before = {name: self.hosts[name].by_name() for name in self.hosts}
        changing = [name for name in hosts if name in self.hosts]
        if order == "own":
            (name,) = hosts
            self.keys[name] = self.rosters[1]["members"][name]["publicKey"]
        elif order == "peer":
            self._run(changing, f"exchange {words[0]} | head -n 1")
            for name in changing:
                self._check_exchange(words[0], before[name], self.hosts[name].by_name())
        elif order == "preshared":
            self._run(changing, "order_preshared")
            for name in changing:
                self._check_preshared(before[name], self.hosts[name].by_name())
        else:
            self._run(changing, "delta")
            for name in changing:
                self._check_end(self.hosts[name], before[name])

    def _check_exchange(
        self, peer: str, before: dict[str, tuple[str, _Entry]], after: dict[str, tuple[str, _Entry]]
    ) -> None:
        assert after.keys() == before.keys()
        assert {name: known for name, known in after.items() if name != peer} == {
            name: known for name, known in before.items() if name != peer
        }
        if peer in before:
            key, entry = after[peer]
            assert replace(entry, preshared="") == replace(before[peer][1], preshared="")
            assert key in (before[peer][0], self.keys[peer])

    @staticmethod
    def _check_preshared(before: dict[str, tuple[str, _Entry]], after: dict[str, tuple[str, _Entry]]) -> None:
        assert {name: (key, replace(entry, preshared="")) for name, (key, entry) in after.items()} == {
            name: (key, replace(entry, preshared="")) for name, (key, entry) in before.items()
        }

    def _check_end(self, interface: _Interface, before: dict[str, tuple[str, _Entry]]) -> None:
        was, planned = interface.pairs
        host, found = interface.host, interface.by_name()
        links = planned.links_of(host)
        assert sorted(found) == links
        for name in links:
            key, entry = found[name]
            assert key == planned.participants[name]["publicKey"]
            assert entry.allowed == frozenset(planned.allowed_ips(host, name))
            assert entry.keepalive == planned.keepalive(host, name)
            assert entry.preshared == interface.secret("next", name)
            wanted = planned.endpoint(host, name)
            is_new = name not in before
            if wanted and (is_new or name not in was.participants or wanted != was.endpoint(host, name)):
                assert entry.endpoint == wanted
            else:
                assert entry.endpoint == ("(none)" if is_new else before[name][1].endpoint)

    def turn_back(self) -> None:
        """Lead to what was before from now on."""
        self.rosters = self.rosters[::-1]
        for interface in self.hosts.values():
            interface.turn_back()

    def running(self) -> dict[str, dict[str, _Entry]]:
        """Return what all interfaces run, but for where peers were heard from."""
        return {
            name: {key: replace(entry, endpoint="") for key, entry in interface.peers.items()}
            for name, interface in self.hosts.items()
        }


def _changes(random: Random) -> tuple[Roster, Roster]:
    """Return the rosters before and after the last step of a random walk, which often also changes all keys."""
    draft = first_draft()
    if random.random() < 0.5:
        # A walk seldom gets to two hosts that cannot meet and have a relay.
        draft.mesh["relay"] = "auto"
        del draft.hosts[random.choice(sorted(draft.moved))]["externalIps"]
    before = draft
    for edits in random_walk(draft, random.randrange(2**32), random.randint(1, 8)):
        before, draft = draft, edited(draft, edits)
    if random.random() < 0.5:
        draft.mesh["rotation"] += 1
    return _roster(before), _roster(draft)


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
@given(st.integers(0, 2**32))
def test_each_step_changes_its_own_and_every_way_back_leads_to_what_ran(shell: tuple[str, ...], seed: int) -> None:
    """A new key takes over all that the old one had, and takes nothing from others; the end is the plan."""
    random = Random(seed)  # noqa: S311
    with TemporaryDirectory() as folder:
        switch = _Switch(Path(folder), shell, *_changes(random))
        before = switch.running()
        steps = switch.steps()
        for step in steps[: random.randint(0, len(steps))]:
            switch.carry_out(*step)
        switch.turn_back()
        # Who goes back takes all steps, also those that were never taken forward.
        for step in switch.steps():
            switch.carry_out(*step)
        assert switch.running() == before
