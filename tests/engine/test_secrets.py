"""No private or preshared key is ever in clear: the values looked for are those that hosts really received."""

import json
import re

import pytest
from ruamel.yaml import YAML

from mesh.cli.stack_file import StackFile
from mesh.config.sections import sections_in_file, sections_of_texts
from mesh.wireguard.keys import generate_key_pair, generate_preshared_key
from tests.engine.conftest import Maker
from tests.engine.stack import Stack

HOSTS = ["h1", "h2"]
# What a failure shows is worded in one place; these have keys at hand, or come before and after.
ORDERS = ["enrol", "stage", "preshared", "own", "facts", "confirm"]


@pytest.fixture(scope="module")
def stack(make_stack: Maker) -> Stack:
    """Return a stack of two hosts that run."""
    made = make_stack(2)
    made.write({"testwg": {"hosts": HOSTS, "deadline": 10}})
    made.up()
    return made


def reveals(stack: Stack, text: str) -> list[str]:
    """Return which received secrets `text` holds."""
    assert len(stack.hosts.secrets) >= 3
    return [secret for secret in stack.hosts.secrets if secret in text]


@pytest.mark.parametrize(
    "verb",
    [
        ("stack", "export"),
        ("preview",),
        ("preview", "--diff"),
        ("preview", "--json"),
        ("stack", "output", "--json"),
        ("stack", "--show-ids"),
        ("up", "--yes", "--json"),
        ("up", "--yes", "--diff", "-v=3", "--logtostderr"),
        ("refresh", "--yes"),
    ],
    ids=" ".join,
)
def test_no_verb_shows_a_key(stack: Stack, verb: tuple[str, ...]) -> None:
    """While a rotation is pending, so that old and new keys are both there."""
    rotation = 1 + len(stack.hosts.secrets)
    stack.write({"testwg": {"hosts": HOSTS, "deadline": 10, "rotation": rotation}})
    assert reveals(stack, stack.must(*verb).text) == []


def test_a_plan_that_was_saved_shows_no_key(make_stack: Maker) -> None:
    """Where a value is not the planned one, the engine prints both, secrets in clear.

    All that it misses here is what it makes for a question that only previews ask.
    """
    missed = (
        "expected resource operations for urn:pulumi:test::mesh::pulumi:providers:pulumi::default but none were seen"
    )
    stack = make_stack(3)
    all_keys = {"hosts": ["h1", "h2", "h3"], "rotation": 2}
    for settings in ({"hosts": ["h1", "h2"]}, all_keys, {**all_keys, "mtu": 1380}):
        stack.write({"testwg": {"deadline": 10, **settings}})
        said = stack.must("preview", "--save-plan", "plan.json").text
        plan = (stack.folder / "plan.json").read_text()
        outcome = stack.run("up", "--yes", "--skip-preview", "--plan", "plan.json")
        assert reveals(stack, said + outcome.text + plan) == []
        assert {*re.findall(r"error: (.*)", outcome.text)} == {missed}
    assert stack.changed() == {}


def test_what_the_state_has_in_clear_is_not_taken_encrypted(make_stack: Maker) -> None:
    """Whoever encrypts an address wants it secret; the program and each command say that it would not be."""
    stack = make_stack(1)
    stack.write({"testwg": {"hosts": ["h1"], "deadline": 10}})
    stack.must("config", "set", "--secret", "--path", "mesh:hosts.h1.externalIps[0]", "198.18.9.9")
    said = [stack.run("preview").text, *(stack.companion(command, "test").errors for command in ("plan", "graph"))]
    for text in said:
        assert "mesh:hosts: a value here is encrypted, and the state and the hosts would have it in clear; " in text
        assert "198.18.9.9" not in text
        assert "Traceback" not in text


@pytest.mark.parametrize("order", ORDERS)
def test_a_failure_at_any_order_shows_no_key(stack: Stack, order: str) -> None:
    """Neither the output nor any file of the state, and the next run succeeds."""
    stack.write({"testwg": {"hosts": HOSTS, "deadline": 10, "rotation": 1000 + ORDERS.index(order)}})
    stack.hosts["h2"].fail_at = order
    outcome = stack.run("up", "--yes", "--skip-preview", "--diff")
    stack.hosts["h2"].fail_at = ""
    assert outcome.code != 0
    assert "h2" in outcome.text
    assert reveals(stack, outcome.text + stack.files()) == []
    stack.up()


