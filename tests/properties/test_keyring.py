"""What holds of keys over any history of a stack file: joins, leaves, new names, rotations, modes, ages, adoption."""

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mesh.keyring import history
from mesh.keyring.explain import explain_key_pair, explain_preshared_key
from mesh.keyring.foreseen import foresee_key_pair, foresee_preshared_key
from mesh.wireguard.keys import generate_key_pair, generate_preshared_key

State = Any

_ADOPTED = [generate_preshared_key() for _ in range(2)]
_PRIVATE = [generate_key_pair().private_key for _ in range(2)]
_NAMES = ["ada", "bob", "cy", "dee"]


def _says_new(lines: list[str]) -> bool:
    return any(word in line for line in lines for word in ("is regenerated", "comes back", "is adopted"))


def _aged(state: State, days: int) -> State:
    """Return the state so many days later."""

    def earlier(moment: str) -> str:
        return (datetime.fromisoformat(moment) - timedelta(days=days)).isoformat()

    kept = [{**entry, "createdAt": earlier(entry["createdAt"])} for entry in json.loads(state["kept"])]
    return {**state, "createdAt": earlier(state["createdAt"]), "kept": json.dumps(kept)}


@st.composite
def meshes(draw: st.DrawFn) -> list[tuple[dict[str, Any], int]]:
    """Return what the stack file says of a preshared key in one run after another, and the days that pass before."""
    owners = draw(st.lists(st.sampled_from(_NAMES), min_size=1, unique=True))
    runs = []
    for number in range(draw(st.integers(2, 8))):
        renamed: dict[str, str] = {}
        if number and draw(st.integers(0, 3)) == 0:
            # A name that nobody has ever had.
            former = draw(st.sampled_from(owners))
            renamed = {former: f"new{number}"}
            owners = [renamed.get(name, name) for name in owners]
        if draw(st.booleans()):
            joins = draw(st.lists(st.sampled_from(_NAMES), unique=True))
            stays = draw(st.lists(st.sampled_from(owners), unique=True))
            owners = list(dict.fromkeys([*stays, *(name for name in joins if name not in renamed)])) or owners
        runs.append(
            (
                {
                    "interface": "testwg", "owners": list(owners), "renamed": renamed,
                    "rotation": str(draw(st.integers(1, 3))), "maxKeyAge": draw(st.sampled_from([0, 0, 30])),
                    "pairwise": draw(st.booleans()), "postQuantum": draw(st.booleans()),
                    "adopted": draw(st.sampled_from(["", "", *_ADOPTED])),
                },
                draw(st.sampled_from([0, 0, 20, 40])),
            )
        )  # fmt: skip
    return runs


@given(meshes())
def test_whoever_knew_the_preshared_key_in_use_is_an_owner_and_it_never_changes_its_purpose(
    runs: list[tuple[dict[str, Any], int]],
) -> None:
    """And what is said before a run is what it does."""
    (first, _), *others = runs
    state: State = history.new_preshared_key(first)
    known: defaultdict[str, set[str]] = defaultdict(set)
    shared, classical = set[str](), set[str]()
    inputs = first
    for number in range(len(runs)):
        if number:
            inputs, days = others[number - 1]
            state = _aged(state, days)
            old = state["presharedKey"]
            known = defaultdict(set, {k: {inputs["renamed"].get(n, n) for n in names} for k, names in known.items()})
            foreseen = foresee_preshared_key(state, inputs, inputs["owners"])
            lines = explain_preshared_key(state, inputs)
            changes = history.preshared_key_changes(state, inputs)
            new = history.changed_preshared_key(state, inputs) if changes else state
            is_new, came_back = new["presharedKey"] != old, new["presharedKey"] in state["kept"]
            if not inputs["adopted"]:
                assert foreseen.changes == is_new
            assert is_new == _says_new(lines), lines
            if is_new and new["presharedKey"] not in _ADOPTED:
                assert came_back == any("comes back" in line for line in lines), lines
            state = new
        key = state["presharedKey"]
        if key not in _ADOPTED or number == 0:
            assert known[key] <= set(inputs["owners"])
        known[key] |= set(inputs["owners"])
        for is_so, keys in ((inputs["pairwise"], shared), (inputs["postQuantum"], classical)):
            keys.update([] if is_so else [key])
        assert not inputs["pairwise"] or key not in shared
        assert not inputs["postQuantum"] or key not in classical
        assert sorted(state["owners"]) == sorted(inputs["owners"])


@st.composite
def hosts(draw: st.DrawFn) -> list[tuple[dict[str, Any], int]]:
    """Return what the stack file says of a host's key in one run after another, and the days that pass before."""
    return [
        (
            {
                "interface": "testwg", "host": draw(st.sampled_from(["ada", "bob"])),
                "rotation": draw(st.sampled_from(["1.1", "1.2", "2.1"])), "maxKeyAge": draw(st.sampled_from([0, 30])),
                "adopted": draw(st.sampled_from(["", "", *_PRIVATE])),
            },
            draw(st.sampled_from([0, 0, 20, 40])),
        )
        for _ in range(draw(st.integers(2, 8)))
    ]  # fmt: skip


@given(hosts())
def test_no_key_of_a_host_is_lost_and_a_rotation_taken_back_brings_the_last_one(
    runs: list[tuple[dict[str, Any], int]],
) -> None:
    """Unless that has expired; and what is said before a run is what it does."""
    state: State = history.new_key_pair(runs[0][0])
    last = {state["rotation"]: state["privateKey"]}
    seen = {state["privateKey"]}
    for inputs, days in runs[1:]:
        state = _aged(state, days)
        made = {entry["privateKey"]: entry["createdAt"] for entry in [state, *json.loads(state["kept"])]}
        lines = explain_key_pair(state, inputs)
        foreseen = foresee_key_pair(state, inputs)
        changes = history.key_pair_changes(state, inputs)
        new = history.changed_key_pair(state, inputs) if changes else state
        is_new = new["privateKey"] != state["privateKey"]
        # One that is adopted by two rotations is the same before and after.
        was_adopted = {state["privateKey"], new["privateKey"]} & {*_PRIVATE}
        if not inputs["adopted"] and not was_adopted:
            assert foreseen.changes == is_new == changes
            former = last.get(inputs["rotation"])
            if former and inputs["rotation"] != state["rotation"] and not inputs["maxKeyAge"]:
                assert new["privateKey"] == former
        assert is_new == _says_new(lines) or was_adopted, lines
        if is_new and inputs["maxKeyAge"]:
            made_on = datetime.fromisoformat(new["createdAt"])
            assert datetime.now(UTC) - made_on < timedelta(days=inputs["maxKeyAge"])
        state = new
        seen.add(state["privateKey"])
        last[state["rotation"]] = state["privateKey"]
        assert {entry["privateKey"] for entry in [state, *json.loads(state["kept"])]} == seen
        # The age of one that is adopted counts from then.
        if state["privateKey"] not in _PRIVATE:
            assert made.get(state["privateKey"], state["createdAt"]) == state["createdAt"]
