"""Write a first stack file from the names or addresses of hosts, and make its stack.

What the hosts know is filled in by `scan`. A file that is there already is never changed here.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap

from mesh.cli.engine import find_engine
from mesh.cli.output_file import check_output
from mesh.cli.pulumi_cli import PulumiCli
from mesh.cli.scan import Scan
from mesh.cli.ssh_destination import read_destination
from mesh.cli.stack_file import HOSTS, INTERFACES, StackFile
from mesh.cli.stack_places import find_or_name_stack_file, stack_of
from mesh.cli.yaml_values import flow_list
from mesh.config.external_fields import is_address
from mesh.config.fields import is_host_name
from mesh.config.models import SshSettings
from mesh.errors import HostError, MeshError, show_name
from mesh.remote.commands import run_command
from mesh.remote.concurrency import run

__all__ = ["Wanted", "init_stack", "make_stack_file", "name_stack_file", "read_wanted"]

_STACK = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_UNFIT = re.compile(r"[^a-z0-9.-]+")


@dataclass(frozen=True)
class Wanted:
    """One host as it was named on the command line; without a name it is called as it calls itself.

    `typed` is what `ssh` is given, and `machine` what is between user and port there.
    """

    name: str
    typed: str
    machine: str


def read_wanted(text: str) -> Wanted:
    """Return the host that is meant by what `ssh` takes, or by NAME= and that.

    Raises:
        MeshError: If it means none.
    """
    name, equals, typed = text.rpartition("=")
    try:
        machine = read_destination(typed).host
    except ValueError:
        raise MeshError(
            f"{show_name(text)}: no host; give NAME, ADDRESS, USER@ADDRESS, USER@ADDRESS:PORT or NAME=USER@ADDRESS"
        ) from None
    if equals and not is_host_name(name):
        raise MeshError(f"{show_name(text)}: {show_name(name)} is no host name; give NAME, or NAME=USER@ADDRESS")
    if not equals and is_host_name(machine) and not is_address(machine):
        # A name of the SSH configuration, be it with a user, and not where in the internet the host is.
        name = machine if machine == typed or "." not in machine else ""
    return Wanted(name, typed, machine)


def _stand_in(wanted: Wanted) -> str:
    """Return what a host is called until it has said its own name."""
    return wanted.name or f"host-{re.sub('[^a-z0-9]+', '-', wanted.machine.lower())}".rstrip("-")


def _first_content(file: StackFile, wanted: Sequence[Wanted]) -> None:
    for host in wanted:
        name = _stand_in(host)
        if name in file.hosts:
            raise MeshError(f"{show_name(name)}: named twice; name each host once")
        file.hosts[name] = CommentedMap()


def name_stack_file(stack: str) -> Path:
    """Return the file of a stack that is to be made, which `stack` names by itself or as the path of its file.

    Raises:
        MeshError: If it is no name of a stack.
    """
    path = find_or_name_stack_file(stack)
    if not stack.endswith(".yaml") and not _STACK.fullmatch(stack):
        raise MeshError(f"{show_name(stack)}: no name of a stack; use letters, digits and _ . -")
    if not _STACK.fullmatch(stack_of(path)) or path.name != f"Pulumi.{stack_of(path)}.yaml":
        raise MeshError(
            f"{show_name(path.name)}: names no stack; give the name of a stack, or call it Pulumi.NAME.yaml"
        )
    return path


def make_stack_file(
    path: Path,
    wanted: Sequence[Wanted],
    interface: str,
    *,
    show: Callable[[object], None],
    confirm: Callable[[str], None],
) -> dict[str, str]:
    """Write the file of a stack with one mesh of the hosts, filled in by a scan; return what is wrong, by host.

    Raises:
        MeshError: If the file is there already, no host answers, or the fingerprints are not accepted.
    """
    if path.exists():
        raise MeshError(f"{path.name}: is there already; add hosts to it and run python -m mesh scan {stack_of(path)}")
    if path.parent.exists():
        check_output(path)
    file = StackFile(path, complete=True)
    _first_content(file, wanted)
    scan = Scan(file.select([]), show, confirm, typed={_stand_in(host): host.typed for host in wanted})
    scan.run()
    problems = dict(scan.problems)
    if all(_stand_in(host) in problems for host in wanted):
        lines = "\n".join(f"  host {name!r}: {problem}" for name, problem in problems.items())
        raise MeshError(f"{path.name}: not written, since no host could be asked\n{lines}")
    _call_by_their_own_names(file, [_stand_in(host) for host in wanted if not host.name], problems)
    file.content["config"][INTERFACES] = CommentedMap({interface: CommentedMap({"hosts": flow_list(file.hosts)})})
    roaming = {
        name: entry
        for name, entry in file.hosts.items()
        if name not in problems and not {"externalIps", "externalName"} & set(entry)
    }
    for name, entry in roaming.items():
        show(_roaming(name, entry))
    if len(roaming) > 1:
        remedy = "give those of one network a site and localIps, or name a relay"
        show(f"{interface}: no two of these {len(roaming)} hosts can meet; {remedy}")
    path.parent.mkdir(exist_ok=True)
    file.write()
    return problems


def _roaming(name: str, entry: Any) -> str:
    address = entry["ssh"]["address"]
    hint = f"; if UDP from outside reaches it at {address}, add externalIps: [{address}]" if _is_global(address) else ""
    return f"{name}: has no external address of its own, so it is taken for roaming, behind NAT{hint}"


def _is_global(address: str) -> bool:
    return is_address(address) and ip_address(address).is_global


def _call_by_their_own_names(file: StackFile, unnamed: Iterable[str], problems: dict[str, str]) -> None:
    for stand_in in unnamed:
        if stand_in in problems:
            continue
        connection = SshSettings.model_validate(file.hosts[stand_in]["ssh"]).connection()
        try:
            said = run(lambda name=stand_in, way=connection: run_command(name, way, "uname -n"))  # type: ignore[misc]
        except HostError:
            continue
        name = _free_name(said, file.hosts)
        place = list(file.hosts).index(stand_in)
        file.content["config"][HOSTS].insert(place, name, file.hosts.pop(stand_in))


def _free_name(said: str, taken: Iterable[str]) -> str:
    """Return a host name made of what a host calls itself, and of a number where another one is called so."""
    name = _UNFIT.sub("-", (said.strip().splitlines() or [""])[-1].lower()).strip("-.")[:60]
    name = name if is_host_name(name) else "host"
    used = set(taken)
    return next(
        candidate
        for candidate in (name, *(f"{name}-{number}" for number in range(2, len(used) + 3)))
        if candidate not in used
    )


def init_stack(stack: str, folder: Path) -> list[str]:
    """Make the stack, asking at the terminal for a passphrase if need be; return the commands that come next."""
    ahead = [f"pulumi stack init {stack}", "pulumi up"]
    if find_engine() is None:
        return ["python -m mesh engine", *ahead]
    # Pulumi takes an empty passphrase for one, and an empty name of a file for none.
    has_passphrase = "PULUMI_CONFIG_PASSPHRASE" in os.environ or os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE")
    if not (has_passphrase or sys.stdin.isatty()):
        return ["export PULUMI_CONFIG_PASSPHRASE_FILE=FILE  # the passphrase that encrypts the keys", *ahead]
    return ["pulumi preview", "pulumi up"] if PulumiCli(folder, stack).init() else ahead
