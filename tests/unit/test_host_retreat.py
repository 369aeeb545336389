"""Rolling back without an operator: whose key is rolled back when, as every host works it out for itself."""

from tests.host_program import PARTS, HostProgram

PROGRAM = "".join((PARTS / f"{part}.sh").read_text() for part in ("wireguard/interface", "core/rollback"))


def lay_turns(host: HostProgram, own: str, *names: str) -> None:
    """Let the host `own` roll back where the keys of `names` have changed, as the operator has told it."""
    (host.home / "next").mkdir(parents=True)
    (host.home / "next/settings").write_text(f"host {own}\n")
    (host.home / "turns").write_text("".join(f"{name}\n" for name in names))


def turns(host: HostProgram, moment: str = "1000.50") -> list[tuple[float, str]]:
    """Return when the host does its part for whom, `-` for all that is no key."""
    lines = host.run(f"{PROGRAM}\nturns {moment}").stdout.splitlines()
    return [(float(when), name) for when, name in (line.split() for line in lines)]


def test_a_host_takes_its_own_key_before_its_peers_take_part_and_keys_go_back_in_the_order_of_names(
    host: HostProgram,
) -> None:
    """The order of the switch, and as there, ports and all the rest come when the last peer has taken part."""
    # As a run that went on where another was cut off tells them.
    lay_turns(host, "carol", "dora", "carol", "bernard", "dora")
    assert turns(host) == [(1001.76, "bernard"), (1002.9, "carol"), (1004.16, "dora"), (1005.3, "-")]


def test_where_no_key_changed_there_are_no_turns(host: HostProgram) -> None:
    """All hosts roll back at one moment."""
    lay_turns(host, "carol")
    assert turns(host) == []
    (host.home / "turns").unlink()
    assert turns(host) == []


def test_all_turns_of_a_large_mesh_end_before_the_next_run_gives_up_waiting(host: HostProgram) -> None:
    """It waits for the lock for 40 seconds."""
    names = [f"h{number}" for number in range(500)]
    lay_turns(host, "h7", *names)
    moments = [when for when, _ in turns(host)]
    assert len(moments) == 501
    assert max(moments) < 1000.5 + 31


def test_a_moment_that_has_passed_is_not_waited_for(host: HostProgram) -> None:
    """A host that is late does its part at once."""
    host.run(f"{PROGRAM}\nsleep_until 0.50", fails=True)
    host.run(f"{PROGRAM}\nread -r now _ </proc/uptime\nsleep_until $((${{now%.*}} + 60)).00 1")
