"""The hosts of meshes in the formats of other programs: SSH, Ansible, resolvers, Prometheus, DNS servers.

Everything follows from the stack file, and no host is asked. Names and addresses are of the stack file's types, which
have no character with a meaning in these formats; whatever may be any text goes into JSON.

Formats: ssh_config(5), sshd(8) for known_hosts, hosts(5), RFC 1035 for zones, and what Ansible and Prometheus say of
their inventories and of file_sd.
"""

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mesh.config.models import Bastion, Host
from mesh.errors import MeshError
from mesh.plan.topology import MeshPlan, PlannedParticipant
from mesh.wireguard.endpoint import join_endpoint

__all__ = ["ansible_inventory", "etc_hosts", "known_hosts", "prometheus_targets", "ssh_config", "zone"]

_Hosts = Mapping[str, Host]
_Meshes = Sequence[MeshPlan]
# What Ansible does not allow in the name of a group.
_NOT_IN_A_GROUP = re.compile(r"\W", re.ASCII)
# Of a name in DNS, without the last dot.
_LONGEST_NAME = 253


def _addresses(participant: PlannedParticipant) -> list[str]:
    return [str(participant.address.ip), *([str(participant.ipv4)] if participant.ipv4 else [])]


def _members(hosts: _Hosts, meshes: _Meshes) -> Iterator[tuple[str, Host, dict[str, list[str]]]]:
    """Yield each host that is in any of the meshes, with its addresses by interface."""
    plans = {mesh.interface: {own.name: own for own in mesh.members} for mesh in meshes}
    for name in sorted({name for own in plans.values() for name in own}):
        yield name, hosts[name], {mesh: _addresses(own[name]) for mesh, own in plans.items() if name in own}


def _check_names(named: Iterable[tuple[str, str]], *, fold: bool = True) -> None:
    """Refuse a name of two owners; most formats do not tell capital letters from small ones, so that these `fold`."""
    owners: dict[str, str] = {}
    for name, owner in named:
        if (first := owners.setdefault(name.lower() if fold else name, owner)) != owner:
            raise MeshError(f"export: {name} would be the name of {first} and of {owner}; rename one of the two")


def _names_for_ssh(hosts: _Hosts, meshes: _Meshes) -> Iterator[tuple[str, str]]:
    for name, _, inside in _members(hosts, meshes):
        yield from ((each, name) for each in (name, *(f"{name}.{interface}" for interface in inside)))


def _bastion_name(host: str) -> str:
    # With a character that no host name has.
    return f"{host}_bastion"


def ssh_config(hosts: _Hosts, meshes: _Meshes, keys: Path | None) -> str:
    """Return a client configuration: each host by its name, and over the mesh as HOST.IF or by its addresses there.

    `keys` is the file of the `known_hosts`, which alone counts then.

    Raises:
        MeshError: If one name would be that of two hosts, or the path of `keys` cannot stand there.
    """
    _check_names(_names_for_ssh(hosts, meshes))
    if keys and ('"' in str(keys) or not str(keys).isprintable()):
        raise MeshError("--known-hosts: a path that ssh's configuration cannot hold; give one without quotation marks")

    def block(patterns: Sequence[str], address: str, ssh: Bastion, key_name: str, jump: str = "") -> Iterator[str]:
        yield f"\nHost {' '.join(patterns)}"
        # OpenSSH expands what begins with a percent sign, such as the zone of an address.
        yield f"    HostName {address.replace('%', '%%')}"
        yield f"    Port {ssh.port}"
        yield f"    User {ssh.user}"
        if jump:
            yield f"    ProxyJump {jump}"
        if keys:
            yield f"    HostKeyAlias {key_name}"
            yield f'    UserKnownHostsFile "{str(keys).replace("%", "%%")}"'
            yield "    GlobalKnownHostsFile /dev/null"
            yield "    StrictHostKeyChecking yes"

    lines = ["# Made by python -m mesh export ssh-config"]
    for name, host, inside in _members(hosts, meshes):
        bastion = _bastion_name(name) if host.ssh.bastion else ""
        lines += block([name], host.ssh.address, host.ssh, name, bastion)
        if host.ssh.bastion:
            lines += block([bastion], host.ssh.bastion.address, host.ssh.bastion, bastion)
        for interface, addresses in inside.items():
            lines += block([f"{name}.{interface}", *addresses], addresses[0], host.ssh, name)
    return "\n".join(lines) + "\n"


