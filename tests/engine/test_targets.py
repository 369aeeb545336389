"""What a part of a change does: `--target`, `--exclude`, replacing and tainting, on two meshes that share hosts.

Whatever is left out, no member loses a peer, no host is told of a key that it does not have, and the next full `up`
does just the rest. A part that cannot be done alone stops before any host changes.
"""

import pytest

from tests.engine.conftest import Maker
from tests.engine.stack import Outcome, Stack

HOST = ("--target", "**/h1/**", "--target-dependents")
ROSTER = ("--target", "**::testwg/roster", "--target", "**::testwg/rollout")

# By interface and host: its public key, the keys of its peers, and the preshared key.
Kernels = dict[tuple[str, str], tuple[str, dict[str, str], str]]


class Part:
    """Two running meshes, testwg of h1 to h4 and other of h1 to h3, and a change of them that is pending."""

    def __init__(self, stack: Stack) -> None:
        """Use a stack of five hosts."""
        self.stack = stack
        self.hosts: list[str] = []
        self.rotations = dict.fromkeys(("h1", "h2", "h3", "h4", "h5"), 1)
        self.before: Kernels = {}

    def settle(self) -> None:
        """Bring both meshes to where each test begins."""
        if self.hosts != ["h1", "h2", "h3", "h4"]:
            self.plan(rotating=())
            self.stack.up()
        self.before = self.kernels()

    def plan(self, *testwg: str, rotating: tuple[str, ...] = ("h1",), moved: str = "") -> None:
        """Write a change: hosts that rotate their keys in both meshes, who is in testwg, one endpoint that moves."""
        self.hosts = list(testwg or ("h1", "h2", "h3", "h4"))
        for host in rotating:
            self.rotations[host] += 1
        members = {host: {"rotation": self.rotations[host]} for host in self.hosts}
        shared = {host: members[host] for host in ("h1", "h2", "h3")}
        self.stack.write(
            {
                "testwg": {"hosts": self.hosts, "deadline": 10, "members": members},
                "other": {"hosts": list(shared), "port": 51900, "deadline": 10, "members": shared},
            },
            endpoints={moved: "198.18.9.9"} if moved else {},
        )

    def up(self, *words: str) -> Outcome:
        """Run a part of it, and see that each member of each mesh has every other one as it really runs."""
        outcome = self.stack.run("up", "--yes", "--skip-preview", *words)
        for interface in ("testwg", "other"):
            running = {host: state for (name, host), state in self.kernels().items() if name == interface}
            for host, (_, peers, _) in running.items():
                assert peers == {other: key for other, (key, _, _) in running.items() if other != host}
            assert len({preshared for _, _, preshared in running.values()}) == 1
        return outcome

    def kernels(self) -> Kernels:
        """Return what every host runs."""
        return {
            (name, host.name): (
                state.kernel["public-key"],
                {peer: fields[0] for peer, fields in state.kernel["peers"].items()},
                *state.kernel["preshared-keys"],
            )
            for host in self.stack.hosts.by_name.values()
            for name, state in host.interfaces.items()
            if state.kernel
        }

    def changed_keys(self, interface: str = "testwg") -> set[str]:
        """Return the hosts that run another key than before."""
        return {
            host for (name, host), (key, _, _) in self.kernels().items()
            if name == interface and key != self.before.get((name, host), ("", {}, ""))[0]
        }  # fmt: skip

    def finish(self) -> None:
        """Do the rest with a plain `up`, which leaves every host with the keys of the state."""
        assert self.up().code == 0
        for interface in ("testwg", "other"):
            running = {host: key for (name, host), (key, _, _) in self.kernels().items() if name == interface}
            assert running == self.stack.public_keys(interface)


@pytest.fixture(scope="module")
def shared(make_stack: Maker) -> Part:
    """Return the two meshes."""
    return Part(make_stack(5))


@pytest.fixture
def part(shared: Part) -> Part:
    """Return the two meshes with nothing pending."""
    shared.settle()
    return shared


def test_a_host_with_its_dependents_is_its_change_in_every_mesh_and_what_others_must_know(part: Part) -> None:
    """Another host's rotation waits; another one's endpoint goes along, since it is part of the roster."""
    part.plan(rotating=("h1", "h3"), moved="h2")
    outcome = part.up(*HOST)
    assert outcome.code == 0
    assert "h2 endpoint: 198.18.0.2:51824 becomes" in outcome.text
    assert part.changed_keys("testwg") == part.changed_keys("other") == {"h1"}
    part.finish()
    assert part.changed_keys("testwg") == part.changed_keys("other") == {"h1", "h3"}
    part.stack.must("preview", "--expect-no-changes")


def test_a_host_without_its_dependents_has_its_key_made_and_nothing_switches(part: Part) -> None:
    """The key lies ready on its host; nobody else is told, and the stack's outputs tell what runs."""
    part.plan()
    outcome = part.up("--target", "**/h1/**")
    assert outcome.code == 0
    assert part.kernels() == part.before
    assert part.stack.plan()["hosts"]["h1"]["publicKey"] == part.before["testwg", "h1"][0]
    part.finish()
    assert part.changed_keys() == {"h1"}


