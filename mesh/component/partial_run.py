"""Which resources a run leaves out: new ones that `--target` or `--exclude` skips, and those that fail.

A resource that needs such a one must not name it as a dependency: the engine would store that, and could not read the
state again ("snapshot integrity"). It gets the names instead, and refuses where it has work to do.
"""

import asyncio
from collections.abc import Awaitable, Collection, Mapping
from typing import Any

from pulumi import CustomResource, Output, Resource
from pulumi.runtime import is_dry_run

__all__ = ["find_left_out", "public_key", "unless_left_out", "value_of", "without"]

LeftOut = Awaitable[Collection[str]]


def find_left_out(resources: Mapping[str, CustomResource]) -> LeftOut:
    """Return the hosts whose resource is not in the state after this run; in a preview that cannot be told."""

    async def find() -> list[str]:
        if is_dry_run():
            return []
        return sorted([host for host, resource in resources.items() if not await resource.id.is_known()])

    # More than one resource waits for the answer.
    return asyncio.ensure_future(find())


def without(left_out: LeftOut, resources: Mapping[str, Resource]) -> Awaitable[list[Resource]]:
    """Return the resources to depend on: those that are not left out."""

    async def choose() -> list[Resource]:
        missing = await left_out
        return [resource for host, resource in resources.items() if host not in missing]

    return asyncio.ensure_future(choose())


async def value_of(resource: CustomResource, value: Output[Any], otherwise: Any) -> Any:
    """Return `value`, which comes from the resource, or `otherwise` where that is left out, so that nothing depends."""
    return value if is_dry_run() or await resource.id.is_known() else otherwise


async def public_key(left_out: LeftOut, host: str, key: Output[str]) -> Output[str] | str:
    """Return the public key, or an empty text, on which nothing depends, where the key pair is left out."""
    return "" if host in await left_out else key


def unless_left_out(output: Output[Any], resource: CustomResource) -> Output[Any]:
    """Return `output`, or None where the run leaves out the resource that it comes from."""
    return Output.from_input(value_of(resource, output, None))
