"""A host gets another name, or another way by SSH."""

import pytest

from mesh.wireguard.addressing import derive_subnet, host_address
from tests.rehearsed.conftest import Maker
from tests.rehearsed.stack import RehearsedStack

HOSTS = ["h1", "h2", "h3"]


@pytest.fixture
def stack(make_stack: Maker) -> RehearsedStack:
    """Return a running mesh of h1, h2 and h3."""
    stack = make_stack(3)
    stack.write({"testwg": {"hosts": HOSTS, "deadline": 10}})
    stack.up()
    return stack


def rename(stack: RehearsedStack, *, formerly: bool, fixed: str = "", rotation: int = 1) -> None:
    """Call the machine that was h2 db, in the stack file and as the stand-in that it is."""
    if "h2" in stack.hosts.by_name:
        host = stack.hosts.by_name.pop("h2")
        stack.hosts.by_name = {"h1": stack.hosts["h1"], "db": host, "h3": stack.hosts["h3"]}
        host.name = "db"
    members = {"db": {"address": fixed}} if fixed else {}
    stack.write(
        {"testwg": {"hosts": ["h1", "db", "h3"], "deadline": 10, "members": members, "rotation": rotation}},
        entries={"db": {"formerly": "h2"}} if formerly else {},
    )


def preshared_keys(stack: RehearsedStack) -> set[str]:
    """Return the preshared keys that run."""
    kernels = [host.interfaces["testwg"].kernel for host in stack.hosts.by_name.values()]
    return {key for kernel in kernels if kernel for key in kernel["preshared-keys"]}


def test_a_renamed_host_keeps_its_keys_and_gets_the_address_of_its_name(stack: RehearsedStack) -> None:
    """It neither joins nor leaves, nothing is enrolled or wiped, and the former name may go from the file later."""
    keys, preshared = stack.public_keys(), preshared_keys(stack)
    rename(stack, formerly=True)
    enrolled = stack.hosts["db"].orders.count("enrol")
    address = {name: host_address(derive_subnet(name, "testwg")) for name in ("h2", "db")}
    preview = stack.must("preview").text
    assert "~ db was h2, and keeps its key" in preview
    assert f"~ db address: {address['h2']} becomes {address['db']}" in preview
    assert "joins" not in preview
    assert "leaves" not in preview
    changes = stack.changed()
    assert set(changes) == {"update"}
    assert stack.public_keys() == {"h1": keys["h1"], "db": keys["h2"], "h3": keys["h3"]}
    assert {host.public_key("testwg") for host in stack.hosts.by_name.values()} == set(keys.values())
    assert preshared_keys(stack) == preshared
    assert "wipe" not in stack.hosts["db"].orders
    assert stack.hosts["db"].orders.count("enrol") == enrolled
    assert stack.changed() == {}
    rename(stack, formerly=False)
    assert stack.changed() == {}


def test_a_renamed_host_can_keep_its_address(stack: RehearsedStack) -> None:
    """As a fixed one; then hosts run what they ran before."""
    rename(stack, formerly=True, fixed=str(host_address(derive_subnet("h2", "testwg"))))
    preview = stack.must("preview").text
    assert "~ db was h2, and keeps its key" in preview
    assert "db address" not in preview
    stack.up()
    assert stack.hosts["db"].interfaces["testwg"].kernel["address"] == str(host_address(derive_subnet("h2", "testwg")))  # type: ignore[index]


@pytest.mark.parametrize("fails", [False, True])
def test_a_host_that_is_renamed_while_keys_are_rotated_reads_as_one_host(stack: RehearsedStack, fails: bool) -> None:
    """Also after a run that recorded it and failed; nobody joins, leaves or is wiped."""
    keys = stack.public_keys()
    rename(stack, formerly=True, rotation=2)
    if fails:
        stack.hosts["h1"].fail_at = "facts"
        assert stack.run("up", "--yes", "--skip-preview").code != 0
        stack.hosts["h1"].fail_at = ""
    preview = stack.must("preview").text
    assert "~ db was h2\n" in preview
    assert f"~ db key: {keys['h2'][:8]}… becomes " in preview
    assert "joins" not in preview
    assert "leaves" not in preview
    stack.up()
    assert "wipe" not in stack.hosts["db"].orders
    assert set(stack.public_keys().values()).isdisjoint(keys.values())


def test_a_host_that_was_reinstalled_once_is_not_enrolled_by_its_new_name(stack: RehearsedStack) -> None:
    """It goes on by its count; also without its former name, once a refresh has seen it."""
    stack.hosts["h2"].interfaces.clear()
    stack.up("--refresh")
    enrolled = stack.hosts["h2"].orders.count("enrol")
    assert enrolled > 1
    rename(stack, formerly=True)
    stack.up()
    assert stack.changed("--refresh") == {}
    rename(stack, formerly=False)
    assert stack.changed() == {}
    assert stack.hosts["db"].orders.count("enrol") == enrolled
    stack.hosts["db"].interfaces.clear()
    assert stack.changed("--refresh") == {"update": 2}
    assert stack.hosts["db"].orders.count("enrol") == enrolled + 1


def test_a_host_that_is_renamed_without_a_word_is_another_host_on_the_same_machine(stack: RehearsedStack) -> None:
    """It gets another key, and is not wiped as the leaver that it seems to be."""
    keys, preshared = stack.public_keys(), preshared_keys(stack)
    rename(stack, formerly=False)
    assert (
        "its machine is db now (which would keep its key with formerly: h2 in mesh:hosts.db)"
        in stack.must("preview").text
    )
    stack.up()
    assert stack.public_keys()["db"] != keys["h2"]
    assert stack.hosts["db"].public_key("testwg") == stack.public_keys()["db"]
    assert preshared_keys(stack).isdisjoint(preshared)
    assert "wipe" not in stack.hosts["db"].orders
    assert stack.plan()["notWiped"] == []
    assert stack.changed() == {}


def test_another_way_by_ssh_changes_nothing_on_the_mesh(stack: RehearsedStack) -> None:
    """Another name for the address, another user: hosts are asked for nothing but the look before."""
    before = {name: list(host.orders) for name, host in stack.hosts.by_name.items()}
    stack.write(
        {"testwg": {"hosts": HOSTS, "deadline": 10}},
        h2={"address": "localhost"},
        h3={"user": "operator", "sudo": False},
    )
    assert set(stack.changed()) == {"update"}
    after = {name: host.orders[len(before[name]) :] for name, host in stack.hosts.by_name.items()}
    assert [order for orders in after.values() for order in orders if order != "enrol"] == []
    assert stack.changed() == {}