def test_no_file_of_the_state_holds_a_key(stack: Stack) -> None:
    """Checkpoints, history and backups of all runs before."""
    files = stack.files()
    assert "testwg/h1/key" in files
    assert reveals(stack, files) == []


def test_keys_in_clear_in_the_stack_file_are_refused(make_stack: Maker) -> None:
    """Alone, and beside one that is encrypted, before anything is registered."""
    stack = make_stack(2)
    keys = {name: generate_key_pair().private_key for name in ("testwg/h1", "testwg/h2")}
    stack.write({"testwg": {"hosts": HOSTS}})
    file = stack.stack_file
    before = file.read_text()
    for name, key in keys.items():
        # By default the engine refuses to write what looks like a secret.
        stack.must("config", "set", "--path", "--plaintext", f'mesh:adopted["{name}"]', key)
    outcome = stack.run("up", "--yes", "--skip-preview")
    assert "mesh:adopted: in clear, where whoever reads the file has it; run pulumi config rm" in outcome.text
    stack.must("config", "set", "--path", "--secret", 'mesh:adopted["testwg/h1"]', keys["testwg/h1"])
    outcome = stack.run("up", "--yes", "--skip-preview")
    assert 'mesh:adopted["testwg/h2"]: in clear' in outcome.text
    assert "testwg/h1" not in outcome.text
    assert stack.hosts.orders == []
    assert not [key for key in keys.values() if key in outcome.text]
    file.write_text(before)


def test_a_key_in_the_place_of_a_section_is_refused_and_not_shown(make_stack: Maker) -> None:
    """Without its name, in clear or encrypted; and so are names that are no section."""
    stack = make_stack(1)
    key = generate_key_pair().private_key
    stack.write({"testwg": {"hosts": ["h1"]}})
    stack.must("config", "set", "mesh:rotations", "2")
    for kind in ("--plaintext", "--secret"):
        stack.must("config", "set", kind, "mesh:adopted", key)
        outcome = stack.run("preview")
        assert outcome.code != 0
        assert "mesh:adopted: not a mapping; give keys by interface/host, or by interface" in outcome.text
        assert ("mesh:adopted: in clear" in outcome.text) == (kind == "--plaintext")
        assert "mesh:rotations: unknown section; did you mean mesh:rotation?" in outcome.text
        assert key not in outcome.text


def test_the_program_and_the_commands_read_one_file_alike(make_stack: Maker) -> None:
    """Whatever YAML makes of a name or a number: they see what Pulumi hands out."""
    stack = make_stack(1)
    path, file = stack.folder / "stacks/Pulumi.test.yaml", YAML(typ="safe")
    salt = file.load(path.read_text())["encryptionsalt"]
    values = "a: 51900.0, b: 017, c: 0o17, d: 1_000, e: 1e3, f: 2026-01-01, g: off, h: yes, i: ~, j: 0x10, k: &a true"
    hosts = f"{{1: {{{values}, l: *a, m: !!set {{x, y}}, n: 018, o: 12:30:00}}, 1.5: 6, off: 7, ~: 8}}"
    path.write_text(
        f"encryptionsalt: {salt}\nconfig:\n  mesh:hosts: {hosts}\n  interfaces: {{}}\n  mesh:config:rotation: 2.0\n"
    )
    shown = json.loads(stack.must("config", "--json").output)
    handed = sections_of_texts({name: entry["value"] for name, entry in shown.items()})
    read = sections_in_file(StackFile(path).content["config"])
    assert {**read, "mesh:rotation": str(read["mesh:rotation"]), "mesh:hostsFile": ""} == handed


def test_keys_are_adopted_and_kept_after_they_left_the_file(make_stack: Maker) -> None:
    """From secrets that pulumi encrypts; the hosts get just these, and nothing shows them."""
    stack = make_stack(2)
    key, preshared = generate_key_pair(), generate_preshared_key()
    stack.write({"testwg": {"hosts": HOSTS}})
    for name, value in (("testwg/h1", key.private_key), ("testwg", preshared)):
        stack.must("config", "set", "--path", "--secret", f'mesh:adopted["{name}"]', value)
    outcome = stack.up("--diff")
    assert stack.hosts["h1"].public_key("testwg") == key.public_key
    assert {key.private_key, preshared} <= stack.hosts.secrets
    assert reveals(stack, outcome.text + stack.files()) == []
    stack.must("config", "rm", "mesh:adopted")
    assert stack.changed() == {}
    assert stack.public_keys()["h1"] == key.public_key
