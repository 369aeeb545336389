"""Before the first resource: end the run in words for a fault, and find the hosts that it has to leave out."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import pulumi

from mesh.config.connection import Connection
from mesh.config.models import Configuration, Interface
from mesh.errors import HostsFailedError, MeshError, UnreachableHostError
from mesh.remote import credentials
from mesh.remote.command_agent import serve_commands
from mesh.remote.concurrency import run
from mesh.remote.reachability import check_reachability
from mesh.remote.ssh_errors import NO_POST_QUANTUM
from mesh.rollout.unreachable import may_skip

__all__ = ["absent_hosts", "faults_end_the_run"]


@contextmanager
def faults_end_the_run() -> Iterator[None]:
    """Turn our errors into the engine's, which it shows without a traceback.

    Raises:
        RunError: With the text of a MeshError from the block.
    """
    try:
        yield
    except MeshError as error:
        raise pulumi.RunError(str(error)) from None


def absent_hosts(configuration: Configuration, unknown: Collection[str] = ()) -> dict[str, set[str]]:
    """Return by interface the hosts that this run leaves out; a preview recalls the last run's, since it asks no host.

    Hosts whose address is `unknown` yet are not checked.

    Raises:
        HostsFailedError: Naming each host that does not answer and may not be skipped.
        MeshError: If there is no key to log in with.
    """
    return _recall_pending() if pulumi.runtime.is_dry_run() else _find_absent(configuration, unknown)


def _find_absent(configuration: Configuration, unknown: Collection[str]) -> dict[str, set[str]]:
    """Stop before anything changes if a host does not answer, since a remote command to a silent one never ends.

    Hosts that every one of their interfaces may skip are named and returned instead, by interface.
    """
    known = credentials.load()
    if known.lack:
        raise MeshError(f"SSH: {known.lack}")
    for note in known.notes:
        pulumi.log.warn(f"SSH: {note}")
    interfaces = configuration.interfaces
    used = {host for interface in interfaces.values() for host in interface.hosts} - set(unknown)
    ways = {host: configuration.hosts[host].ssh.connection() for host in sorted(used)}
    exchanges = _needed_exchanges(interfaces)
    silent = run(lambda: check_reachability(ways, exchanges=exchanges))
    if classical := {host: silent[host] for host in exchanges if silent.get(host) == NO_POST_QUANTUM}:
        raise HostsFailedError(classical, "nothing was changed, since these hosts offer no post-quantum key exchange")
    if known.are_many:
        silent |= _try_logins({host: way for host, way in ways.items() if host not in silent})
    needed = {host for mesh in interfaces.values() if not may_skip(mesh.unreachable) for host in mesh.hosts}
    if stopping := {host: reason for host, reason in silent.items() if host in needed}:
        raise HostsFailedError(stopping, "nothing was changed, since not every host answers")
    for host, reason in sorted(silent.items()):
        pulumi.log.warn(
            f"host {host!r}: {reason}. It is left out, and gets its change in the first up after its return"
        )
    serve_commands(tuple(credentials.prefer(known.identities)[: credentials.OFFERED]))
    return {name: silent.keys() & set(interface.hosts) for name, interface in interfaces.items()}


def _needed_exchanges(interfaces: Mapping[str, Interface]) -> dict[str, tuple[str, ...]]:
    """Return by host the key exchanges of which it has to offer one, if it is sent preshared keys by such only.

    Raises:
        MeshError: If this machine has none.
    """
    concerned = {host for mesh in interfaces.values() if mesh.require_post_quantum for host in mesh.hosts}
    if not concerned:
        return {}
    # It brings the SSH library in.
    from mesh.remote.login import post_quantum_exchanges  # noqa: PLC0415

    return dict.fromkeys(sorted(concerned), post_quantum_exchanges())


def _try_logins(ways: Mapping[str, Connection]) -> dict[str, str]:
    """Find out which of many keys the hosts accept, since a command can offer a few of them only.

    Raises:
        HostsFailedError: Naming each host that accepts none.
    """
    # It imports the SSH library, which takes a tenth of a second.
    from mesh.remote.sessions import log_in_everywhere  # noqa: PLC0415

    failures = run(lambda: log_in_everywhere(ways))
    refused = {host: error for host, error in failures.items() if not isinstance(error, UnreachableHostError)}
    if refused:
        raise HostsFailedError(
            {host: error.message for host, error in refused.items()},
            "nothing was changed, since not every host lets you in",
        )
    return {host: error.message for host, error in failures.items()}


def _recall_pending() -> dict[str, set[str]]:
    """Return by output of this stack the hosts that the last run left out."""
    stack = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    read = pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", {"name": stack}).value
    # A program of one's own has outputs of other kinds too.
    return {
        name: {*map(str, output["pending"])}
        for name, output in read["outputs"].items()
        if isinstance(output, dict) and isinstance(output.get("pending"), list)
    }
