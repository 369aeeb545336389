"""What the page about the stack itself tells, done in a shell as it stands there, but for the stack's name."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.documents import ROOT, shell_of
from tests.engine.conftest import Maker
from tests.engine.stack import Outcome, Stack

_PAGE = "docs/tasks/state.md"
HOSTS = ["h1", "h2"]


@pytest.fixture(scope="module")
def stack(make_stack: Maker) -> Stack:
    """Return a running mesh, whose passphrase is in a file as the README has it."""
    stack = make_stack(2)
    stack.write({"testwg": {"hosts": HOSTS, "deadline": 10}})
    stack.up()
    file = stack.folder.parent / "home/.config/mesh/passphrase"
    file.parent.mkdir(parents=True)
    file.write_text(stack.environment.pop("PULUMI_CONFIG_PASSPHRASE"))
    stack.environment["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(file)
    return stack


def do(stack: Stack, script: str, **places: str) -> Outcome:
    """Run lines of the page, which have to succeed."""
    for told, there in {"office": "test", **places}.items():
        script = script.replace(told, there)
    done = stack.shell(script)
    assert done.code == 0, f"{script}\n{done.text}"
    return done


def is_as_it_was(stack: Stack) -> None:
    """See that a run would change nothing."""
    stack.must("up", "--yes", "--skip-preview", "--expect-no-changes")


def test_another_passphrase_is_in_the_file_afterwards(stack: Stack) -> None:
    """The former one opens nothing."""
    file = Path(stack.environment["PULUMI_CONFIG_PASSPHRASE_FILE"])
    former = file.read_text()
    do(stack, shell_of(_PAGE, "Another passphrase"))
    assert file.read_text() != former
    assert file.stat().st_mode & 0o077 == 0
    is_as_it_was(stack)
    file.with_name("former").write_text(former)
    variables = {"PULUMI_CONFIG_PASSPHRASE_FILE": str(file.with_name("former"))}
    assert "incorrect passphrase" in stack.shell("pulumi preview", **variables).text


def test_what_is_deleted_from_the_state_comes_again(stack: Stack) -> None:
    """The name of a resource reaches pulumi whole."""
    keys, confirmed = stack.public_keys(), stack.hosts.orders.count("confirm")
    lines = shell_of(_PAGE, "Mend the state")
    (named,) = re.findall("'(urn:.*)'", lines.replace("office", "test"))
    assert named in stack.must("stack", "--show-urns").output
    do(stack, lines)
    assert stack.hosts.orders.count("confirm") == confirmed + len(HOSTS)
    assert stack.public_keys() == keys
    is_as_it_was(stack)


def test_runs_go_on_without_the_logs_of_pulumi(stack: Stack) -> None:
    """Until they are wanted again."""
    logs = Path(stack.environment["PULUMI_HOME"], "logs")
    assert list(logs.iterdir())
    do(stack, shell_of("docs/tasks/large-meshes.md", "Without Pulumi's own logs"), **{"~/.pulumi": str(logs.parent)})
    is_as_it_was(stack)
    assert logs.is_symlink()
    logs.unlink()
    is_as_it_was(stack)
    assert len(list(logs.iterdir())) == 1


def test_an_earlier_state_is_put_in_where_the_message_sends_its_reader(stack: Stack) -> None:
    """After somebody has damaged it by hand."""
    keys, state = stack.public_keys(), stack.export()
    for resource in state["deployment"]["resources"]:
        if resource["urn"].endswith("::testwg/rollout"):
            del resource["outputs"]["roster"]
    file = stack.folder / "damaged.json"
    file.write_text(json.dumps(state))
    stack.must("stack", "import", "--file", str(file))
    failed = stack.run("preview", "--refresh")
    assert failed.code != 0
    assert f"or go back to an earlier state, as {_PAGE} shows" in " ".join(failed.text.split())
    lines = shell_of(_PAGE, "An earlier state").splitlines(keepends=True)
    listed = do(stack, lines[0], **{"~": str(stack.state)}).output.splitlines()
    assert len(listed) > 1
    do(stack, "".join(lines[1:]), FILE=listed[0])
    assert stack.public_keys() == keys
    is_as_it_was(stack)


@pytest.mark.skipif(shutil.which("zstd") is None, reason="no zstd is installed here")
def test_an_earlier_state_that_was_compressed_is_unpacked_first(stack: Stack) -> None:
    """By the name that the page says it has."""
    keys = stack.public_keys()
    stack.environment["PULUMI_DIY_BACKEND_ZSTD"] = "true"
    stack.write({"testwg": {"hosts": HOSTS, "deadline": 10, "mtu": 1400}})
    stack.up()
    page = (ROOT / _PAGE).read_text()
    (ending,) = re.findall(r"they end in `(\S+)`", page)
    (unpack,) = re.findall(r"`(zstd .*)`", page)
    assert "history/mesh/office/*.checkpoint.json" in page
    (packed,) = (stack.state / ".pulumi/history/mesh/test").glob(f"*{ending}")
    places = {"FILE.zst": str(packed), "FILE": str(stack.folder / "earlier.json")}
    # So that the rest of these tests finds the state by its usual name.
    del stack.environment["PULUMI_DIY_BACKEND_ZSTD"]
    do(stack, unpack, **places)
    do(stack, "".join(shell_of(_PAGE, "An earlier state").splitlines(keepends=True)[1:]), **places)
    assert stack.public_keys() == keys
    is_as_it_was(stack)


def test_a_checkout_that_was_moved_goes_on_with_the_stack_that_is_selected_there(stack: Stack) -> None:
    """Before that, Pulumi says that none is; how setup writes the environment again is tested with the checkout."""
    place = stack.folder.with_name("moved here")
    stack.folder.rename(place)
    stack.folder = place
    assert "no stack selected" in stack.run("up", "--yes", "--skip-preview").text
    told = stack.companion("status")
    assert told.code == 1
    assert told.text.startswith("error: pulumi stack: no stack selected; ")
    assert told.text.endswith("; name a stack, or select one\n")
    lines = shell_of(_PAGE, "Another folder, another machine").splitlines(keepends=True)
    assert lines[:2] == ["make setup\n", ". .venv/bin/activate\n"]
    do(stack, "".join(lines[2:]))
    is_as_it_was(stack)
    assert stack.companion("status").code == 0


def test_another_machine_goes_on_once_it_has_the_stack_file_the_passphrase_the_key_and_the_state(stack: Stack) -> None:
    """In a clone elsewhere, by a Pulumi that knows nothing yet, with a backend of files at another place."""
    keys, confirmed = stack.public_keys(), stack.hosts.orders.count("confirm")
    lines = shell_of(_PAGE, "Another backend").splitlines(keepends=True)
    do(stack, lines[0])
    machine = stack.folder.with_name("machine")
    shutil.copytree(stack.folder, machine / "checkout", symlinks=True, ignore=shutil.ignore_patterns(".mesh"))
    (machine / "state").mkdir()
    (stack.folder / "state.json").unlink()
    stack.folder, stack.state = machine / "checkout", machine / "state"
    stack.environment |= {"PULUMI_HOME": str(machine / ".pulumi"), "PULUMI_BACKEND_URL": f"file://{stack.state}"}
    assert "no stack named 'test' found" in stack.run("stack", "select", "test").text
    assert "11 unchanged" in do(stack, "".join(lines[1:])).output
    assert stack.public_keys() == keys
    is_as_it_was(stack)
    assert stack.companion("status").code == 0
    assert stack.hosts.orders.count("confirm") == confirmed


def test_a_stack_moves_to_another_backend(stack: Stack) -> None:
    """By the line in Pulumi.yaml, which is what holds where no variable is set; secrets of the stack file move too."""
    del stack.environment["PULUMI_BACKEND_URL"]
    project, new = stack.folder / "Pulumi.yaml", stack.folder.parent / "new"
    new.mkdir()

    def write_backend(place: Path) -> None:
        text = project.read_text()
        project.write_text(re.sub(r"(?m)^  url: .*$", f"  url: file://{place}", text))

    write_backend(stack.state)
    stack.must("config", "set", "--secret", "own:note", "of the stack")
    keys, lines = stack.public_keys(), shell_of(_PAGE, "Another backend").splitlines(keepends=True)
    do(stack, lines[0])
    assert f"file://{stack.state}" in stack.must("whoami", "--verbose").output
    write_backend(new)
    said = do(stack, "".join(lines[1:])).output
    assert "11 unchanged" in said
    assert f"file://{new}" in stack.must("whoami", "--verbose").output
    assert stack.public_keys() == keys
    assert stack.must("config", "get", "own:note").output.strip() == "of the stack"
    assert not (stack.folder / "state.json").exists()
    is_as_it_was(stack)
