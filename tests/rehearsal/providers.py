"""What each type of resource does when it is made, changed, looked at and taken away."""

import asyncio
import base64
import secrets
import subprocess
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import dill  # type: ignore[import-untyped,unused-ignore]
from google.protobuf.json_format import MessageToDict, ParseDict  # type: ignore[import-untyped,unused-ignore]
from google.protobuf.struct_pb2 import Struct  # type: ignore[import-untyped,unused-ignore]
from pulumi.dynamic import Config, ConfigureRequest, ResourceProvider
from pulumi.runtime.rpc import deserialize_properties, serialize_properties

from mesh.remote.commands import run_command
from mesh.remote.concurrency import run
from tests.rehearsal.state import Entry, in_clear

__all__ = ["Provider", "provider_for"]

Values = dict[str, Any]
_PICKLED = "__provider"


class Provider:
    """A resource that changes with any of its inputs, and that nothing changes but a run."""

    def create(self, name: str, inputs: Values) -> tuple[str, Values]:
        """Make it; return its id and outputs."""
        raise NotImplementedError(name)

    def differs(self, old: Entry, inputs: Values) -> bool:
        """Tell whether it has to be changed to be as `inputs` say."""
        return old.inputs != inputs

    def update(self, old: Entry, inputs: Values) -> Values:
        """Change it; return its outputs."""
        return self.create(old.name, inputs)[1]

    def read(self, old: Entry) -> Values:
        """Return its outputs as they are now."""
        return old.outputs

    def delete(self, old: Entry) -> None:
        """Take it away."""


class Dynamic(Provider):
    """One of the program's own providers, which gets and returns what the engine would hand over."""

    def __init__(self, pickled: str, config: Mapping[str, str]) -> None:
        """Unpickle it when it is first asked, and tell it the stack's configuration."""
        self._pickled, self._config = pickled, dict(config)

    @cached_property
    def _provider(self) -> ResourceProvider:
        # The registration is the program's own, a few lines up the stack.
        provider: ResourceProvider = dill.loads(base64.b64decode(self._pickled))  # noqa: S301
        provider.configure(ConfigureRequest(Config(self._config, "mesh")))
        return provider

    def create(self, name: str, inputs: Values) -> tuple[str, Values]:
        """Let the provider make it."""
        made = self._provider.create(_received(inputs))
        assert made.id, name
        return made.id, self._sent(made.outs)

    def differs(self, old: Entry, inputs: Values) -> bool:
        """Let the provider compare, unknown values included."""
        return bool(self._provider.diff(old.id, _received(old.outputs), _received(inputs)).changes)

    def update(self, old: Entry, inputs: Values) -> Values:
        """Let the provider change it."""
        return self._sent(self._provider.update(old.id, _received(old.outputs), _received(inputs)).outs)

    def read(self, old: Entry) -> Values:
        """Let the provider look at it."""
        if type(self._provider).read is ResourceProvider.read:
            return old.outputs
        return self._sent(self._provider.read(old.id, _received(old.outputs)).outs)

    def delete(self, old: Entry) -> None:
        """Let the provider take it away."""
        self._provider.delete(old.id, _received(old.outputs))

    def _sent(self, outputs: Mapping[str, Any] | None) -> Values:
        serialized = asyncio.run(serialize_properties({**(outputs or {}), _PICKLED: self._pickled}, {}))
        values: Values = in_clear(MessageToDict(serialized))
        return values


def _received(values: Values) -> Values:
    received: Values = deserialize_properties(ParseDict(values, Struct()), True)
    return received


def _has(old: Any, new: Any) -> bool:
    """Tell whether all of `new` is in `old`, which may have what a plugin adds by itself."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return all(name in old and _has(old[name], value) for name, value in new.items())
    return bool(old == new)


class RemoteCommand(Provider):
    """A command over SSH, run when it is made and each time it changes."""

    def differs(self, old: Entry, inputs: Values) -> bool:
        """Tell whether it has to be run again."""
        return not _has(old.inputs, inputs)

    def create(self, name: str, inputs: Values) -> tuple[str, Values]:
        """Run it with what it takes as its input."""

        def way(settings: Values) -> Values:
            return {**settings, "address": settings["host"], "sudo": False}

        proxy = inputs["connection"].get("proxy")
        connection: Any = {**way(inputs["connection"]), "bastion": way(proxy) if proxy else None}
        # An enrolment is named after its interface and its host.
        host = name.split("/")[1] if name.count("/") == 2 else name
        output = run(lambda: run_command(host, connection, inputs["create"], inputs.get("stdin", "")))
        return name, {**inputs, "stdout": output, "stderr": ""}


class LocalCommand(Provider):
    """A command on this machine, of a program of the user's own."""

    def create(self, name: str, inputs: Values) -> tuple[str, Values]:
        """Run it."""
        done = subprocess.run(["sh", "-c", inputs["create"]], capture_output=True, text=True, check=True)
        return name, {**inputs, "stdout": done.stdout, "stderr": done.stderr}


class RandomId(Provider):
    """Random bytes that stay."""

    def create(self, name: str, inputs: Values) -> tuple[str, Values]:
        """Draw them; `name` tells nothing."""
        assert name
        number = secrets.token_bytes(int(inputs["byteLength"])).hex()
        return number, {**inputs, "hex": number}


_OTHERS = {
    "command:remote:Command": RemoteCommand,
    "command:local:Command": LocalCommand,
    "random:index/randomId:RandomId": RandomId,
}


def provider_for(type_: str, values: Values, config: Mapping[str, str]) -> Provider:
    """Return what makes resources of a type; `values` are the inputs, or the outputs of one that exists.

    Raises:
        NotImplementedError: If it is a type that neither the program nor a test of its component registers.
    """
    if pickled := values.get(_PICKLED):
        return Dynamic(pickled, config)
    if type_ not in _OTHERS:
        raise NotImplementedError(f"rehearsal: {type_}")
    return _OTHERS[type_]()
