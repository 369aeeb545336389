"""What pages tell about keys from the shell, done in a shell as it stands there, but for names."""

import re

import pytest

from mesh.wireguard.keys import generate_key_pair, generate_preshared_key
from tests.documents import ROOT, read, shell_of
from tests.engine.conftest import Maker
from tests.engine.stack import Stack

HOSTS = ["h1", "h2"]


@pytest.fixture
def stack(make_stack: Maker) -> Stack:
    """Return a stack of two hosts that was never rolled out."""
    made = make_stack(2)
    made.write({"testwg": {"hosts": HOSTS, "deadline": 10}})
    return made


def do(stack: Stack, script: str) -> None:
    """Run a script, which has to succeed."""
    done = stack.shell(script)
    assert done.code == 0, f"{script}\n{done.text}"


def running(stack: Stack) -> dict[str, str | None]:
    """Return the public key that each host runs."""
    return {name: stack.hosts[name].public_key("testwg") for name in HOSTS}


def test_one_key_is_rotated_from_the_shell(stack: Stack) -> None:
    """By the stack file, and by the engine; each time no other host's."""
    stack.up()
    page = "docs/tasks/rotate-keys.md"
    (by_engine,) = re.findall(r"`(pulumi up --replace [^`]*)`", read(ROOT / page))
    for told in (shell_of(page, "Rotate keys") + "pulumi up", by_engine):
        before = running(stack)
        do(stack, told.replace("carol", "h2"))
        assert {name for name, key in running(stack).items() if key != before[name]} == {"h2"}
        assert running(stack) == stack.public_keys()
    stack.must("up", "--yes", "--skip-preview", "--expect-no-changes")


def test_keys_that_exist_are_set_by_hand(stack: Stack) -> None:
    """A private key and a preshared key, each from its file; they stay when they are no longer in the stack file."""
    pair, preshared = generate_key_pair(), generate_preshared_key()
    for name, key in {"private-key-file": pair.private_key, "preshared-key-file": preshared}.items():
        (stack.folder / name).write_text(f"{key}\n")
    do(stack, shell_of("docs/security.md", "Keys that exist already").replace("bernard", "h1"))
    file = stack.stack_file.read_text()
    assert "mesh:adopted" not in file
    assert running(stack)["h1"] == pair.public_key
    kernel = stack.hosts["h2"].interfaces["testwg"].kernel
    assert kernel is not None
    assert kernel["preshared-keys"] == [preshared]
    stack.must("up", "--yes", "--skip-preview", "--expect-no-changes")
    assert pair.private_key not in stack.files() + file
