"""The resource graph under pulumi's mocks: names, types, parents, dependencies, secrets and stored provider code."""

import asyncio
import base64
import gc
import sys
import warnings
from dataclasses import dataclass, field
from typing import Any

import dill  # type: ignore[import-untyped]
import pulumi
import pulumi.runtime
import pytest
from pulumi.runtime.mocks import MockMonitor
from pulumi.runtime.stack import wait_for_rpcs

from mesh import providers
from mesh.component.mesh import build_meshes
from mesh.config.adopted import Adopted
from mesh.config.reader import read_configuration
from mesh.wireguard.keys import generate_key_pair, generate_preshared_key, public_key_of
from tests.conftest import HOST_KEY

# The SDK drops event loops without closing them, and one that is collected in a later test is none of its faults.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <function BaseEventLoop.__del__:pytest.PytestUnraisableExceptionWarning"
)

PRIVATE_KEYS = [generate_key_pair().private_key for _ in range(20)]
PRESHARED = generate_preshared_key()


@dataclass
class Graph(pulumi.runtime.Mocks):
    """Every registration, and the dependencies of each."""

    resources: dict[str, pulumi.runtime.MockResourceArgs] = field(default_factory=dict)
    requests: dict[str, Any] = field(default_factory=dict)

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        """Answer as the providers would, with keys that the test knows."""
        self.resources[args.name] = args
        outputs = dict(args.inputs)
        if args.typ.endswith(":KeyPair"):
            private = PRIVATE_KEYS[sum(name.endswith("/key") for name in self.resources)]
            outputs |= {"privateKey": private, "publicKey": public_key_of(private), "createdAt": "2026-01-01T00:00:00Z"}
        elif args.typ.endswith(":PresharedKey"):
            outputs |= {"presharedKey": PRESHARED, "createdAt": "2026-01-01T00:00:00Z"}
        elif args.typ.endswith(":Survey"):
            outputs |= {"installations": {}}
        elif args.typ.endswith(":RandomId"):
            outputs |= {"hex": "0123456789abcdef"}
        return f"{args.name}-id", outputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        """Answer no invocation; there is none."""
        raise AssertionError(args.token)


def register(count: int, adopted: Adopted | None = None) -> Graph:
    """Return what a mesh of so many hosts registers."""
    names = ["bernard", "edgeworth", *(f"h{number}" for number in range(count - 2))]
    hosts = {
        name: {"externalIps": [f"78.11.11.{number}"], "ssh": {"address": f"10.0.0.{number}", "hostKey": HOST_KEY}}
        for number, name in enumerate(names, 1)
    }
    configuration = read_configuration(hosts, {"testwg": {"hosts": names}})
    graph = Graph()

    register_resource: Any = MockMonitor.RegisterResource

    def record(monitor: MockMonitor, request: Any) -> Any:
        graph.requests[request.name] = request
        return register_resource(monitor, request)

    async def program() -> None:
        pulumi.runtime.set_mocks(graph, project="mesh", stack="test", preview=False)
        build_meshes(configuration, adopted or Adopted(), {})
        await wait_for_rpcs()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MockMonitor, "RegisterResource", record)
        # The SDK drops event loops without closing them; collected here, they disturb no other test.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            asyncio.run(program())
            gc.collect()
    return graph


@pytest.fixture(scope="module")
def graph() -> Graph:
    """Return the registrations of the seed's two hosts."""
    return register(2)


def test_names_and_types_are_the_stored_format(graph: Graph) -> None:
    """They are in the state of every user: a change here needs aliases."""
    dynamic = "pulumi-python:dynamic/mesh"
    assert {name: args.typ for name, args in graph.resources.items()} == {
        "testwg": "mesh:index:Mesh",
        "testwg/identity": "random:index/randomId:RandomId",
        "testwg/preshared-key": f"{dynamic}:PresharedKey",
        "testwg/bernard/key": f"{dynamic}:KeyPair",
        "testwg/edgeworth/key": f"{dynamic}:KeyPair",
        "testwg/bernard/enrol": "command:remote:Command",
        "testwg/edgeworth/enrol": "command:remote:Command",
        "testwg/survey": f"{dynamic}:Survey",
        "testwg/roster": f"{dynamic}:Roster",
        "testwg/rollout": f"{dynamic}:Rollout",
    }


def test_every_resource_is_a_child_of_its_mesh(graph: Graph) -> None:
    """So that `--target '**::testwg/**'` is one mesh."""
    parents = {request.parent.split("::")[-1] for name, request in graph.requests.items() if name.startswith("testwg/")}
    assert parents == {"testwg"}


def dependencies(graph: Graph) -> int:
    """Return how many dependency URNs the state would hold, by resource and by property."""
    return sum(
        len(request.dependencies) + sum(len(by.urns) for by in request.propertyDependencies.values())
        for request in graph.requests.values()
    )


