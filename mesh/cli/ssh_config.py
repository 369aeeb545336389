"""The way that the operator's own `ssh NAME` would take to a host, as far as a stack file can say it."""

from dataclasses import dataclass
from typing import Any

from mesh.cli.openssh import DEFAULT_SSH_PORT, ask_ssh
from mesh.cli.yaml_values import flow_mapping, may_stand_elsewhere
from mesh.errors import HostError

__all__ = ["Way", "fill_in_way", "find_way"]


@dataclass(frozen=True)
class Way:
    """How `ssh` reaches a machine: address, port, user, and the machine in between, if there is one, as it is called.

    One in between is reached directly, since a stack file has no place for another.
    """

    address: str
    port: int
    user: str
    jump: str = ""
    bastion: "Way | None" = None

    def as_settings(self) -> dict[str, Any]:
        """Return it as fields of a stack file, without those that are so by default."""
        return {
            "address": self.address,
            **({"port": self.port} if self.port != DEFAULT_SSH_PORT else {}),
            **({"user": self.user} if self.user != "root" else {}),
            **({"bastion": flow_mapping(self.bastion.as_settings())} if self.bastion else {}),
        }


def find_way(name: str, *, has_bastion: bool = False) -> Way:
    """Return the way that `ssh NAME` takes, or the end of it where the stack file `has_bastion`.

    Raises:
        HostError: If OpenSSH cannot say it, or goes a way that a stack file cannot.
    """
    said = ask_ssh(name)
    way = Way(said.address, said.port, said.user)
    if has_bastion:
        return way
    if said.proxy_command:
        raise HostError(name, "is reached by a ProxyCommand, which mesh cannot; give ssh.address, or ssh.bastion")
    if len(said.jumps) > 1:
        raise HostError(name, "is reached by several ProxyJumps, and mesh takes one; give ssh.address, or ssh.bastion")
    if not said.jumps:
        return way
    [jump] = said.jumps
    try:
        between = ask_ssh(jump)
    except HostError as error:
        raise HostError(name, f"is reached by ProxyJump {jump}: {error.message}") from None
    if between.proxy_command or between.jumps:
        how = "a ProxyCommand" if between.proxy_command else f"ProxyJump {','.join(between.jumps)}"
        raise HostError(
            name,
            f"is reached by ProxyJump {jump}, which is itself reached by {how}, and mesh takes one jump; give "
            "ssh.address, or ssh.bastion",
        )
    return Way(said.address, said.port, said.user, jump, Way(between.address, between.port, between.user))


def fill_in_way(name: str, entry: dict[str, Any]) -> str:
    """Complete the `ssh` of a stack file's entry that has no address, and return what was filled in; empty for nothing.

    It is what `ssh NAME` takes; what the entry says already stays.

    Raises:
        HostError: As `find_way`, or if another host may have the same settings by an alias or a merge.
    """
    ssh = entry.get("ssh")
    if ssh is not None and (not isinstance(ssh, dict) or ssh.get("address")):
        return ""
    if may_stand_elsewhere(entry, "ssh"):
        raise HostError(
            name,
            "may share its ssh with another host, by an alias or a merge, and an address is of one alone; write ssh "
            "out for each",
        )
    kept = {key: value for key, value in (ssh or {}).items() if key != "address"}
    way = find_way(name, has_bastion=bool(kept.get("bastion")))
    merged = {**way.as_settings(), **kept}
    if ssh is None:
        entry["ssh"] = flow_mapping(merged)
    else:
        ssh.update(merged)
    user = f"{merged.get('user', 'root')}@{way.address} port {merged.get('port', DEFAULT_SSH_PORT)}"
    return f"{user}, through {way.jump}" if way.jump else user
