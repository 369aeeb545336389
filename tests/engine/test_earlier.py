"""A state that an earlier version of the program made goes on without a change."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import earlier
from tests.engine.conftest import Maker
from tests.engine.stack import Stack

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("version", earlier.VERSIONS)
def test_a_state_of_an_earlier_version_needs_no_change(make_stack: Maker, version: str) -> None:
    """Keys, plan and hosts stay as they are; a later change and the end of the mesh are today's."""
    stack = make_stack(3)
    earlier.unpack(version, stack.folder)
    mesh = {"hosts": ["h1", "h2", "h3"], "names": True, "members": {"h2": {"rotation": 2}}}
    stack.write({"testwg": mesh, "backwg": {"hosts": ["h1", "h3"], "port": 51825, "presharedKeys": "pairwise"}})
    stack.up()
    keys = stack.public_keys() | stack.public_keys("backwg")
    shutil.rmtree(stack.folder / "mesh")
    (stack.folder / "mesh").symlink_to(ROOT / "mesh")
    for name in ("__main__.py", "Pulumi.yaml"):
        shutil.copy(ROOT / name, stack.folder / name)
    stack.must("preview", "--expect-no-changes")
    stack.must("preview", "--refresh", "--expect-no-changes")
    stack.up("--expect-no-changes")
    assert stack.public_keys() | stack.public_keys("backwg") == keys
    stack.write({"testwg": {**mesh, "rotation": 2}})
    stack.up()
    assert set(stack.public_keys().values()).isdisjoint(keys.values())
    stack.must("destroy", "--yes")
    assert all(host.interfaces == {} for host in stack.hosts.by_name.values())


def edit(stack: Stack, change: Callable[[str, dict[str, Any]], object]) -> None:
    """Let `change` edit the outputs of each resource in the state, told its name."""
    state = stack.export()
    for resource in state["deployment"]["resources"]:
        change(resource["urn"].split("::")[-1], resource.get("outputs", {}))
    file = stack.folder / "state.json"
    file.write_text(json.dumps(state))
    stack.must("stack", "import", "--file", str(file))


def orders(stack: Stack) -> list[str]:
    """Return all that hosts were told but to say what they run."""
    return [order for host in stack.hosts.by_name.values() for order in host.orders if order not in {"audit", "survey"}]


@pytest.fixture(scope="module")
def running(make_stack: Maker) -> Stack:
    """Return a stack of two hosts with a mesh."""
    stack = make_stack(2)
    stack.write({"testwg": {"hosts": ["h1", "h2"]}})
    stack.up()
    return stack


def test_what_the_first_form_of_a_state_did_not_have_needs_no_change(running: Stack) -> None:
    """It knew no keys of pairs, no hosts that wait and none that are forgotten."""

    def change(name: str, outputs: dict[str, Any]) -> None:
        gone = ("pairwise", "pending", "absent", "maxKeyAge")
        for place in (outputs, outputs.get("roster", {})):
            for field in (*gone, "forgotten") if name.startswith("testwg/") else ():
                place.pop(field, None)

    edit(running, change)
    running.must("preview", "--expect-no-changes")
    running.must("preview", "--refresh", "--expect-no-changes")
    assert running.companion("status").code == 0
    assert running.companion("plan", "--exit-code").output == "testwg: no change\n"
    running.write({"testwg": {"hosts": ["h1", "h2"], "rotation": 2}})
    running.up()
    running.write({"testwg": {"hosts": ["h1", "h2"]}})
    running.up()


@pytest.mark.parametrize(
    ("name", "field", "verbs"),
    [
        ("testwg/h1/key", "createdAt", [("preview",)]),
        ("testwg/preshared-key", "knownTo", [("preview",)]),
        ("testwg/survey", "installations", [("refresh", "--yes")]),
        ("testwg/roster", "leavers", [("preview",), ("destroy", "--yes")]),
        ("testwg/rollout", "digest", [("preview",), ("refresh", "--yes")]),
    ],
)
def test_a_state_that_lacks_what_every_form_had_is_refused_in_one_line(
    running: Stack, name: str, field: str, verbs: list[tuple[str, ...]]
) -> None:
    """By every verb that reads it, and no host is changed."""
    before, told = running.export(), orders(running)
    said = f"{name}: the state has {field} in no form that mesh"
    edit(running, lambda found, outputs: found == name and outputs.pop(field))
    outcomes = [running.run(*verb) for verb in verbs]
    if name.endswith(("rollout", "h1/key")):
        outcomes += [running.companion(*words) for words in (("status",), ("up", "--only", "h1"), ("forget", "h1"))]
    file = running.folder / "state.json"
    file.write_text(json.dumps(before))
    running.must("stack", "import", "--file", str(file))
    for outcome in outcomes:
        assert outcome.code != 0
        assert said in " ".join(outcome.text.split()), outcome.text
        assert "Traceback" not in outcome.text
        assert "KeyError" not in outcome.text
    assert orders(running) == told
    running.must("preview", "--expect-no-changes")
