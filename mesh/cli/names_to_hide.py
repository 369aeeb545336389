"""Which names of a stack tell whose it is: of its stack file, of its state, of its hosts and of the operator."""

import getpass
import platform
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mesh.cli.redaction import Redaction
from mesh.config.connection import Connection
from mesh.config.models import Configuration
from mesh.plan.roster import participants_of
from mesh.stored.forms import RecordedRollout
from mesh.wireguard.endpoint import host_part

__all__ = ["learn_machine", "learn_operator", "learn_roster", "learn_stack_file"]


# Of every host, with the folders around them.
_OF_EVERYBODY = (Path("/root"), Path("/etc/wireguard"), Path("/var/lib/mesh"))


def learn_operator(redaction: Redaction) -> None:
    """Learn what the operator, this machine and the folders of both are called."""
    learn_machine(redaction, platform.node())
    own = [path for path in (Path.cwd(), Path.home()) if not any(ours.is_relative_to(path) for ours in _OF_EVERYBODY)]
    redaction.learn("folder", map(str, own))
    redaction.learn("user", [Path.home().name])
    with suppress(KeyError, OSError):
        redaction.learn("user", [getpass.getuser()])


def learn_machine(redaction: Redaction, name: str) -> None:
    """Learn what a machine calls itself, also without its domain."""
    redaction.learn("machine", [name, name.partition(".")[0]])


def learn_stack_file(redaction: Redaction, configuration: Configuration) -> None:
    """Learn the names of a stack file."""
    hosts, interfaces = configuration.hosts, configuration.interfaces
    redaction.learn("host", hosts)
    redaction.learn("mesh", interfaces)
    for host in hosts.values():
        redaction.learn("host", filter(None, [host.formerly]))
        redaction.learn("site", filter(None, [host.site]))
        redaction.learn("tag", host.tags)
        _learn_connection(redaction, host.ssh.connection())
        redaction.learn_place(host.external_name or "")
    for mesh in interfaces.values():
        redaction.learn("host", mesh.forgotten)
        redaction.learn("peer", mesh.peers)
        for peer in mesh.peers.values():
            redaction.learn("tag", peer.tags)
            redaction.learn_keys(filter(None, [peer.public_key]))
            redaction.learn_place(host_part(peer.endpoint or ""))


def learn_roster(redaction: Redaction, rollout: RecordedRollout) -> None:
    """Learn the names of a rollout in the state."""
    roster = rollout["roster"]
    redaction.learn("mesh", [roster["interface"]])
    redaction.learn("host", [*roster["members"], *rollout["notWiped"], *roster["forgotten"]])
    redaction.learn("peer", roster.get("peers") or ())
    for entry in participants_of(roster).values():
        redaction.learn("site", filter(None, [entry.get("site")]))
        redaction.learn_keys([entry["publicKey"]])
        redaction.learn_place(host_part(str(entry["endpoint"])))
    for member in roster["members"].values():
        _learn_connection(redaction, member["ssh"])


def _learn_connection(redaction: Redaction, connection: Connection) -> None:
    for each in _machines(connection):
        redaction.learn("user", [each["user"]])
        redaction.learn_keys([each["hostKey"].split(" ")[1]])
        redaction.learn_place(each["address"])


def _machines(connection: Connection) -> Iterator[Connection]:
    yield connection
    if bastion := connection.get("bastion"):
        yield bastion
