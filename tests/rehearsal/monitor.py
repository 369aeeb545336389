"""The monitor that the program registers its resources with, where an engine would be."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Condition
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict  # type: ignore[import-untyped,unused-ignore]
from google.protobuf.struct_pb2 import Struct  # type: ignore[import-untyped,unused-ignore]
from pulumi import get_project, get_stack
from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks, is_dry_run
from pulumi.runtime.mocks import MockMonitor
from pulumi.runtime.proto import resource_pb2

from mesh.errors import MeshError
from tests.rehearsal.providers import Provider, provider_for
from tests.rehearsal.state import Entry, State, in_clear

__all__ = ["Monitor", "StoppedError"]

_SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}

_STACK = "pulumi:pulumi:Stack"


class StoppedError(Exception):
    """A resource failed, so nothing new is begun."""


class _Functions(Mocks):
    """The one function that the program calls: it reads the outputs of its own stack."""

    def __init__(self, state: State) -> None:
        self._state = state

    def call(self, args: MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        if args.token != "pulumi:pulumi:readStackOutputs":  # noqa: S105 - the name of a function
            raise NotImplementedError(args.token)
        return {"name": args.args["name"], "outputs": self._state.outputs}, []

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        raise NotImplementedError(args.name)


class Monitor(MockMonitor):
    """Makes each registered resource so, and remembers it; in a preview it only tells what would be done."""

    def __init__(self, state: State, config: Mapping[str, str]) -> None:
        """Begin with what `state` holds of earlier runs."""
        super().__init__(_Functions(state))
        self._state, self._config = state, config
        self._old = dict(state.entries)
        self._settled = Condition()
        self._at_work = 0
        self.done: Counter[str] = Counter()
        self.outputs: dict[str, Any] = {}
        self.failures: list[str] = []

    @property
    def left(self) -> list[Entry]:
        """The resources of earlier runs that this one did not register, those that depend on others first."""
        return list(reversed(self._old.values()))

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """Return the URN that the engine would give."""
        of_parent = parent.split("::")[2] if parent else _STACK
        path = type_ if of_parent == _STACK else f"{of_parent}${type_}"
        return f"urn:pulumi:{get_stack()}::{get_project()}::{path}::{name}"

    def wait(self) -> None:
        """Return when nothing is at work any more, which a failure elsewhere does not cut off."""
        with self._settled:
            self._settled.wait_for(lambda: not self._at_work)

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - as the SDK names it
        """Create or update a resource, or leave it alone, and answer with its outputs."""
        urn = self.make_urn(request.parent, request.type, request.name)
        if not request.custom:
            return resource_pb2.RegisterResourceResponse(urn=urn)
        inputs = in_clear(MessageToDict(request.object))
        with self._settled:
            if self.failures:
                raise StoppedError
            self._at_work += 1
            known = [urn, *(self.make_urn(request.parent, request.type, each.spec.name) for each in request.aliases)]
            found = [self._old.pop(name) for name in known if name in self._old]
        try:
            provider = provider_for(request.type, inputs, self._config)
            entry = self._settle(provider, urn, request.type, inputs, found[0] if found else None)
        except MeshError as error:
            self.failures.append(str(error))
            raise StoppedError from None
        finally:
            with self._settled:
                self._at_work -= 1
                self._settled.notify_all()
        shown = {
            name: {**_SECRET, "value": value} if name in request.additionalSecretOutputs else value
            for name, value in entry.outputs.items()
        }
        return resource_pb2.RegisterResourceResponse(urn=urn, id=entry.id, object=ParseDict(shown, Struct()))

    def _settle(self, provider: Provider, urn: str, type_: str, inputs: dict[str, Any], old: Entry | None) -> Entry:
        entry = Entry(urn, type_, old.id if old else "", inputs, old.outputs if old else {})
        action = "create" if old is None else "update" if provider.differs(old, inputs) else "same"
        with self.tells(action, entry.name):
            if is_dry_run():
                # What it will have is not known, but for what it is told.
                entry.outputs = entry.outputs if action == "same" else inputs
                return entry
            if old is None:
                entry.id, entry.outputs = provider.create(entry.name, inputs)
            elif action == "update":
                entry.outputs = provider.update(old, inputs)
        with self._settled:
            if old:
                self._state.entries.pop(old.urn)
            self._state.entries[urn] = entry
            self._state.save()
        return entry

    @contextmanager
    def tells(self, action: str, name: str) -> Iterator[None]:
        """Print what is done, and count it."""
        self.done[action] += 1
        if action != "same":
            sys.stderr.write(f"rehearsal: {action} {name}\n")
            sys.stderr.flush()
        yield

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 - as the SDK names it
        """Print what the stack tells, but for secrets, and remember it, once the whole run has succeeded."""
        if f"::{_STACK}::" in request.urn:
            outputs = MessageToDict(request.outputs)
            self.outputs = in_clear(outputs)
            for name, value in outputs.items():
                if value == self.outputs[name]:
                    sys.stderr.write(f"rehearsal: output {name} {json.dumps(value)}\n")
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]
