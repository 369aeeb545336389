"""Find the hosts that lost their private key, as after a reinstallation, so that they are enrolled again.

A survey counts the installations of each host, from 1. The count is an input of that host's enrolment, and only a
refresh raises it.
"""

from collections.abc import Mapping
from pathlib import Path

from mesh.config.hosts_file import read_hosts
from mesh.config.reader import read_configuration
from mesh.errors import ConfigurationError
from mesh.plan.installations import installation_of
from mesh.progress import announce
from mesh.remote import host_program
from mesh.remote.concurrency import run
from mesh.remote.replies import lines_of, read_each, read_survey
from mesh.remote.sessions import run_everywhere

__all__ = ["count_installations"]


def _question(interface: str) -> str:
    keys = f"{host_program.DIRECTORY}/{interface}/*/private-key"
    # The last line tells a host without a key from one where the question failed.
    return f'for key in {keys}; do [ ! -s "$key" ] || echo key; done; echo seen'


def count_installations(
    interface: str, counts: Mapping[str, int], hosts: object, hosts_file: str | None, interfaces: object
) -> dict[str, int]:
    """Return the counts, raised for each host that has no private key; a host that does not answer keeps its count.

    `hosts`, `hosts_file` and `interfaces` are what the stack file says of `mesh:hosts` and its like.
    """
    known = {host: int(count) for host, count in counts.items()}
    try:
        configuration = read_configuration(read_hosts(hosts, hosts_file, Path.cwd()), interfaces)
    except ConfigurationError:
        # The program names every fault of the stack file.
        return known
    if interface not in configuration.interfaces:
        return known
    members = {host: configuration.hosts[host].ssh for host in configuration.interfaces[interface].hosts}
    connections = {host: ssh.connection() for host, ssh in members.items()}
    answers, _ = run(lambda: run_everywhere(connections, _question(interface), "whether it has a private key"))
    has_key, unreadable = read_each({host: lines_of(said) for host, said in answers.items()}, read_survey)
    bare = sorted(host for host, has in has_key.items() if not has)
    lines = [f"{host}: has no private key of {interface}, and is enrolled again" for host in bare]
    announce(interface, [*lines, *(f"{host}: {error.message}" for host, error in sorted(unreadable.items()))])
    formerly = {host: configuration.hosts[host].formerly for host in members}
    # A renamed host goes on by its count, also once the stack file no longer says its former name.
    carried = {host: installation_of(host, former, known) for host, former in formerly.items() if former in known}
    return known | carried | {host: installation_of(host, formerly[host], known) + 1 for host in bare}
