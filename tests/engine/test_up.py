"""`python -m mesh up --only`, and pulumi's own options and variables."""

import json
from collections import Counter
from typing import Any

import pytest

from tests.engine.conftest import Maker
from tests.engine.ssh_hosts import Interface
from tests.engine.stack import Stack

YES = ("--", "--yes", "--skip-preview", "--color", "never")


# By host, how often its key was rotated.
_ROTATIONS: Counter[str] = Counter()


def write(stack: Stack, testwg: list[str], *rotating: str, **more: Any) -> None:
    """Write two meshes: testwg, and other of h1 and h2; some hosts rotate their keys, in both."""
    _ROTATIONS.update(rotating)
    members = {host: {"rotation": 1 + _ROTATIONS[host]} for host in testwg}
    other = {host: members[host] for host in ("h1", "h2")}
    stack.write(
        {
            "testwg": {"hosts": testwg, "deadline": 10, "members": members, **more},
            "other": {"hosts": ["h1", "h2"], "port": 51900, "deadline": 10, "members": other},
        }
    )


def changed_keys(before: dict[str, str], stack: Stack, interface: str = "testwg") -> set[str]:
    """Return the hosts that run another key than `before`; each runs that of the state."""
    after = stack.public_keys(interface)
    running = {host: stack.hosts[host].public_key(interface) for host in after}
    return {host for host in running if running[host] != before.get(host)}


@pytest.fixture(scope="module")
def shared(make_stack: Maker) -> Stack:
    """Return a stack of four hosts; h4 is in no mesh at first."""
    return make_stack(4)


@pytest.fixture
def stack(shared: Stack) -> Stack:
    """Return that stack with two meshes running and nothing pending."""
    write(shared, ["h1", "h2", "h3"])
    shared.settle()
    return shared


def test_only_some_hosts_are_changed_and_the_rest_comes_with_the_next_run(stack: Stack) -> None:
    """In every mesh that they are in; the others learn of their new keys."""
    before, other = stack.public_keys(), stack.public_keys("other")
    write(stack, ["h1", "h2", "h3"], "h1", "h2", "h3")
    outcome = stack.companion("up", "test", "--only", "h1", "--only", "h3", *YES)
    assert outcome.code == 0
    assert "testwg: confirmed on 3 hosts" in outcome.text
    assert changed_keys(before, stack) == {"h1", "h3"}
    assert changed_keys(other, stack, "other") == {"h1"}
    stack.up()
    assert changed_keys(before, stack) == {"h1", "h2", "h3"}
    assert stack.changed() == {}


def test_who_joins_or_leaves_has_to_be_named(stack: Stack) -> None:
    """Nothing is run until it is; then a host joins or leaves alone, whole, and is wiped."""
    before = stack.public_keys()
    write(stack, ["h1", "h2", "h4"], "h2")
    refused = stack.companion("up", "--only", "h2", *YES)
    assert refused.code == 1
    assert refused.text.strip() == (
        "error: testwg: h4 joins and h3 leaves, and every member must learn of it; add --only h4 --only h3, "
        "or undo it in the stack file for now"
    )
    assert stack.companion("up", "--only", "h3", "--only", "h4", *YES).code == 0
    assert stack.hosts["h3"].interfaces == {}
    assert stack.hosts["h4"].public_key("testwg") == stack.public_keys()["h4"]
    assert stack.hosts["h2"].public_key("testwg") == before["h2"]
    assert set(stack.resources()) >= {"testwg/h4/key", "testwg/h4/enrol"}
    assert "testwg/h3/key" not in stack.resources()
    stack.up()
    assert stack.changed() == {}


def test_a_phone_that_joins_or_leaves_has_to_be_named_too(stack: Stack) -> None:
    """It is a peer of every member, and has a key in the state."""
    before = stack.public_keys()
    for verb in ("joins", "leaves"):
        peers: dict[str, Any] = {"phone": {}} if verb == "joins" else {}
        write(stack, ["h1", "h2", "h3"], "h2", peers=peers)
        refused = stack.companion("up", "--only", "h2", *YES)
        assert refused.text.strip() == (
            f"error: testwg: phone {verb}, and every member must learn of it; add --only phone, or undo it in the "
            "stack file for now"
        )
        assert stack.companion("up", "--only", "phone", *YES).code == 0
        assert ("testwg/phone/key" in stack.resources()) == bool(peers)
        assert {host: key for host, key in stack.public_keys().items() if host != "phone"} == before


