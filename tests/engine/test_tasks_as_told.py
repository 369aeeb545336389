"""What pages of tasks show of pulumi, on the mesh that they tell of: each line is what the engine prints."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.documents import ROOT, blocks
from tests.engine.ssh_hosts import Hosts, Interface
from tests.engine.stack import Outcome, Stack

TASKS = ROOT / "docs/tasks"
HOSTS = {"bernard": 1, "carol": 2, "dora": 3, "edgeworth": 4}
# Too many for one environment variable, which is how Pulumi hands a stack file to a program.
MANY = 700


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack of bernard, carol, dora and edgeworth."""
    folder = tmp_path_factory.mktemp("tasks")
    with Hosts(list(HOSTS), folder / "key") as hosts:
        yield Stack(folder, hosts, folder / "key")


def write(stack: Stack, *members: str, entries: dict[str, Any] | None = None) -> None:
    """Write a mesh of these members."""
    endpoints = {name: f"203.0.113.{number}" for name, number in HOSTS.items()}
    mesh = {"hosts": list(members), "port": 51825, "deadline": 10}
    stack.write({"testwg": mesh}, hosts=members, endpoints=endpoints, entries=entries)


def shown(page: str, number: int = 0) -> list[str]:
    """Return the lines of a page's console block, without the command and without indentation."""
    lines = list(blocks(TASKS / page, "console"))[number].splitlines()
    return [" ".join(line.split()) for line in lines if not line.startswith("$ ")]


def lines_of(outcome: Outcome) -> list[str]:
    """Return the lines that pulumi printed, in the form of `shown`; dots before a line show that it waits."""
    return [" ".join(line.lstrip("@. ").split()) for line in outcome.text.splitlines()]


def test_adding_a_host_shows_what_its_page_shows(stack: Stack) -> None:
    """Five resources and what joins; and nothing else is to change."""
    write(stack, "bernard", "carol", "edgeworth")
    stack.up()
    write(stack, "bernard", "carol", "dora", "edgeworth")
    preview = stack.must("preview")
    told = shown("add-a-host.md")
    assert set(told) <= set(lines_of(preview)), preview.text
    changes = [
        line for line in lines_of(preview) if line.startswith(("+ pulumi", "~ pulumi", "+ command", "~ command"))
    ]
    assert sorted(changes) == sorted(line for line in told if "testwg/" in line)
    stack.up()


def test_renaming_a_host_shows_what_its_page_shows_and_the_line_may_go_afterwards(stack: Stack) -> None:
    """The engine's alias is what keeps the key; nothing is enrolled."""
    write(stack, "bernard", "carol", "dora")
    stack.up()
    keys = stack.public_keys()
    machine = stack.hosts.by_name.pop("dora")
    stack.hosts.by_name["storage"], machine.name = machine, "storage"
    enrolled = machine.orders.count("enrol")
    write(stack, "bernard", "carol", "storage", entries={"storage": {"formerly": "dora"}})
    assert set(shown("rename-a-host.md")) <= set(lines_of(stack.must("preview")))
    stack.up()
    renamed = {"bernard": keys["bernard"], "carol": keys["carol"], "storage": keys["dora"]}
    assert stack.public_keys() == renamed
    assert {name: stack.hosts[name].public_key("testwg") for name in renamed} == renamed
    assert machine.orders.count("enrol") == enrolled
    write(stack, "bernard", "carol", "storage")
    stack.must("up", "--yes", "--skip-preview", "--expect-no-changes")
    stack.must("preview", "--refresh", "--expect-no-changes")


def test_a_reinstalled_host_shows_what_its_page_shows_and_gets_its_key_again(stack: Stack) -> None:
    """Its enrolment and the rollout, and no other resource."""
    write(stack, "bernard", "carol")
    stack.up()
    key = stack.public_keys()["carol"]
    stack.hosts["carol"].interfaces["testwg"] = Interface()
    preview = stack.must("preview", "--refresh")
    assert set(shown("reinstalled-host.md")) <= set(lines_of(preview))
    assert stack.updated(preview) == {"testwg/carol/enrol", "testwg/rollout"}
    assert stack.changed("--refresh") == {"update": 2}
    assert stack.hosts["carol"].public_key("testwg") == stack.public_keys()["carol"] == key
    stack.must("up", "--yes", "--skip-preview", "--expect-no-changes")


def test_a_stack_file_that_is_too_long_for_an_argument_works_with_a_file_of_hosts(stack: Stack) -> None:
    """By the words in which Pulumi says so, and what the page does about it."""
    page = (ROOT / "docs/troubleshooting/README.md").read_text()
    assert '**Pulumi says "argument list too long".**' in page
    names = [f"h{number}" for number in range(MANY)]
    ssh: dict[str, Any] = {
        name: {"address": f"10.0.{number // 250}.{number % 250}"} for number, name in enumerate(names)
    }
    machines = stack.hosts.by_name
    stack.hosts.by_name = dict.fromkeys(names, machines["carol"])
    mesh = {"testwg": {"hosts": names}}
    stack.write(mesh, **ssh)
    refused = stack.run("preview")
    assert refused.code != 0
    assert "argument list too long" in refused.text
    stack.hosts_file = "hosts.yaml"
    stack.must("config", "rm", "mesh:hosts")
    stack.write(mesh, **ssh)
    # Of each host its key and its enrolment, and seven of the mesh and the stack.
    assert f"+ {2 * MANY + 7} to create" in stack.must("preview").text
    stack.hosts.by_name = machines
