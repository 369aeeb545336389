"""Find the hosts that lost what enrolment gave them, as a reinstalled host has, so that they are enrolled again.

A survey counts the installations of each host, from 1. The count is an input of that host's enrolment, and only a
refresh raises it.
"""

import shlex
from collections.abc import Mapping

from mesh.config.models import SshSettings
from mesh.config.reader import read_configuration
from mesh.errors import ConfigurationError
from mesh.progress import announce
from mesh.remote import host_program
from mesh.remote.concurrency import run
from mesh.remote.sessions import run_everywhere

__all__ = ["count_installations"]


def _question(interface: str, ssh: SshSettings) -> str:
    keys = f"{host_program.DIRECTORY}/{interface}/*/private-key"
    # The last word tells a host that has no key from one that could not look.
    script = f'for key in {keys}; do [ ! -s "$key" ] || echo key; done; echo seen'
    return f"{'sudo -n ' if ssh.uses_sudo else ''}sh -c {shlex.quote(script)}"


def count_installations(interface: str, counts: Mapping[str, int], hosts: object, interfaces: object) -> dict[str, int]:
    """Return the counts with that of each host that has no private key raised; whoever does not answer keeps its own.

    `hosts` and `interfaces` are what the stack file says of `mesh:hosts` and `mesh:interfaces`.
    """
    known = {host: int(count) for host, count in counts.items()}
    try:
        configuration = read_configuration(hosts, interfaces)
    except ConfigurationError:
        # The program names every fault of the stack file.
        return known
    if interface not in configuration.interfaces:
        return known
    members = {host: configuration.hosts[host].ssh for host in configuration.interfaces[interface].hosts}
    connections = {host: ssh.connection() for host, ssh in members.items()}
    questions = {host: _question(interface, ssh) for host, ssh in members.items()}
    answers, _ = run(lambda: run_everywhere(connections, questions))
    bare = sorted(host for host, said in answers.items() if said.split() == ["seen"])
    announce(interface, [f"{host}: has no private key of {interface}, and is enrolled again" for host in bare])
    return known | {host: known.get(host, 1) + 1 for host in bare}