def test_dependencies_grow_with_the_hosts_and_not_with_their_square() -> None:
    """Else the state of a thousand hosts would be nothing but dependencies."""
    two, six, ten = (dependencies(register(count)) for count in (2, 6, 10))
    assert two > 0
    assert ten - six == six - two


def test_no_resource_records_where_the_program_made_it(graph: Graph) -> None:
    """A quarter of the state would be call stacks, with paths of the operator's machine; a bug still shows its own."""
    ours = {name: request for name, request in graph.requests.items() if name.startswith("testwg")}
    assert len(ours) == 10
    assert not [name for name, request in ours.items() if request.stackTrace.frames or request.sourcePosition.uri]
    assert not hasattr(sys, "tracebacklimit")


def test_the_rollout_waits_for_every_enrolment(graph: Graph) -> None:
    """A host that cannot be enrolled leaves every host as it was."""
    waits = {urn.split("::")[-1] for urn in graph.requests["testwg/rollout"].dependencies}
    assert {"testwg/bernard/enrol", "testwg/edgeworth/enrol", "testwg/roster"} <= waits


def in_clear(request: Any) -> str:
    """Return the inputs of a registration without the values that are marked as secret."""

    def strip(value: Any) -> Any:
        if hasattr(value, "fields"):
            secret = "4dabf18193072939515e22adb298388d" in value.fields
            return "[secret]" if secret else {name: strip(entry) for name, entry in value.fields.items()}
        kind = value.WhichOneof("kind")
        if kind == "struct_value":
            return strip(value.struct_value)
        if kind == "list_value":
            return [strip(entry) for entry in value.list_value.values]
        return getattr(value, kind) if kind else None

    return str(strip(request.object))


def test_no_key_is_in_clear_in_any_input() -> None:
    """Made and adopted ones; the public keys are, which shows that the inputs were really read."""
    key = generate_key_pair()
    graph = register(2, Adopted({("testwg", "bernard"): key.private_key}, {"testwg": PRESHARED}))
    text = "".join(in_clear(request) for request in graph.requests.values())
    assert public_key_of(PRIVATE_KEYS[1]) in text
    assert "[secret]" in text
    assert not [secret for secret in (*PRIVATE_KEYS, key.private_key, PRESHARED) if secret in text]


def test_outputs_with_keys_are_declared_secret(graph: Graph) -> None:
    """The provider hands them back in clear; the declaration is what encrypts them."""
    declared = {name: set(request.additionalSecretOutputs) for name, request in graph.requests.items()}
    assert {"privateKey", "kept", "adopted"} <= declared["testwg/bernard/key"]
    assert {"presharedKey", "kept", "adopted"} <= declared["testwg/preshared-key"]
    assert {"presharedKey"} <= declared["testwg/rollout"]
    assert {"stdin", "stdout", "stderr"} <= declared["testwg/bernard/enrol"]


@pytest.mark.parametrize(
    ("name", "provider", "stored"),
    [
        (
            "testwg/bernard/key",
            "KeyPairProvider",
            "gASVKQAAAAAAAACMDm1lc2gucHJvdmlkZXJzlIwPS2V5UGFpclByb3ZpZGVylJOUKYGULg==",
        ),
        (
            "testwg/preshared-key",
            "PresharedKeyProvider",
            "gASVLgAAAAAAAACMDm1lc2gucHJvdmlkZXJzlIwUUHJlc2hhcmVkS2V5UHJvdmlkZXKUk5QpgZQu",
        ),
        (
            "testwg/survey",
            "SurveyProvider",
            "gASVKAAAAAAAAACMDm1lc2gucHJvdmlkZXJzlIwOU3VydmV5UHJvdmlkZXKUk5QpgZQu",
        ),
        (
            "testwg/roster",
            "RosterProvider",
            "gASVKAAAAAAAAACMDm1lc2gucHJvdmlkZXJzlIwOUm9zdGVyUHJvdmlkZXKUk5QpgZQu",
        ),
        (
            "testwg/rollout",
            "RolloutProvider",
            "gASVKQAAAAAAAACMDm1lc2gucHJvdmlkZXJzlIwPUm9sbG91dFByb3ZpZGVylJOUKYGULg==",
        ),
    ],
)
def test_stored_provider_code_is_a_reference_and_never_a_copy(
    graph: Graph, name: str, provider: str, stored: str
) -> None:
    """A copy would differ with every edit of the code, and every resource of every user with it."""
    blob = graph.resources[name].inputs["__provider"]
    assert blob == stored
    assert len(blob) < 100
    assert isinstance(dill.loads(base64.b64decode(blob)), getattr(providers, provider))  # noqa: S301
