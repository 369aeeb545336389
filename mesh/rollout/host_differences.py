"""What a host finds to be otherwise than it was confirmed or staged there, in words.

Whether that is drift or disproves a rollout is for `drift` and `proof` to say.
"""

from mesh.plan.pairs import Pairs, allowed_ips
from mesh.plan.roster import Roster

__all__ = ["REPAIR", "describe_difference"]

REPAIR = "pulumi up --refresh"


def describe_difference(roster: Roster, host: str, difference: str) -> str:
    """Return one line, without the host's name: what is so on `host`, and what to do."""
    interface = roster["interface"]
    match difference.split(" ", 1):
        case ["edited", path]:
            return f"{path} was edited by hand; {REPAIR} writes it again"
        case ["missing", path]:
            return f"{path} is missing; {REPAIR} writes it again"
        case ["readable", path]:
            return f"{path} can be read by others than root; {REPAIR} writes it again, and then rotate its key"
        case ["disabled"]:
            return f"{interface} does not come up at the next boot; {REPAIR} enables it again"
        case ["firewall", port]:
            return f"the firewall no longer lets in UDP port {port} or pings from the mesh; {REPAIR} opens it again"
        case ["route", prefix]:
            everyone = Pairs(roster).participants
            owners = (n for n, own in everyone.items() if prefix in (*allowed_ips(own), *(own.get("routes") or ())))
            owner = next(owners, "a peer")
            return f"has no route to {owner}, {prefix}; {REPAIR} sets it again"
        case ["forwarding"]:
            return f"no longer {_purpose(roster, host)}, since forwarding is off or denied; {REPAIR} allows it again"
        case ["masquerade"]:
            return f"no longer masquerades what it forwards; {REPAIR} sets it up again"
        case ["exit"]:
            node = Pairs(roster).participants[host].get("exitNode") or "its exit node"
            return f"does not reach everything else over {node}, since routing rules differ; {REPAIR} sets them again"
        case ["names"]:
            return f"/etc/hosts lacks the names of {interface} or has others; {REPAIR} writes them again"
        case ["timer"]:
            return f"no longer looks where names of peers lead, since mesh-endpoints is off; {REPAIR} starts it again"
        case ["keep"]:
            return f"no longer repairs what others take away here, since mesh-keep is off; {REPAIR} starts it again"
        case ["down"]:
            return f"interface {interface} is set down; {REPAIR} sets it up again"
        case ["absent"]:
            return f"interface {interface} is not there; {REPAIR} brings it up again"
        case ["forgotten"]:
            return f"lost its private key; {REPAIR} gives it again"
        case ["late"]:
            return (
                "had not gone back at the deadline of a rollout that was cut off, and did so only when asked now; "
                f"'journalctl -t mesh-{interface}' there may say why"
            )
        case ["unsettled"]:
            return f"a rollout was cut off here and is not confirmed; {REPAIR} settles it"
        case _:
            return f"{difference}; {REPAIR} repairs it"


def _purpose(roster: Roster, host: str) -> str:
    """Return what the host forwards for."""
    pairs = Pairs(roster)
    routes = ", ".join(pairs.participants[host].get("routes") or ())
    purposes = {
        "relays": pairs.relays(host),
        f"routes {routes}": bool(routes),
        "is an exit node": bool(pairs.exit_users(host)),
    }
    return " and ".join(purpose for purpose, applies in purposes.items() if applies) or "forwards"
