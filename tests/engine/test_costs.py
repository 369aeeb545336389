"""What a run costs, in counts that do not depend on the machine: bytes of state, connections, round trips."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.engine.conftest import Maker
from tests.engine.stack import Stack

_STATE = "stacks/mesh/test.json"


def write(stack: Stack, count: int, **rotation: int) -> None:
    """Write one mesh of so many hosts; `rotation` by host."""
    members = {host: {"rotation": rotation[host]} for host in rotation}
    hosts = [f"h{number}" for number in range(1, count + 1)]
    stack.write({"testwg": {"hosts": hosts, "deadline": 600, "members": members}}, hosts)


@pytest.fixture(scope="module")
def stack(make_stack: Maker) -> Stack:
    """Return a stack of six hosts, of which two have a mesh."""
    made = make_stack(6)
    write(made, 2)
    made.up()
    return made


def test_a_host_takes_eight_kilobytes_of_state(stack: Stack) -> None:
    """Every checkpoint writes all of it."""
    file = next(path for path in stack.state.rglob("test.json") if str(path).endswith(_STATE))
    two = file.stat().st_size
    write(stack, 6)
    stack.up()
    assert 4_000 < (file.stat().st_size - two) / 4 < 8_500


def test_the_state_has_no_path_of_the_operators_machine_but_those_of_the_stack_itself(stack: Stack) -> None:
    """The SDK registers that before the program runs."""
    first, *others = stack.export()["deployment"]["resources"]
    assert first["type"] == "pulumi:pulumi:Stack"
    text = json.dumps(others)
    assert "stackTrace" not in text
    assert not [path for path in (stack.folder, Path.home(), Path(__file__).parents[2]) if str(path) in text]


# Put before the program, this tells how often the SDK waited for outputs: for all that are left, each time.
_COUNTING = """
import asyncio, atexit, pathlib
counts = []
wait = asyncio.wait
asyncio.wait = lambda *some, **more: counts.append(1) or wait(*some, **more)
atexit.register(lambda: pathlib.Path("waits").write_text(str(len(counts))))
"""


def test_the_sdk_waits_for_registrations_and_not_for_each_output(stack: Stack) -> None:
    """Otherwise a run takes the square of its outputs: minutes for a thousand hosts."""
    program, waits = stack.folder / "__main__.py", {}
    text = program.read_text()
    for kind, spared in {
        "as it is": text,
        "without what the program spares": text.replace("spare_sdk_costs()", ""),
    }.items():
        program.write_text(_COUNTING + spared)
        stack.up()
        waits[kind] = int((stack.folder / "waits").read_text())
    program.write_text(text)
    assert waits["as it is"] <= 2
    assert waits["without what the program spares"] > 10


@pytest.fixture(scope="module")
def running(make_stack: Maker) -> Stack:
    """Return a stack of three hosts with a mesh, whose first up is over."""
    made = make_stack(3)
    write(made, 3)
    assert connections(made) == {"h1": (0, 0), "h2": (0, 0), "h3": (0, 0)}
    made.must("preview")
    assert set(connections(made).values()) == {(0, 0)}
    made.up()
    return made


def connections(stack: Stack) -> dict[str, tuple[int, int]]:
    """Return by host how many connections it had since the last time, and in how many of them keys were exchanged."""
    found = {}
    for name, host in stack.hosts.by_name.items():
        found[name] = host.connections, host.logins
        host.connections = host.logins = 0
    return found


def in_sequence(busy: Iterable[tuple[float, float]]) -> int:
    """Return how many of these spans come one after another at most."""
    count, free = 0, 0.0
    for began, ended in sorted(busy, key=lambda span: span[1]):
        if began >= free:
            count, free = count + 1, ended
    return count


def test_each_kind_of_run_logs_in_to_a_host_as_often_as_it_must(running: Stack) -> None:
    """To try the login, to enrol, and for the session; a connection that is only greeted exchanges no keys.

    One is greeted before anything is registered, and one in the verification.
    """
    assert set(connections(running).values()) == {(5, 3)}
    running.up()
    assert set(connections(running).values()) == {(1, 0)}
    write(running, 3, h1=2)
    running.up()
    assert connections(running) == {"h1": (5, 3), "h2": (3, 1), "h3": (3, 1)}


def test_one_key_takes_twelve_round_trips_in_sequence(running: Stack) -> None:
    """Over the session, whatever the number of hosts; each costs as much as the line to the slowest host takes."""
    for host in running.hosts.by_name.values():
        host.slowness = 0.05
        host.busy.clear()
    write(running, 3, h1=3)
    running.up()
    spans = [span for host in running.hosts.by_name.values() for span in host.busy]
    assert all(ended - began >= 0.05 for began, ended in spans)
    assert 6 < in_sequence(spans) <= 12


def test_a_host_takes_two_registrations_and_no_other_call_grows_with_the_hosts(
    make_stack: Maker, tmp_path: Path
) -> None:
    """Its key and its enrolment: each is checked, then made or compared; the enrolment asks its hook before."""
    found: dict[tuple[int, str], Counter[str]] = {}
    for count in (2, 4):
        made = make_stack(count)
        write(made, count)
        for run in ("first", "nothing"):
            log = tmp_path / f"{count}-{run}"
            made.environment["PULUMI_DEBUG_GRPC"] = str(log)
            made.up()
            calls = [json.loads(line)["method"].rpartition("/")[2] for line in log.read_text().splitlines()]
            found[count, run] = Counter(calls)

    def a_host(run: str) -> dict[str, int]:
        # Each call is in the log at both of its ends.
        more = found[4, run] - found[2, run]
        return {method: number // 4 for method, number in more.items()}

    assert a_host("first") == {"RegisterResource": 2, "Check": 2, "Create": 2, "Invoke": 1}
    assert a_host("nothing") == {"RegisterResource": 2, "Check": 2, "Diff": 2}