def known_hosts(hosts: _Hosts, meshes: _Meshes) -> str:
    """Return the pinned host keys, under the names and addresses of `ssh_config`.

    Raises:
        MeshError: If one name would be that of two hosts.
    """
    aliases = list(_names_for_ssh(hosts, meshes))
    taken = {alias.lower() for alias, _ in aliases}
    reached_by_name = ((host.ssh.address, name) for name, host, _ in _members(hosts, meshes))
    # Behind two bastions, two hosts may have one address; but none the name by which the key of another is looked up.
    _check_names([*aliases, *(each for each in reached_by_name if each[0].lower() in taken)])
    lines = []
    for name, host, inside in _members(hosts, meshes):
        names = [name, *(f"{name}.{interface}" for interface in inside)]
        reached = [host.ssh.address, *(address for own in inside.values() for address in own)]
        # Known by an address, a server on another port is another one.
        names += [address if host.ssh.port == 22 else f"[{address}]:{host.ssh.port}" for address in reached]
        lines.append(f"{','.join(dict.fromkeys(names))} {host.ssh.host_key}")
        if host.ssh.bastion:
            lines.append(f"{_bastion_name(name)} {host.ssh.bastion.host_key}")
    return "".join(f"{line}\n" for line in lines)


def _proxy_command(way: Bastion) -> str:
    # By ProxyJump, ssh would hand on the user to a shell without quotes, and CORP\jump would become CORPjump.
    words = ["ssh", "-W", "[%h]:%p", "-p", str(way.port), "-l", way.user, way.address.replace("%", "%%")]
    return shlex.join(words)


def ansible_inventory(hosts: _Hosts, meshes: _Meshes) -> str:
    """Return an inventory with a group for each mesh, site and tag; every host has its addresses as `mesh_addresses`.

    It is JSON, which Ansible takes as YAML: in YAML itself, some names would be numbers or truth values.

    Raises:
        MeshError: If one name would be that of two groups.
    """
    variables: dict[str, Any] = {}
    groups: dict[str, Any] = {}
    owners: list[tuple[str, str]] = []
    for name, host, inside in _members(hosts, meshes):
        ssh = host.ssh
        own: dict[str, Any] = {"ansible_host": ssh.address, "ansible_port": ssh.port, "ansible_user": ssh.user}
        if ssh.uses_sudo:
            own["ansible_become"] = True
        if way := ssh.bastion:
            own["ansible_ssh_common_args"] = shlex.join(["-o", f"ProxyCommand={_proxy_command(way)}"])
        variables[name] = {**own, "mesh_addresses": inside}
        words = [*(("mesh", interface) for interface in inside), *(("tag", tag) for tag in host.tags)]
        for kind, word in [*words, *([("site", host.site)] if host.site else [])]:
            group = f"{kind}_{_NOT_IN_A_GROUP.sub('_', word)}"
            owners.append((group, f"{kind} {word!r}"))
            groups.setdefault(group, {"hosts": {}})["hosts"][name] = {}
    _check_names(owners, fold=False)
    return json.dumps({"all": {"hosts": variables, "children": groups}}, indent=2) + "\n"


def etc_hosts(meshes: _Meshes) -> str:
    """Return lines for /etc/hosts: HOST.IF of each participant, as `names: true` writes them on the hosts.

    Raises:
        MeshError: If one name would be that of two participants.
    """
    named = [(owner, mesh.interface) for mesh in meshes for owner in mesh.participants]
    _check_names((f"{owner.name}.{mesh}", f"{owner.name} on {mesh}") for owner, mesh in named)
    return "".join(f"{address} {owner.name}.{mesh}\n" for owner, mesh in named for address in _addresses(owner))


def prometheus_targets(hosts: _Hosts, meshes: _Meshes, port: int) -> str:
    """Return what file_sd reads: a target for each host of each mesh, at its address there."""
    targets = [
        {
            "targets": [join_endpoint(addresses[0], port)],
            "labels": {"host": name, "interface": interface, **({"site": host.site} if host.site else {})},
        }
        for name, host, inside in _members(hosts, meshes)
        for interface, addresses in inside.items()
    ]
    return json.dumps(targets, indent=2) + "\n"


def zone(mesh: MeshPlan, origin: str, name_server: str, serial: int) -> str:
    """Return a zone in which each participant of a mesh is HOST.ORIGIN.

    Raises:
        MeshError: If one name would be that of two participants or too long, or the name server has no address there.
    """
    _check_names((owner.name, owner.name) for owner in mesh.participants)
    names = [f"{owner.name}.{origin}" for owner in mesh.participants]
    contact = f"hostmaster.{origin}"
    if too_long := [name for name in (contact, *names) if len(name) > _LONGEST_NAME]:
        raise MeshError(f"zone: {too_long[0]} is longer than DNS allows; give a shorter --origin")
    # A server refuses a zone with a server in it that has no address there.
    if f".{name_server}".lower().endswith(f".{origin}".lower()) and name_server.lower() not in map(str.lower, names):
        raise MeshError(
            f"zone: {name_server} is in the zone itself, and no participant is called so; give as --name-server "
            f"HOST.{origin} of a participant, or a name outside of {origin}"
        )
    lines = [
        f"$ORIGIN {origin}.",
        "$TTL 300",
        f"@ IN SOA {name_server}. {contact}. {serial} 3600 900 604800 300",
        f"@ IN NS {name_server}.",
    ]
    found = ((owner.name, address) for owner in mesh.participants for address in _addresses(owner))
    lines += [f"{name} IN {'A' if '.' in address else 'AAAA'} {address}" for name, address in found]
    return "\n".join(lines) + "\n"