def test_a_mesh_is_its_own_change(part: Part) -> None:
    """The other one waits, also on hosts that are in both."""
    part.plan(rotating=("h1", "h3"))
    assert part.up("--target", "**::testwg/**").code == 0
    assert part.changed_keys("testwg") == {"h1", "h3"}
    assert part.changed_keys("other") == set()
    part.finish()


def test_a_rollout_alone_rolls_out_what_is_recorded_and_no_new_key(part: Part) -> None:
    """There is nothing new in the roster, so there is nothing to do."""
    part.plan()
    for words in (("--target", "**::testwg/rollout"), ("--target", "**::testwg/rollout", "--target-dependents")):
        assert part.up(*words).code == 0
        assert part.kernels() == part.before
    part.finish()


def test_a_joining_host_can_come_alone(part: Part) -> None:
    """And may not leave with a preshared key that is still in use, though the joining was a part of a change."""
    part.plan("h1", "h2", "h3", "h4", "h5")
    assert part.up("--target", "**/h5/**", "--target-dependents").code == 0
    assert part.changed_keys() == {"h5"}
    known = part.kernels()["testwg", "h5"][2]
    part.plan("h1", "h2", "h3", "h4", rotating=())
    part.finish()
    assert {preshared for (name, _), (_, _, preshared) in part.kernels().items() if name == "testwg"} != {known}


def test_a_leaver_goes_with_any_change_of_its_mesh(part: Part) -> None:
    """It is said; its peers drop it, it is wiped, and the preshared key is regenerated in the same run."""
    part.plan("h1", "h2", "h3")
    preview = part.stack.must("preview", *HOST)
    assert "- h4 leaves" in preview.text
    assert part.up(*HOST).code == 0
    assert part.stack.hosts["h4"].interfaces == {}
    assert part.kernels()["testwg", "h2"][2] != part.before["testwg", "h2"][2]
    part.finish()


def test_targeting_a_leaver_alone_changes_nothing(part: Part) -> None:
    """It has no resource in the program any more, so nothing depends on it; the roster is what drops it."""
    part.plan("h1", "h2", "h3")
    for words in (("--target", "**/h4/**"), ("--target", "**/h4/**", "--target-dependents")):
        assert part.up(*words).code == 0
        assert part.kernels() == part.before
        assert "h4" in part.stack.plan()["hosts"]
    part.finish()


