"""Why keys change, as a preview says it."""

from typing import Any

from mesh.keyring import history
from mesh.keyring.explain import explain_key_pair, explain_preshared_key
from mesh.stored.forms import PresharedKeyState
from mesh.wireguard.keys import generate_key_pair
from tests.unit.test_keyring import aged, pair_inputs, shared_inputs


def shared(*owners: str, **inputs: Any) -> PresharedKeyState:
    """Return the state of a first preshared key."""
    return history.new_preshared_key(shared_inputs(*owners, **inputs))


def test_nothing_is_said_of_a_key_that_stays() -> None:
    """Hosts that do not change do not appear."""
    assert explain_key_pair(history.new_key_pair(pair_inputs()), pair_inputs()) == []
    assert explain_preshared_key(shared("a"), shared_inputs("a")) == []
    assert explain_preshared_key(shared("a"), shared_inputs("a", "b")) == []


def test_a_rotation_names_whose_number_changed() -> None:
    """The interface's, the host's, or both."""
    state = history.new_key_pair(pair_inputs("1.1"))
    assert explain_key_pair(state, pair_inputs("2.1")) == [
        "~ bernard key is regenerated: rotation of testwg 1 becomes 2"
    ]
    assert explain_key_pair(state, pair_inputs("1.3")) == [
        "~ bernard key is regenerated: rotation of bernard 1 becomes 3"
    ]
    assert explain_key_pair(state, pair_inputs("2.3")) == [
        "~ bernard key is regenerated: rotation of testwg 1 becomes 2 and rotation of bernard 1 becomes 3"
    ]
    assert explain_key_pair(state, pair_inputs("1.1@2")) == [
        "~ bernard key is regenerated: rotation of all interfaces 1 becomes 2"
    ]
    assert explain_preshared_key(shared("a"), shared_inputs("a", rotation="1@2")) == [
        "~ preshared key is regenerated: rotation of all interfaces 1 becomes 2"
    ]
    assert explain_preshared_key(shared("a"), shared_inputs("a", rotation="2")) == [
        "~ preshared key is regenerated: rotation of testwg 1 becomes 2"
    ]


def test_a_reverted_rotation_brings_the_key_back() -> None:
    """Which is another thing than a new one."""
    rotated = history.changed_key_pair(history.new_key_pair(pair_inputs("1.1")), pair_inputs("2.1"))
    assert explain_key_pair(rotated, pair_inputs("1.1")) == ["~ bernard key comes back: rotation of testwg 2 becomes 1"]


def test_who_left_is_why_the_preshared_key_is_replaced() -> None:
    """By name."""
    assert explain_preshared_key(shared("a", "b", "c"), shared_inputs("a")) == [
        "~ preshared key is regenerated: b, c knew it and is no longer an owner"
    ]


def test_adoption_and_expiry_are_said() -> None:
    """Without the key."""
    key = generate_key_pair().private_key
    state = history.new_key_pair(pair_inputs())
    assert explain_key_pair(state, pair_inputs(adopted=key)) == ["~ bernard key is adopted from mesh:adopted"]
    assert "expired on" in explain_key_pair(aged(state, 31), pair_inputs(age=30))[0]
    assert "expires on" in explain_key_pair(aged(state, 20), pair_inputs(age=30))[0]
