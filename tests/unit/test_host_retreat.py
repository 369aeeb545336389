"""Going back without an operator: whose key goes back when, as every host works it out for itself."""

from tests.host_program import PARTS, HostProgram

PROGRAM = "".join((PARTS / f"{part}.sh").read_text() for part in ("wireguard/interface", "core/rollback"))


def lay_plans(host: HostProgram, own: str, old: dict[str, str], new: dict[str, str]) -> None:
    """Let the host `own` go from the keys `new` to the keys `old`, as in previous/, where next is what was."""
    for place, keys in (("next", old), ("run", new)):
        folder = host.home / place
        folder.mkdir(parents=True)
        (folder / "settings").write_text(f"host {own}\npublic-key {keys[own]}\n")
        peers = [f"{name} {key} fd00::1 - off fd00::/64 first\n" for name, key in keys.items() if name != own]
        (folder / "peers").write_text("".join(peers))


def turns(host: HostProgram, moment: str = "1000.50") -> list[tuple[float, str]]:
    """Return when the host does its part for whom."""
    lines = host.run(f"{PROGRAM}\nturns {moment}").stdout.splitlines()
    return [(float(when), name) for when, name in (line.split() for line in lines)]


def test_a_host_takes_its_own_key_before_its_peers_take_part_and_keys_go_back_in_the_order_of_names(
    host: HostProgram,
) -> None:
    """The order of the switch."""
    lay_plans(host, "carol", {"dora": "a", "carol": "b", "bernard": "c"}, {"dora": "x", "carol": "y", "bernard": "z"})
    assert turns(host) == [(1001.76, "bernard"), (1002.9, "carol"), (1004.16, "dora")]


def test_a_key_that_did_not_change_has_no_turn(host: HostProgram) -> None:
    """Neither has a host that only the change brings or takes away."""
    lay_plans(host, "carol", {"carol": "b", "dora": "a", "frank": "f"}, {"carol": "b", "dora": "x", "gina": "g"})
    assert [name for _, name in turns(host)] == ["dora"]


def test_all_turns_of_a_large_mesh_end_before_the_next_run_gives_up_waiting(host: HostProgram) -> None:
    """It waits for the lock for 40 seconds."""
    names = [f"h{number}" for number in range(500)]
    lay_plans(host, "h7", {name: f"{name}a" for name in names}, {name: f"{name}b" for name in names})
    moments = [when for when, _ in turns(host)]
    assert len(moments) == 500
    assert max(moments) < 1000.5 + 31


def test_a_moment_that_has_passed_is_not_waited_for(host: HostProgram) -> None:
    """A host that is late does its part at once."""
    host.run(f"{PROGRAM}\nsleep_until 0.50", fails=True)
    host.run(f"{PROGRAM}\nread -r now _ </proc/uptime\nsleep_until $((${{now%.*}} + 1)).00")
