"""Run the program once without an engine: each resource is executed as it is registered, and no state is kept.

This is for machines where pulumi cannot be had. It shows that the program works; a change of a mesh needs the engine.
"""

import asyncio
import base64
import json
import os
import runpy
import secrets
import sys
from pathlib import Path
from typing import Any

import dill  # type: ignore[import-untyped,unused-ignore]
import pulumi
from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks, set_all_config, set_mocks
from pulumi.runtime.rpc import is_rpc_secret, unwrap_rpc_secret

from mesh.cli.stack_file import StackFile
from mesh.errors import MeshError
from mesh.remote.commands import run_command
from mesh.remote.concurrency import run

ROOT = Path(__file__).parents[1]


def _in_clear(value: Any) -> Any:
    if is_rpc_secret(value):
        return _in_clear(unwrap_rpc_secret(value))
    if isinstance(value, dict):
        return {name: _in_clear(item) for name, item in value.items()}
    return [_in_clear(item) for item in value] if isinstance(value, list) else value


def _execute_command(name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    def connection(settings: dict[str, Any]) -> dict[str, Any]:
        return {**settings, "address": settings["host"], "sudo": False}

    settings: Any = connection(inputs["connection"])
    proxy = inputs["connection"].get("proxy")
    settings["bastion"] = connection(proxy) if proxy else None
    stdout = run(lambda: run_command(name, settings, inputs["create"], inputs.get("stdin", "")))
    return {**inputs, "stdout": stdout, "stderr": ""}


class Executing(Mocks):
    """Create what the program registers, as the engine and its plugins would."""

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        """Create one resource and return its id and outputs."""
        sys.stdout.write(f"rehearsal: {args.name}\n")
        inputs = _in_clear(args.inputs)
        if "__provider" in inputs:
            # The registration is the program's own, a few lines up the stack.
            provider = dill.loads(base64.b64decode(inputs["__provider"]))  # noqa: S301
            created = provider.create(inputs)
            return created.id, created.outs
        if args.typ == "command:remote:Command":
            return args.name, _execute_command(args.name, inputs)
        if args.typ == "random:index/randomId:RandomId":
            number = secrets.token_bytes(int(inputs["byteLength"])).hex()
            return number, {**inputs, "hex": number}
        return args.name, inputs

    def call(self, args: MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        """Answer a function of a provider; the program calls none."""
        raise NotImplementedError(args.token)


async def rehearse(stack: Path) -> None:
    """Run the program on the stack file at `stack`; raises what the program raises."""
    config = StackFile(stack).content["config"]
    set_all_config({name: value if isinstance(value, str) else json.dumps(value) for name, value in config.items()})
    set_mocks(Executing(), project="mesh", stack="lab", preview=False)
    runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    await pulumi.runtime.stack.wait_for_rpcs()


def main() -> None:
    """Rehearse; an expected failure is one message."""
    try:
        asyncio.run(rehearse(Path(sys.argv[1])))
    except (MeshError, pulumi.RunError) as error:
        sys.stderr.write(f"rehearsal: {error}\n")
        sys.stderr.flush()
        # The SDK's other waiting tasks would each repeat the failure, with a trace, as the interpreter ends.
        os._exit(1)


if __name__ == "__main__":
    main()
