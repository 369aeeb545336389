"""Enrolment: a remote command puts a host's private key beside the running one.

The host does not switch to it yet, and there is no `delete`: replacing or tainting an enrolment can never wipe a host.
The rollout installs WireGuard, and does all that concerns more than one host.
"""

import asyncio
import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from pulumi import (
    ErrorHook,
    ErrorHookArgs,
    Input,
    Output,
    ResourceHook,
    ResourceHookArgs,
    ResourceHookBinding,
    ResourceOptions,
    log,
)
from pulumi.runtime import is_dry_run
from pulumi_command import remote

from mesh.config.connection import Connection
from mesh.config.models import Bastion, SshSettings
from mesh.errors import HostError, UnreachableHostError
from mesh.remote import host_program
from mesh.remote.command_agent import AGENT_LINK
from mesh.remote.concurrency import run_apart
from mesh.remote.ssh_errors import explain_command_error

__all__ = ["enrol", "explain_failures"]

# The plugin would try again ten times on any error, refused keys included, and a host may lock us out for that. The
# number is in every state, where another one would enrol every host again.
_DIAL_ERRORS = 2
_RETRIES = 2
# Errors of a login that was cut off, for a moment or for a reason that the plugin does not pass on.
_CUT_OFF = re.compile(r"EOF|connection reset|broken pipe|connection closed|disconnect", re.IGNORECASE)
_SECONDS = 30
_SUDO = "sudo -n "


def command(interface: str, *, sudo: bool, installation: int = 1) -> str:
    """Return the text that stores the private key on its standard input; it never holds a secret.

    It is constant for one installation of a host, and another one has to be told apart, since its text is what changes.
    """
    folder = f"{host_program.DIRECTORY}/{interface}/enrolled"
    script = (
        f"set -eu; umask 077; mkdir -p {folder}; cd {folder}; cat >private-key.new; "
        # A full disk may cut the key off, and a cut key must not be taken for one.
        '[ "$(wc -c <private-key.new)" -eq 44 ] || '
        '{ echo "the private key did not arrive whole; is the disk full?" >&2; exit 1; }; '
        "mv private-key.new private-key"
    )
    name = f" installation-{installation}" if installation > 1 else ""
    return f"{_SUDO if sudo else ''}timeout {_SECONDS} sh -c {shlex.quote(script)}{name}"


def _connection(ssh: SshSettings, real: Callable[[Any], Any]) -> remote.ConnectionArgs:
    def way(machine: Bastion) -> dict[str, Any]:
        return {
            "host": real(machine.address),
            "port": machine.port,
            "user": machine.user,
            "host_key": real(machine.host_key),
            "agent_socket_path": AGENT_LINK,
            "dial_error_limit": _DIAL_ERRORS,
        }

    bastion = ssh.bastion
    return remote.ConnectionArgs(**way(ssh), proxy=remote.ProxyConnectionArgs(**way(bastion)) if bastion else None)


async def _explain(failure: ErrorHookArgs) -> bool:
    """Explain a failure of the plugin in our words; try again only after a login of ours shows that this may help."""
    words = explain_command_error(failure.errors[0])
    if words is None and _CUT_OFF.search(failure.errors[0]) and len(failure.errors) <= _RETRIES:
        # The plugin keeps what a host says at a login to itself, so another login asks for it.
        from mesh.remote.ssh import find_refusal, unless_cut_off  # noqa: PLC0415

        await asyncio.sleep(len(failure.errors))
        way = await _way_of(failure.new_inputs)
        try:
            words = await unless_cut_off(lambda: run_apart(lambda: find_refusal(way)))
        except UnreachableHostError as error:
            words = error.message
        if words is None:
            return True
    if words:
        _, host, _ = failure.name.split("/")
        log.error(f"host {host!r}: {words}")
    return False


async def _try(change: ResourceHookArgs) -> None:
    """Log in by ourselves first: the plugin cannot tell why a host runs no command, and the state keeps what it prints.

    Raises:
        HostError: With the reason.
    """
    # It brings the SSH library in, which a run that enrols nobody does without.
    from mesh.remote.commands import try_command  # noqa: PLC0415
    from mesh.remote.ssh import unless_cut_off  # noqa: PLC0415

    inputs = change.new_inputs or {}
    interface, host, _ = change.name.split("/")
    if "stdin" not in inputs:
        raise HostError(host, f"the run leaves out its key; let it have '**::{interface}/{host}/key' too")
    way, sudo = await _way_of(inputs), inputs["create"].startswith(_SUDO)
    await unless_cut_off(lambda: run_apart(lambda: try_command(host, way, sudo=sudo)))


async def _way_of(inputs: Mapping[str, Any] | None) -> Connection:
    # The plugin's SDK makes a secret of it.
    return _way(await Output.from_input((inputs or {})["connection"]).future() or {})


def _way(connection: Mapping[str, Any]) -> Connection:
    """Return the connection of a command in the words of the stack file."""

    def place(connection: Mapping[str, Any]) -> Connection:
        return {
            "address": connection["host"],
            "port": int(connection["port"]),
            "user": connection["user"],
            "sudo": False,
            "hostKey": connection["hostKey"],
        }

    proxy = connection.get("proxy")
    return {**place(connection), "bastion": place(proxy)} if proxy else place(connection)


def explain_failures(interface: str) -> ResourceHookBinding:
    """Return the hooks by which the enrolments of `interface` tell their failures; call it once an interface."""
    login = ResourceHook(f"{interface}/login", _try)
    explained = [ErrorHook(f"{interface}/explain", _explain)]
    return ResourceHookBinding(before_create=[login], before_update=[login], on_error=explained)


def enrol(
    name: str,
    *,
    interface: str,
    ssh: SshSettings,
    private_key: Input[str],
    installation: Input[int],
    real: Callable[[Any], Any],
    opts: ResourceOptions | None = None,
) -> remote.Command:
    """Return the command resource that enrols one host on one interface, and again for each new `installation`.

    `real` puts in values of `ssh` that were not known to the plan.
    """
    secret = ResourceOptions(additional_secret_outputs=["stdout", "stderr", "stdin"])
    return remote.Command(
        name,
        connection=_connection(ssh, real),
        create=Output.from_input(installation).apply(
            lambda count: command(interface, sudo=ssh.uses_sudo, installation=count)
        ),
        # What a preview knows of it is a secret as it comes. Made one there before it is known, it would be to
        # `up --plan` another value than the key that is made, and the engine would print both.
        stdin=private_key if is_dry_run() else Output.secret(private_key),
        logging=remote.Logging.NONE,
        add_previous_output_in_env=False,
        opts=ResourceOptions.merge(secret, opts),
    )