@pytest.mark.parametrize(
    "words",
    [
        HOST,
        ("--exclude", "**/h5/**", "--exclude-dependents"),
        ("--exclude", "**::testwg/h5/enrol"),
        ("--target", "**/h1/**", "--target", "**::testwg/preshared-key", *ROSTER),
    ],
    ids=" ".join,
)
def test_a_joining_host_that_is_left_out_stops_the_run_before_a_host_changes(
    part: Part, words: tuple[str, ...]
) -> None:
    """It is named, in one line; and the state can be read again, which the engine alone does not see to."""
    part.plan("h1", "h2", "h3", "h4", "h5")
    outcome = part.up(*words)
    assert outcome.code != 0
    assert "testwg: " in outcome.text
    assert "h5 " in outcome.text
    assert "Traceback" not in outcome.text
    # The other mesh is a change of its own.
    assert {place: runs for place, runs in part.kernels().items() if place[0] == "testwg"} == {
        place: runs for place, runs in part.before.items() if place[0] == "testwg"
    }
    part.finish()
    assert part.changed_keys() == {"h1", "h5"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--target", "**::testwg/h1/key", *ROSTER), "no private key for its public key"),
        (("--exclude", "**/h1/enrol"), "no private key for its public key"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_key_that_was_not_enrolled_stops_the_run_before_a_host_changes(
    part: Part, words: tuple[str, ...], said: str
) -> None:
    """The host itself compares the roster with the private keys that it has."""
    part.plan()
    outcome = part.up(*words)
    assert outcome.code != 0
    assert "nothing was changed" in outcome.text
    assert "host 'h1'" in outcome.text
    assert said in outcome.text
    assert part.kernels() == part.before
    part.finish()


@pytest.mark.parametrize("testwg", [("h1", "h2", "h3", "h4", "h5"), ("h1", "h2", "h3")], ids=["joins", "leaves"])
def test_a_roster_without_its_preshared_key_stops_the_run_before_a_host_changes(
    part: Part, testwg: tuple[str, ...]
) -> None:
    """Else a key would stay in use that somebody knows who is no member, and nobody would keep account of it."""
    part.plan(*testwg)
    outcome = part.up("--target", "**/h5/**", *ROSTER)
    assert outcome.code != 0
    assert "add --target '**::testwg/preshared-key'" in outcome.text
    assert part.kernels() == part.before
    part.finish()


def test_excluding_a_host_is_all_but_its_new_key(part: Part) -> None:
    """Its key stays as it is, and everybody keeps it as a peer."""
    part.plan(rotating=("h1", "h3"))
    assert part.up("--exclude", "**/h1/**").code == 0
    assert part.changed_keys("testwg") == part.changed_keys("other") == {"h3"}
    part.finish()


def test_excluding_a_host_with_its_dependents_switches_nothing(part: Part) -> None:
    """Every roster depends on it."""
    part.plan(rotating=("h1", "h3"))
    assert part.up("--exclude", "**/h1/**", "--exclude-dependents").code == 0
    assert part.kernels() == part.before
    part.finish()


def test_excluding_a_mesh_is_the_other_one(part: Part) -> None:
    """As a target would be."""
    part.plan(rotating=("h1", "h3"))
    assert part.up("--exclude", "**::testwg/**").code == 0
    assert part.changed_keys("testwg") == set()
    assert part.changed_keys("other") == {"h1", "h3"}
    part.finish()


def test_a_host_that_does_not_answer_stops_a_part_as_well(part: Part) -> None:
    """All members have to hear of a new key, so leaving the silent one out of the targets does not help."""
    part.plan()
    part.stack.hosts.become("h4", "dead")
    for words in (HOST, ("--exclude", "**/h4/**")):
        outcome = part.up(*words)
        assert outcome.code != 0
        assert "nothing was changed" in outcome.text
        assert part.kernels() == part.before
    part.stack.hosts.become("h4", "well")
    part.finish()


@pytest.mark.parametrize("words", [("--replace", "**::testwg/h1/key"), ("--target-replace", "**::testwg/h1/key")])
def test_replacing_a_key_is_a_new_key_that_is_rolled_out_whole_or_waits(part: Part, words: tuple[str, ...]) -> None:
    """`--replace` rolls it out; `--target-replace` is that one resource, and the next `up` brings it to the hosts."""
    assert part.up(*words).code == 0
    assert part.changed_keys() <= {"h1"}
    part.finish()
    assert part.changed_keys() == {"h1"}


@pytest.mark.parametrize("name", ["testwg/h1/key", "testwg/preshared-key"])
def test_a_tainted_resource_is_made_again_and_every_peer_stays(part: Part, name: str) -> None:
    """Nothing is wiped by it."""
    part.stack.must("state", "taint", "--yes", part.stack.resources()[name]["urn"])
    assert part.up().code == 0
    assert part.changed_keys() == ({"h1"} if name.endswith("/key") else set())
    part.finish()


def test_a_new_mesh_is_targeted_by_its_own_name_too(make_stack: Maker) -> None:
    """What is in it needs it; without, the engine says so, and excluding it leaves it for later."""
    stack = make_stack(3)
    old = {"testwg": {"hosts": ["h1", "h2"], "deadline": 10}}
    stack.write(old)
    stack.up()
    both = {**old, "other": {"hosts": ["h1", "h3"], "port": 51900, "deadline": 10}}
    stack.write(both)
    outcome = stack.run("up", "--yes", "--skip-preview", "--target", "**::other/**")
    assert outcome.code != 0
    assert "::other' which was was not specified in --target list" in outcome.text
    stack.up("--exclude", "**::other/**")
    stack.up("--target", "**::testwg/**")
    assert stack.hosts["h3"].interfaces == {}
    assert stack.plan("other") is None
    stack.up("--target", "**::other", "--target", "**::other/**")
    assert stack.hosts["h3"].public_key("other") == stack.public_keys("other")["h3"]
    stack.must("preview", "--expect-no-changes")


def test_several_hosts_with_their_dependents_are_their_changes(part: Part) -> None:
    """A third one's waits."""
    part.plan(rotating=("h1", "h2", "h3"))
    assert part.up(*HOST, "--target", "**/h2/**").code == 0
    assert part.changed_keys() == {"h1", "h2"}
    part.finish()
    assert part.changed_keys() == {"h1", "h2", "h3"}


def test_a_leaver_that_is_excluded_leaves_none_the_less(part: Part) -> None:
    """What drops it is the roster, which every member is told; so a full `up` finds nothing left to do."""
    part.plan("h1", "h2", "h3")
    assert part.up("--exclude", "**/h4/**").code == 0
    part.finish()
    assert ("testwg", "h4") not in part.kernels()


def test_destroying_a_part_is_a_whole_mesh_or_nothing(part: Part) -> None:
    """A mesh rests on the key of each host, so the engine takes none away alone, and names what would go along."""
    outcome = part.stack.run("destroy", "--yes", "--target", "**/h4/**")
    assert outcome.code != 0
    assert "will be destroyed but was not specified in --target list" in outcome.text
    assert "Traceback" not in outcome.text
    assert part.kernels() == part.before
    assert part.stack.run("destroy", "--yes", "--target", "**::testwg/**").code == 0
    assert {name for name, _ in part.kernels()} == {"other"}
    part.finish()
