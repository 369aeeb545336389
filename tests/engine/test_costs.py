"""What a run costs, in counts that do not depend on the machine: bytes of state, connections, round trips."""

import json
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
