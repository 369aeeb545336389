"""When `mesh.keyring` makes, keeps, brings back or adopts a key."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mesh.keyring import history
from mesh.wireguard.keys import generate_key_pair, generate_preshared_key, is_key, public_key_of

State = Any


def pair_inputs(rotation: str = "1.1", adopted: str = "", age: int = 0) -> State:
    """Return what the stack file says of one host's key."""
    return {"interface": "testwg", "host": "bernard", "rotation": rotation, "adopted": adopted, "maxKeyAge": age}


def shared_inputs(*owners: str, rotation: str = "1", adopted: str = "", age: int = 0, pairwise: bool = False) -> State:
    """Return what the stack file says of a mesh's preshared key."""
    return {
        "interface": "testwg", "owners": list(owners), "rotation": rotation, "adopted": adopted, "maxKeyAge": age,
        "pairwise": pairwise,
    }  # fmt: skip


def aged(state: State, days: int) -> State:
    """Return the state with a key that was made so many days ago."""
    return {**state, "createdAt": (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")}


def follow(state: State, *steps: State) -> State:
    """Return the state after the engine has applied each of `steps` that changes something."""
    for inputs in steps:
        if history.key_pair_changes(state, inputs):
            state = history.changed_key_pair(state, inputs)
    return state


def follow_shared(state: State, *steps: State) -> State:
    """Return the state of a preshared key after each of `steps`."""
    for inputs in steps:
        if history.preshared_key_changes(state, inputs):
            state = history.changed_preshared_key(state, inputs)
    return state


def test_a_new_key_pair_is_a_pair() -> None:
    """The public key belongs to the private one, and each call makes another."""
    one, other = history.new_key_pair(pair_inputs()), history.new_key_pair(pair_inputs())
    assert public_key_of(one["privateKey"]) == one["publicKey"]
    assert one["privateKey"] != other["privateKey"]
    assert one["createdAt"].endswith("Z")


def test_equal_inputs_change_no_key() -> None:
    """A second `up` has nothing to do."""
    assert not history.key_pair_changes(history.new_key_pair(pair_inputs()), pair_inputs())
    shared = history.new_preshared_key(shared_inputs("a", "b"))
    assert not history.preshared_key_changes(shared, shared_inputs("b", "a"))


def test_a_rotation_makes_a_new_key() -> None:
    """The key before it is kept, since hosts may still run it."""
    first = history.new_key_pair(pair_inputs())
    second = follow(first, pair_inputs("2.1"))
    assert second["privateKey"] != first["privateKey"]
    assert public_key_of(second["privateKey"]) == second["publicKey"]
    assert first["privateKey"] in second["kept"]


def test_reverting_a_rotation_brings_the_earlier_key_back() -> None:
    """With the time at which it was made, and the rotated one is kept in turn."""
    first = history.new_key_pair(pair_inputs())
    second = follow(first, pair_inputs("2.1"))
    back = follow(second, pair_inputs("1.1"))
    assert (back["privateKey"], back["createdAt"]) == (first["privateKey"], first["createdAt"])
    assert follow(back, pair_inputs("2.1"))["privateKey"] == second["privateKey"]


def test_no_key_is_lost_over_many_rotations() -> None:
    """Every rotation that ever was can be had again."""
    state = history.new_key_pair(pair_inputs("1"))
    made = {"1": state["privateKey"]}
    for rotation in ("2", "3", "4"):
        state = follow(state, pair_inputs(rotation))
        made[rotation] = state["privateKey"]
    assert len(set(made.values())) == 4
    for rotation in ("2", "4", "1", "3"):
        state = follow(state, pair_inputs(rotation))
        assert state["privateKey"] == made[rotation]


def test_a_key_is_adopted_at_first() -> None:
    """The host's key from before this program serves on."""
    key = generate_key_pair()
    state = history.new_key_pair(pair_inputs(adopted=key.private_key))
    assert (state["privateKey"], state["publicKey"]) == (key.private_key, key.public_key)


def test_a_key_can_be_adopted_later() -> None:
    """It replaces the one that was made, which is kept."""
    key = generate_key_pair()
    first = history.new_key_pair(pair_inputs())
    state = follow(first, pair_inputs(adopted=key.private_key))
    assert state["privateKey"] == key.private_key
    assert first["privateKey"] in state["kept"]


def test_an_adopted_key_stays_when_it_is_removed_from_the_file() -> None:
    """Once taken it lives in the state, and a secret less lies about."""
    key = generate_key_pair()
    state = history.new_key_pair(pair_inputs(adopted=key.private_key))
    assert not history.key_pair_changes(state, pair_inputs())
    assert not history.key_pair_changes(state, pair_inputs(adopted=key.private_key))


def test_rotating_an_adopted_key_makes_a_new_one() -> None:
    """Also while the file still holds the adopted key; lowering the rotation brings that back."""
    key = generate_key_pair()
    first = history.new_key_pair(pair_inputs(adopted=key.private_key))
    rotated = follow(first, pair_inputs("2.1", adopted=key.private_key))
    assert rotated["privateKey"] != key.private_key
    assert not history.key_pair_changes(rotated, pair_inputs("2.1", adopted=key.private_key))
    assert follow(rotated, pair_inputs("1.1"))["privateKey"] == key.private_key


def test_an_adoption_together_with_a_rotation_is_taken() -> None:
    """The key that the file newly names is what the user wants for the rotation that the file newly names."""
    key = generate_key_pair()
    state = follow(history.new_key_pair(pair_inputs()), pair_inputs("2.1", adopted=key.private_key))
    assert state["privateKey"] == key.private_key


def test_a_preshared_key_stays_when_an_owner_joins() -> None:
    """Nobody who left knows it."""
    first = history.new_preshared_key(shared_inputs("a", "b"))
    second = follow_shared(first, shared_inputs("a", "b", "c"))
    assert second["presharedKey"] == first["presharedKey"]
    assert second["knownTo"] == ["a", "b", "c"]


def test_a_preshared_key_is_replaced_when_an_owner_leaves() -> None:
    """Who left knows the old one."""
    first = history.new_preshared_key(shared_inputs("a", "b", "c"))
    second = follow_shared(first, shared_inputs("a", "b"))
    assert second["presharedKey"] != first["presharedKey"]
    assert is_key(second["presharedKey"])


def test_a_preshared_key_that_a_leaver_knew_never_comes_back() -> None:
    """Whoever joins under its name later may be another machine, and the first one still knows the key."""
    first = history.new_preshared_key(shared_inputs("a", "b", "c"))
    second = follow_shared(first, shared_inputs("a", "b"))
    third = follow_shared(second, shared_inputs("a", "b", "c"))
    assert third["presharedKey"] == second["presharedKey"] != first["presharedKey"]
    rotated = follow_shared(third, shared_inputs("a", "b", "c", rotation="2"), shared_inputs("a", "b", "c"))
    assert rotated["presharedKey"] == second["presharedKey"]


def test_keys_of_pairs_never_follow_from_one_that_all_hosts_had() -> None:
    """Nor does it become the shared one; each purpose gets its earlier key back."""
    everybody = ("a", "b", "c")
    shared = history.new_preshared_key(shared_inputs(*everybody))
    apart = follow_shared(shared, shared_inputs(*everybody, pairwise=True))
    assert apart["presharedKey"] != shared["presharedKey"]
    joined = follow_shared(apart, shared_inputs(*everybody))
    assert joined["presharedKey"] == shared["presharedKey"]
    again = follow_shared(joined, shared_inputs(*everybody, pairwise=True))
    assert again["presharedKey"] == apart["presharedKey"]
    left = follow_shared(again, shared_inputs("a", "b", pairwise=True), shared_inputs(*everybody, pairwise=True))
    assert left["presharedKey"] not in (shared["presharedKey"], apart["presharedKey"])


def test_keys_of_pairs_never_follow_from_one_that_was_adopted() -> None:
    """Hosts had it already."""
    inputs = shared_inputs("a", "b", adopted=generate_preshared_key(), pairwise=True)
    first = history.new_preshared_key(inputs)
    assert first["presharedKey"] != inputs["adopted"]
    assert not history.preshared_key_changes(first, inputs)


@pytest.mark.parametrize("mode", [{"pairwise": True}, {"postQuantum": True}])
def test_an_adopted_key_that_could_not_serve_is_taken_when_it_can(mode: State) -> None:
    """Once, as any other: a rotation since then counts for more than the file."""
    adopted = generate_preshared_key()
    plain = shared_inputs("a", "b", adopted=adopted)
    state = history.new_preshared_key(plain | mode)
    assert state["presharedKey"] != adopted
    taken = follow_shared(state, plain)
    assert taken["presharedKey"] == adopted
    rotated = follow_shared(taken, plain | {"rotation": "2"}, plain | {"rotation": "2"} | mode)
    assert follow_shared(rotated, plain | {"rotation": "2"})["presharedKey"] != adopted


def test_a_preshared_key_stays_when_an_owner_is_renamed() -> None:
    """Its owners are the same machines; later the former name may leave the stack file."""
    first = history.new_preshared_key(shared_inputs("a", "b"))
    inputs = {**shared_inputs("a", "z"), "renamed": {"b": "z"}}
    assert history.preshared_key_changes(first, inputs)
    second = history.changed_preshared_key(first, inputs)
    assert second["presharedKey"] == first["presharedKey"]
    assert second["owners"] == second["knownTo"] == ["a", "z"]
    assert not history.preshared_key_changes(second, shared_inputs("a", "z"))
    assert history.changed_preshared_key(second, shared_inputs("a"))["presharedKey"] != first["presharedKey"]


def test_a_key_that_may_have_gone_by_another_key_exchange_never_serves_where_a_post_quantum_one_is_required() -> None:
    """Nor does an adopted one; and what was made for that serves on when it is not required any more."""
    required = {"postQuantum": True}
    first = history.new_preshared_key(shared_inputs("a", "b"))
    assert history.preshared_key_changes(first, shared_inputs("a", "b") | required)
    second = history.changed_preshared_key(first, shared_inputs("a", "b") | required)
    assert second["presharedKey"] != first["presharedKey"]
    assert not history.preshared_key_changes(second, shared_inputs("a", "b") | required)
    key = generate_preshared_key()
    assert history.new_preshared_key(shared_inputs("a", adopted=key) | required)["presharedKey"] != key
    rotated = follow_shared(second, shared_inputs("a", "b", rotation="2") | required)
    assert follow_shared(rotated, shared_inputs("a", "b") | required)["presharedKey"] == second["presharedKey"]
    relaxed = follow_shared(second, shared_inputs("a", "b"))
    assert relaxed["presharedKey"] == second["presharedKey"]
    again = follow_shared(relaxed, shared_inputs("a", "b") | required)
    assert again["presharedKey"] not in {first["presharedKey"], second["presharedKey"]}


def test_a_leaver_never_knows_the_key_of_those_who_stay() -> None:
    """Over joins, leaves and rotations in any order, whoever knows the key in use is an owner."""
    state = history.new_preshared_key(shared_inputs("a", "b"))
    seen: dict[str, set[str]] = {state["presharedKey"]: {"a", "b"}}
    for step in ("abc 1", "ab 1", "abd 1", "abd 2", "bd 2", "ab 1", "abc 1"):
        owners, rotation = step.split()
        state = follow_shared(state, shared_inputs(*owners, rotation=rotation))
        seen.setdefault(state["presharedKey"], set()).update(owners)
        assert seen[state["presharedKey"]] <= set(owners)


def test_reverting_a_rotation_brings_the_preshared_key_back() -> None:
    """As with key pairs."""
    first = history.new_preshared_key(shared_inputs("a", "b"))
    second = follow_shared(first, shared_inputs("a", "b", rotation="2"))
    assert second["presharedKey"] != first["presharedKey"]
    assert follow_shared(second, shared_inputs("a", "b"))["presharedKey"] == first["presharedKey"]


def test_a_preshared_key_is_adopted_and_stays() -> None:
    """At first or later; removed from the file it is kept."""
    key = generate_preshared_key()
    at_first = history.new_preshared_key(shared_inputs("a", adopted=key))
    later = follow_shared(history.new_preshared_key(shared_inputs("a")), shared_inputs("a", adopted=key))
    for state in (at_first, later):
        assert state["presharedKey"] == key
        assert not history.preshared_key_changes(state, shared_inputs("a"))


@pytest.mark.parametrize("rotation", ["1", "2"])
def test_a_preshared_key_adopted_while_a_host_leaves_is_taken(rotation: str) -> None:
    """What the file newly names counts, whatever else it changes."""
    key = generate_preshared_key()
    first = history.new_preshared_key(shared_inputs("a", "b"))
    assert follow_shared(first, shared_inputs("a", rotation=rotation, adopted=key))["presharedKey"] == key


def test_a_key_pair_is_replaced_when_it_has_expired_and_not_before() -> None:
    """Its age counts from when it was made, and nothing expires where no age is given."""
    young, old = aged(history.new_key_pair(pair_inputs()), 29), aged(history.new_key_pair(pair_inputs()), 30)
    assert not history.key_pair_changes(young, pair_inputs(age=30))
    assert not history.key_pair_changes(old, pair_inputs())
    fresh = follow(old, pair_inputs(age=30))
    assert fresh["privateKey"] != old["privateKey"]
    assert old["privateKey"] in fresh["kept"]
    assert not history.key_pair_changes(fresh, pair_inputs(age=30))


def test_a_rotation_is_not_reverted_to_a_key_that_has_expired() -> None:
    """It would be due at once."""
    first = aged(history.new_key_pair(pair_inputs("1.1")), 40)
    second = follow(first, pair_inputs("2.1", age=30))
    back = follow(second, pair_inputs("1.1", age=30))
    assert back["privateKey"] not in (first["privateKey"], second["privateKey"])


def test_a_preshared_key_is_replaced_when_it_has_expired() -> None:
    """Also when its owners are the same."""
    old = aged(history.new_preshared_key(shared_inputs("a", "b")), 31)
    assert not history.preshared_key_changes(old, shared_inputs("a", "b", age=32))
    fresh = follow_shared(old, shared_inputs("a", "b", age=30))
    assert fresh["presharedKey"] != old["presharedKey"]
    assert old["presharedKey"] in fresh["kept"]
