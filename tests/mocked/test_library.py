"""What a program of the user's own may hand to a mesh, and which faults are told before anything is registered."""

import asyncio
import gc
import warnings
from collections.abc import Callable
from typing import Any

import pulumi
import pulumi.runtime
import pytest
from pulumi.runtime.settings import set_root_resource
from pulumi.runtime.stack import wait_for_rpcs

from mesh import Mesh
from mesh.component.deferred import DeferredValues
from tests.conftest import HOST_KEY
from tests.mocked.test_graph import Graph

# The SDK drops event loops without closing them, and one that is collected in a later test is none of its faults.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <function BaseEventLoop.__del__:pytest.PytestUnraisableExceptionWarning"
)


class Asked(Graph):
    """A stack that has no outputs yet."""

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        """Answer what the last run left out."""
        assert args.token == "pulumi:pulumi:readStackOutputs"  # noqa: S105 - a function's name
        return {"outputs": {}}, []


def host(number: int, **more: Any) -> dict[str, Any]:
    """Return the description of a host with plain values."""
    ssh = {"address": f"10.0.0.{number}", "hostKey": HOST_KEY}
    return {"externalIps": [f"78.11.11.{number}"], "ssh": ssh, **more}


def faults_of(program: Callable[[], object]) -> list[str]:
    """Return the faults with which a program ends in a preview."""

    async def run() -> list[str]:
        pulumi.runtime.set_mocks(Asked(), project="mesh", stack="test", preview=True)
        set_root_resource(pulumi.ComponentResource("test:index:Root", "root"))
        with pytest.raises(pulumi.RunError) as raised:
            program()
        await wait_for_rpcs()
        return [line.strip() for line in str(raised.value).splitlines()[1:]]

    # The SDK drops event loops without closing them; collected here, they disturb no other test.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return asyncio.run(run())
        finally:
            set_root_resource(None)  # type: ignore[arg-type]
            gc.collect()


def later(value: object) -> Any:
    """Return an output."""
    return pulumi.Output.from_input(value)


def test_what_stands_for_a_later_address_is_no_address_that_a_host_has() -> None:
    """As in a lab, whose networks are those of RFC 2544 too: the one would get the address of the other."""
    taken = ["198.18.0.1", "198.18.0.3", "2001:2::1"]

    async def replace() -> tuple[Any, Any]:
        pulumi.runtime.set_mocks(Asked(), project="mesh", stack="test", preview=True)
        hosts = {
            "a": host(1, localIps=taken),
            "b": host(2, externalIps=[later("78.11.11.7")]),
            "c": host(3, externalIps=[later("78.11.11.8"), later("2001:db8::8")]),
        }
        deferred = DeferredValues(hosts, {}, lambda _: None)
        replaced = deferred.plain, deferred.real(taken)
        await wait_for_rpcs()
        return replaced

    plain, real = asyncio.run(replace())
    assert real == taken
    stand_ins = [*plain["b"]["externalIps"], *plain["c"]["externalIps"]]
    assert len({*taken, *stand_ins}) == len(taken) + len(stand_ins)


NEEDED = "an output, and the plan needs the value itself; give it as it is"


@pytest.mark.parametrize(
    ("place", "make"),
    [
        ("mesh:interfaces.backend.port", lambda: Mesh("backend", {"a": host(1)}, {"port": later(51900)})),
        (
            "mesh:interfaces.backend.members.a.externalPort",
            lambda: Mesh("backend", {"a": host(1)}, {"members": {"a": {"externalPort": later(1)}}}),
        ),
        ("mesh:interfaces", lambda: Mesh(later("backend"), {"a": host(1)})),
        ("mesh:interfaces.backend", lambda: Mesh("backend", {"a": host(1)}, later({}))),
        ("mesh:hosts", lambda: Mesh("backend", later({"a": host(1)}))),
        ("mesh:hosts.a.ssh", lambda: Mesh("backend", {"a": host(1, ssh=later({}))})),
        ("mesh:adopted.backend", lambda: Mesh("backend", {"a": host(1)}, adopted={"backend": later("x")})),
    ],
)
def test_an_output_where_the_plan_needs_the_value_is_a_fault_at_its_place(
    place: str, make: Callable[[], object]
) -> None:
    """Wherever it is."""
    assert faults_of(make) == [f"{place}: {NEEDED}"]


def test_an_output_of_a_list_is_told_to_be_a_list_of_outputs() -> None:
    """How many addresses there are is a part of the plan."""
    [fault] = faults_of(lambda: Mesh("backend", {"a": host(1, externalIps=later(["78.11.11.1"]))}))
    assert fault.startswith("mesh:hosts.a.externalIps: an output of a list")
    assert fault.endswith("; give a list of outputs")


@pytest.mark.parametrize("address", ["10.0.0.1", "later"])
def test_two_meshes_of_one_program_are_refused_one_port_of_one_machine(address: str) -> None:
    """As two interfaces of a stack file are; each under a name of its own, and also where its address comes later."""

    def program() -> None:
        value = later("10.0.0.1") if address == "later" else address
        for interface, name in (("backend", "a"), ("frontend", "b")):
            Mesh(interface, {name: host(1, ssh={"address": value, "hostKey": HOST_KEY})}, {"port": 51900})

    [fault] = faults_of(program)
    assert fault.startswith("mesh:interfaces.frontend.port: 51900 is the port of interface 'backend' too, on 'b'")