def test_another_host_that_was_reinstalled_or_moved_is_enrolled_with_the_key_that_it_has(stack: Stack) -> None:
    """The rollout is to all members, and would stop at one that has no private key."""
    before = stack.public_keys()
    stack.hosts["h3"].interfaces["testwg"] = Interface()
    write(stack, ["h1", "h2", "h3"], "h2")
    assert stack.companion("up", "--only", "h2", *YES, "--refresh").code == 0
    assert changed_keys(before, stack) == {"h2"}
    stack.up()
    assert stack.changed() == {}


def test_an_unknown_host_is_told_with_those_that_are_known(stack: Stack) -> None:
    """And so is a stack that does not exist."""
    unknown = stack.companion("up", "--only", "h9", *YES)
    assert unknown.code == 1
    assert unknown.text.strip() == "error: --only: h9 is in no mesh; give some of h1, h2, h3"
    nowhere = stack.companion("up", "nowhere", "--only", "h1", *YES)
    assert nowhere.code == 1
    assert "no stack named 'nowhere' found" in nowhere.text


def test_the_exit_code_and_the_display_are_pulumis_own(stack: Stack) -> None:
    """Also without --only, and where pulumi refuses its arguments."""
    assert stack.companion("up", *YES, "--expect-no-changes").code == 0
    write(stack, ["h1", "h2", "h3"], "h1")
    failed = stack.companion("up", "test", *YES, "--expect-no-changes")
    assert failed.code != 0
    assert "Updating (test):" in failed.text
    write(stack, ["h1", "h2", "h3"], "h1")
    assert failed.code == stack.run("up", "--yes", "--skip-preview", "--expect-no-changes").code
    assert "unknown flag: --no-such-option" in stack.companion("up", "--", "--no-such-option").text


def test_a_first_mesh_can_be_brought_up_whole_by_its_hosts(make_stack: Maker) -> None:
    """The mesh's own resources are new, too."""
    stack = make_stack(2)
    stack.write({"testwg": {"hosts": ["h1", "h2"]}})
    assert stack.companion("up", "--only", "h1", *YES).code == 1
    assert stack.companion("up", "--only", "h1", "--only", "h2", *YES).code == 0
    assert stack.changed() == {}


@pytest.mark.parametrize(
    ("options", "variables"),
    [
        (("--skip-preview", "--parallel", "1", "--continue-on-error"), {}),
        (("--skip-preview", "--json"), {"PULUMI_PARALLEL": "1", "PULUMI_CONTINUE_ON_ERROR": "true"}),
        (("--skip-preview",), {"PULUMI_SKIP_CHECKPOINTS": "true", "PULUMI_EXPERIMENTAL": "true"}),
        (("--refresh",), {}),
    ],
    ids=str,
)
def test_pulumis_options_and_variables_make_no_difference_to_the_hosts(
    stack: Stack, options: tuple[str, ...], variables: dict[str, str]
) -> None:
    """One at a time or all at once, with a preview or without, as text or as JSON."""
    before = stack.public_keys()
    write(stack, ["h1", "h2", "h3"], "h1", "h2", "h3")
    stack.environment.update(variables)
    outcome = stack.must("up", "--yes", *options)
    for name in variables:
        del stack.environment[name]
    if "--json" in options:
        assert [json.loads(line) for line in outcome.output.splitlines() if line.startswith("{")]
    assert changed_keys(before, stack) == {"h1", "h2", "h3"}
    assert stack.changed() == {}


def test_without_a_terminal_and_without_a_yes_nothing_is_run(stack: Stack) -> None:
    """As for any Pulumi program."""
    orders = len(stack.hosts.orders)
    write(stack, ["h1", "h2", "h3"], "h1")
    outcome = stack.run("up")
    assert outcome.code != 0
    assert "--yes" in outcome.text
    assert len(stack.hosts.orders) == orders


def test_continue_on_error_goes_on_with_what_does_not_need_the_failed_host(stack: Stack) -> None:
    """A mesh in which one host cannot be enrolled stays as it is on every host; another mesh is brought to the plan."""
    before, other = stack.public_keys(), stack.public_keys("other")
    write(stack, ["h1", "h2", "h3"], "h1", "h2", "h3")
    stack.hosts["h3"].fail_at = "enrol"
    outcome = stack.run("up", "--yes", "--skip-preview", "--continue-on-error")
    stack.hosts["h3"].fail_at = ""
    assert outcome.code != 0
    assert "is the disk full?" in outcome.text
    assert changed_keys(before, stack) == set()
    assert changed_keys(other, stack, "other") == {"h1", "h2"}
    assert set(stack.plan()["hosts"]) == {"h1", "h2", "h3"}
    stack.up()
    assert changed_keys(before, stack) == {"h1", "h2", "h3"}
    assert stack.changed() == {}
