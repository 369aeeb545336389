"""What the real engine changes, and what it leaves alone, when the stack file changes."""

import json
from typing import Any

import pytest

from mesh.config.models import Configuration
from tests.conftest import HOST_KEY
from tests.engine.conftest import Maker
from tests.engine.stack import Stack

_COUNT = 12


def members(count: int) -> list[str]:
    """Return the names of the first hosts."""
    return [f"h{number}" for number in range(1, count + 1)]


@pytest.fixture(scope="module")
def running(make_stack: Maker) -> Stack:
    """Return a stack whose mesh runs on all hosts but two, which are free to join."""
    stack = make_stack(_COUNT + 2)
    stack.write({"testwg": {"hosts": members(_COUNT), "deadline": 10}})
    stack.up()
    return stack


def test_the_first_up_proves_every_host(running: Stack) -> None:
    """All run the keys of the state, and one plan is confirmed everywhere."""
    hosts = running.hosts.by_name
    keys = running.public_keys()
    assert {name: hosts[name].public_key("testwg") for name in keys} == keys
    digest = running.resources()["testwg/rollout"]["outputs"]["digest"]
    assert {hosts[name].confirmed("testwg") for name in keys} == {digest}


def test_hosts_in_a_file_of_their_own_are_the_same_hosts(running: Stack) -> None:
    """Moving them there changes nothing."""
    for file in ("hosts.yaml", ""):
        running.hosts_file = file
        running.must("config", "rm", "mesh:hosts" if file else "mesh:hostsFile")
        running.write({"testwg": {"hosts": members(_COUNT), "deadline": 10}})
        running.must("preview", "--expect-no-changes")


def test_the_outputs_are_the_public_plan(running: Stack) -> None:
    """Addresses, endpoints and public keys, and nothing that is secret."""
    shown = running.must("stack", "output", "--json")
    plan = json.loads(shown.output)["testwg"]
    keys = running.public_keys()
    assert {host: entry["publicKey"] for host, entry in plan["hosts"].items()} == keys
    assert plan["port"] == 51824
    assert "[secret]" not in shown.output


def test_another_machine_under_a_name_is_told_before_anything_changes(running: Stack) -> None:
    """By the preview and the plan, with what becomes of the one before."""
    other = {"port": 22, "hostKey": HOST_KEY}
    running.write({"testwg": {"hosts": members(_COUNT), "deadline": 10}}, h2=other)
    for said in (running.must("preview").text, running.companion("plan").output):
        assert "~ h2 is another machine: SSH finds it elsewhere, with another host key" in said
        assert "the one before is not wiped and runs h2's key too" in said
    assert "testwg: changes 1 of 12 hosts and 11 of 66 pairs" in said


def test_a_second_up_changes_nothing(running: Stack) -> None:
    """No order reaches a host, and a preview expects no change."""
    running.write({"testwg": {"hosts": members(_COUNT), "deadline": 10}})
    running.up()
    before = len(running.hosts.orders)
    assert running.changed() == {}
    running.must("preview", "--expect-no-changes")
    assert len(running.hosts.orders) == before


def test_adding_a_host_changes_a_handful_of_resources(running: Stack) -> None:
    """The same handful at any size: its key and enrolment, the owners, the roster and the rollout."""
    count = _COUNT + 1
    running.write({"testwg": {"hosts": members(count), "deadline": 10}})
    preview = running.must("preview", "--diff")
    assert f"+ h{count} joins" in preview.text
    assert running.changed() == {"create": 2, "update": 3}
    assert running.hosts[f"h{count}"].public_key("testwg") == running.public_keys()[f"h{count}"]


def test_rotating_one_host_changes_its_key_only(running: Stack) -> None:
    """Its key, its enrolment, the roster and the rollout; every other host keeps its key."""
    before = running.public_keys()
    running.write({"testwg": {"hosts": list(before), "deadline": 10, "members": {"h1": {"rotation": 2}}}})
    assert running.changed() == {"update": 4}
    after = running.public_keys()
    assert {host for host in before if before[host] != after[host]} == {"h1"}
    assert running.hosts["h1"].public_key("testwg") == after["h1"]


def test_removing_a_host_wipes_it_last(running: Stack) -> None:
    """Who stays has confirmed the mesh without it before it loses anything."""
    leaver = running.hosts["h2"]
    stay = [host for host in running.public_keys() if host != "h2"]
    running.write({"testwg": {"hosts": stay, "deadline": 10, "members": {"h1": {"rotation": 2}}}})
    outcome = running.up()
    assert outcome.text.index("testwg: confirmed on") < outcome.text.index("testwg: wiping h2")
    assert leaver.interfaces == {}
    assert "h2" not in running.public_keys()


def test_destroy_wipes_every_host(running: Stack) -> None:
    """The last test on this stack: neither host nor state keeps anything."""
    running.must("destroy", "--yes")
    assert all(host.interfaces == {} for host in running.hosts.by_name.values())
    assert running.resources() == {}


def _two_meshes(make_stack: Maker) -> tuple[Stack, dict[str, dict[str, Any]]]:
    stack = make_stack(2)
    both: dict[str, dict[str, Any]] = {"testwg": {"hosts": members(2)}, "other": {"hosts": members(2), "port": 51900}}
    stack.write(both)
    stack.up()
    return stack, both


def test_two_interfaces_are_two_meshes_and_a_target_is_one(make_stack: Maker) -> None:
    """Own keys, own preshared key; `--target` of one leaves the other for the next full `up`."""
    stack, both = _two_meshes(make_stack)
    first = {name: stack.public_keys(name) for name in both}
    assert len({*first["testwg"].values(), *first["other"].values()}) == 4
    stack.write({name: {**interface, "rotation": 2} for name, interface in both.items()})
    stack.up("--target", "**::testwg/**")
    assert all(first["testwg"][host] != key for host, key in stack.public_keys("testwg").items())
    assert stack.public_keys("other") == first["other"]
    assert stack.hosts["h1"].public_key("other") == first["other"]["h1"]
    assert stack.changed() == {"update": 7}
    assert all(stack.hosts[host].public_key("other") == key for host, key in stack.public_keys("other").items())


def test_one_number_rotates_all_keys_of_all_interfaces(make_stack: Maker) -> None:
    """And the number before brings them back."""
    stack, both = _two_meshes(make_stack)
    first = {name: stack.public_keys(name) for name in both}
    stack.must("config", "set", "mesh:rotation", "2")
    assert "h1 key is regenerated: rotation of all interfaces 1 becomes 2" in stack.must("preview").output
    stack.up()
    second = {name: stack.public_keys(name) for name in both}
    assert not {*first["testwg"].values(), *first["other"].values()} & {
        *second["testwg"].values(),
        *second["other"].values(),
    }
    stack.must("config", "set", "mesh:rotation", "1")
    stack.up()
    assert {name: stack.public_keys(name) for name in both} == first


def test_a_configuration_has_no_place_for_credentials() -> None:
    """How the operator authenticates is no input, so it cannot be a difference."""
    assert set(Configuration.model_fields) == {"hosts", "interfaces", "rotation"}
