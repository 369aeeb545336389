"""The runs of a stack in words of the mesh, from what the engine keeps of each."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from mesh.cli.history import Run, read_history
from mesh.cli.history_json import HistoryDocument, show_history
from mesh.cli.json_document import schema_of
from tests.strategies import HOST_KEY


def entry(
    hosts: list[str],
    *,
    kind: str = "update",
    result: str = "succeeded",
    environment: dict[str, str] | None = None,
    named: dict[str, Any] | None = None,
    **interface: Any,
) -> dict[str, Any]:
    """Return what the engine keeps of a run; no hosts are no mesh."""
    machines = {
        host: {"ssh": {"address": f"{host}.example.org", "hostKey": HOST_KEY}, **(named or {})} for host in hosts
    }
    return {
        "kind": kind,
        "startTime": "2026-11-28T23:06:43.000Z",
        "message": "a title\nand more",
        "environment": environment or {},
        "result": result,
        "resourceChanges": {"same": 3},
        "config": {
            "mesh:hosts": {"objectValue": machines},
            "mesh:interfaces": {"objectValue": {"testwg": {"hosts": hosts, **interface}} if hosts else {}},
        },
    }


def told(first: dict[str, Any], *entries: dict[str, Any], limit: int = 100) -> list[Run]:
    """Return the runs of a stack that was empty, in the order in which they were made."""
    made = [{**first, "resourceChanges": {"create": 3}}, *entries]
    return read_history(made[::-1], limit)[::-1]


def test_each_run_is_compared_with_the_one_before() -> None:
    """Who joins and leaves, gets a new key, and what else the preview says."""
    first, second, third, fourth, last = told(
        entry(["h1", "h2"]),
        entry(["h1", "h2", "h3"], rotation=2),
        entry(["h1", "h3"], rotation=2, port=51900, members={"h3": {"rotation": 2}}),
        entry(["h1", "h3"], rotation=2, port=51900, members={"h3": {"rotation": 2}}),
        entry([]),
    )
    assert first.lines[0] == "testwg: + a new mesh"
    assert first.lines[1].startswith("testwg: + h1 joins: fd00:")
    assert second.lines[0].startswith("testwg: + h3 joins")
    assert "testwg: ~ h1 gets a new key: rotation 1.1 becomes 2.1" in second.lines
    assert third.lines[0].startswith("testwg: - h2 leaves")
    assert "testwg: ~ every host, listen port: 51824 becomes 51900" in third.lines
    assert "testwg: ~ h3 gets a new key: rotation 2.1 becomes 2.2" in third.lines
    assert not any("key: a new key" in line for run in (first, second, third) for line in run.lines)
    assert fourth.lines == ("nothing changed",)
    assert last.lines == ("- testwg is removed from all its hosts",)


def test_new_keys_of_all_are_one_line_and_a_renamed_host_keeps_its_own() -> None:
    """With the name of before."""
    assert told(entry(["h1", "h2"]), entry(["h1", "h2"], rotation=2))[1].lines == (
        "testwg: ~ every host gets a new key",
    )
    renamed = told(entry(["h1"]), entry(["new"], named={"formerly": "h1"}))[1].lines
    assert renamed[0] == "testwg: ~ new was h1, and keeps its key"


def test_a_run_of_a_program_of_ones_own_tells_why_its_change_is_not_kept() -> None:
    """Its configuration has no hosts and interfaces, or other sections; a file of hosts is another reason."""
    for config, reason in (
        ({"network:names": {"value": "[]"}}, "its configuration describes no mesh"),
        ({}, "its configuration describes no mesh"),
        ({"mesh:hostsFile": {"value": "hosts.yaml"}}, "its configuration names a file of hosts"),
    ):
        [run] = told({**entry(["h1"]), "config": config})
        [line] = run.lines
        assert line.startswith(f"what changed is not kept: {reason}")


def test_a_run_that_failed_or_had_targets_is_no_state_to_compare_with() -> None:
    """The next one brings what it did not."""
    failed, part, whole = told(
        entry(["h1", "h2"]),
        entry(["h1", "h2", "h3"], result="failed"),
        entry(["h1", "h2", "h3"], environment={"pulumi.flag.target": "set"}),
        entry(["h1", "h2", "h3"]),
    )[1:]
    assert failed.lines[0] == "this was to change:"
    assert part.lines[0] == "a part of this, since the run had targets:"
    assert failed.lines[1:] == part.lines[1:] == whole.lines
    assert whole.lines[0].startswith("testwg: + h3 joins")


def test_who_made_the_commit_is_told() -> None:
    """With what was not committed, and the first line of the message."""
    known = {"git.author": "Ada", "git.head": "0123456789abcdef", "git.dirty": "true"}
    assert told(entry(["h1"], environment=known))[0].commit == "0123456789abcdef"
    assert told(entry(["h1"], environment=known))[0].who == "Ada, commit 01234567 and edited since"
    assert told(entry(["h1"]))[0].who == ""
    assert told(entry(["h1"]))[0].message == "a title"


def test_a_refresh_is_counted_and_a_destroyed_stack_has_no_mesh() -> None:
    """Its configuration is as before."""
    refresh = {**entry(["h1"], kind="refresh"), "resourceChanges": {"same": 3, "update": 2}}
    runs = told(entry(["h1"]), refresh, entry(["h1"], kind="destroy"), entry(["h1"]))
    assert [run.kind for run in runs] == ["up", "refresh", "destroy", "up"]
    assert runs[1].lines == ("2 resources changed",)
    assert runs[2].lines == ("- testwg is removed from all its hosts",)
    assert runs[3].lines[0] == "testwg: + a new mesh"


def test_a_configuration_that_cannot_be_read_is_said() -> None:
    """And so is the run after it; the one after that can be told again."""
    lost = entry(["h1"])
    del lost["config"]["mesh:hosts"]
    runs = told(entry(["h1"]), lost, entry(["h1"]), entry(["h1", "h2"]))
    assert [run.lines[0].startswith("what changed is not kept") for run in runs] == [False, True, True, False]


def test_no_more_runs_are_asked_for_than_the_difference_needs() -> None:
    """Down to the last one that changed the meshes as a whole, which tells what the next one found."""
    runs = [entry(["h1"]), entry(["h1", "h2"], result="failed"), {**entry(["h1"]), "kind": "refresh"}]
    taken: list[int] = []

    def latest_first() -> Iterator[dict[str, Any]]:
        for number, run in enumerate([entry(["h1", "h2"]), *runs[::-1], entry([])]):
            taken.append(number)
            yield run

    (latest,) = read_history(latest_first(), 1)
    assert latest.lines[0].startswith("testwg: + h2 joins")
    assert taken == [0, 1, 2, 3]


def test_nothing_is_said_of_what_a_run_changed_where_the_one_before_is_not_kept() -> None:
    """A history does not move with a state to another backend; the runs after it are told as always."""
    latest, refresh, first = read_history(
        [entry(["h1", "h2"]), {**entry(["h1"]), "kind": "refresh"}, entry(["h1"])], 10
    )
    assert first.lines == ("what changed is not kept: the engine no longer has the run before it",)
    assert refresh.lines == ("nothing changed",)
    assert latest.lines[0].startswith("testwg: + h2 joins")


@pytest.mark.parametrize(
    "environment", [{}, {"git.author": "Ada", "git.head": "0123456789abcdef", "git.dirty": "true"}]
)
def test_the_json_document_of_runs_is_as_its_schema_says(environment: dict[str, str]) -> None:
    """With every field, and no other; the latest run comes first."""
    schema = json.loads(schema_of(HistoryDocument))
    validator = Draft202012Validator(schema)
    content = json.loads(show_history(told(entry(["h1"]), entry(["h1", "h2"], environment=environment))[::-1]))
    assert list(validator.iter_errors(content)) == []
    assert list(validator.iter_errors({**content, "schemaVersion": 2})) != []
    assert set(schema["properties"]) == set(content)
    assert [set(run) for run in content["runs"]] == [set(schema["$defs"]["RunEntry"]["required"])] * 2
    latest, first = content["runs"]
    assert latest["changes"][0].startswith("testwg: + h2 joins")
    assert first["changes"][0] == "testwg: + a new mesh"
    assert first["began"] == "2026-11-28T23:06:43Z"
    assert (latest["author"], latest["commit"], latest["edited"]) == (
        environment.get("git.author", ""), environment.get("git.head", ""), bool(environment),
    )  # fmt: skip
