"""Make the roster of a plan, as it goes into the state; `roster` says what it holds."""

from collections.abc import Mapping
from typing import Any

from mesh.config.models import Hosts
from mesh.plan.roster import Roster
from mesh.plan.topology import MeshPlan, PlannedParticipant

__all__ = ["build_roster", "logins_of"]


def _describe(participant: PlannedParticipant, public_key: Any) -> Any:
    optional = {
        "subnet": str(participant.subnet) if participant.subnet != participant.address.network else None,
        "ipv4": str(participant.ipv4) if participant.ipv4 else None,
        "site": participant.site,
        "localEndpoint": participant.local_endpoint,
        "otherEndpoint": participant.other_endpoint,
        "peers": list(participant.peers) if participant.peers is not None else None,
        "routes": [str(route) for route in participant.routes] or None,
        "masquerade": participant.masquerade,
        "exitNode": participant.exit_node,
    }
    return {
        "publicKey": public_key,
        "address": str(participant.address),
        "endpoint": participant.endpoint or "",
        "keepalive": participant.persistent_keepalive,
        **{field: value for field, value in optional.items() if value is not None},
    }


def logins_of(plan: MeshPlan, hosts: Hosts) -> dict[str, dict[str, Any]]:
    """Return the logins of a plan's members, as `build_roster` takes them."""
    own = {member.name: hosts[member.name] for member in plan.members}
    return {name: {"system": host.system or "", "ssh": host.ssh.connection()} for name, host in own.items()}


def build_roster(plan: MeshPlan, public_keys: Mapping[str, Any], logins: Mapping[str, Any]) -> Roster:
    """Return the roster of a plan.

    Args:
        plan: Of one mesh.
        public_keys: By participant; they may be values that are not known yet.
        logins: By host, how SSH reaches it ("ssh") and what system it has to be ("system", empty for any).
    """
    roster: Roster = {
        "interface": plan.interface,
        "port": plan.port,
        "mtu": plan.mtu,
        "deadline": plan.deadline,
        "unreachable": plan.unreachable,
        "forgotten": list(plan.forgotten),
        "members": {
            member.name: _describe(member, public_keys[member.name]) | logins[member.name] for member in plan.members
        },
    }
    if plan.peers:
        roster["peers"] = {peer.name: _describe(peer, public_keys[peer.name]) for peer in plan.peers}
    if plan.relay:
        roster["relay"] = plan.relay
    if plan.names:
        roster["names"] = True
    if plan.preshared_keys != "shared":
        roster["presharedKeys"] = plan.preshared_keys
    if plan.require_post_quantum:
        roster["postQuantum"] = True
    return roster
