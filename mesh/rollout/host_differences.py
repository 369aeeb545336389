"""What a host finds that differs from what was confirmed or staged there, in words.

`drift` and `verification` say what follows from it.
"""

from mesh.plan.pairs import Pairs
from mesh.plan.roster import Roster
from mesh.remote.reports import Difference

__all__ = ["REPAIR", "ROTATE", "describe_difference"]

REPAIR = "pulumi up --refresh"
# Of a key that others could read, whatever else is to be done.
ROTATE = "and then rotate its key"


def describe_difference(
    roster: Roster, host: str, difference: Difference, pairs: Pairs, enrolling: str = REPAIR
) -> str:
    """Return one line, without the host's name: what is so on `host`, and what to do; `enrolling` gives it its key."""
    interface = roster["interface"]
    match difference:
        case Difference("edited", path):
            return f"{path} was edited by hand; {REPAIR} writes it again"
        case Difference("missing", path):
            return f"{path} is missing; {REPAIR} writes it again"
        case Difference("readable", path):
            return f"{path} can be read by others than root; {REPAIR} writes it again, {ROTATE}"
        case Difference("disabled"):
            return f"{interface} does not come up at the next boot; {REPAIR} enables it again"
        case Difference("firewall", port):
            return f"the firewall no longer lets in UDP port {port} or pings from the mesh; {REPAIR} opens it again"
        case Difference("route", prefix):
            return f"has no route to {pairs.owner_of(prefix) or 'a peer'}, {prefix}; {REPAIR} sets it again"
        case Difference("forwarding"):
            return f"no longer {_purpose(pairs, host)}, since forwarding is off or denied; {REPAIR} allows it again"
        case Difference("masquerade"):
            return f"no longer masquerades what it forwards; {REPAIR} sets it up again"
        case Difference("exit"):
            node = pairs.participants[host].get("exitNode") or "its exit node"
            return f"has no default route over {node}, since routing rules differ; {REPAIR} sets them again"
        case Difference("names"):
            return f"/etc/hosts lacks the names of {interface} or has others; {REPAIR} writes them again"
        case Difference("timer"):
            return f"no longer resolves names of peers, since mesh-endpoints is off; {REPAIR} starts it again"
        case Difference("keep"):
            return f"no longer repairs what others take away here, since mesh-keep is off; {REPAIR} starts it again"
        case Difference("down"):
            return f"interface {interface} is set down; {REPAIR} sets it up again"
        case Difference("absent"):
            return f"interface {interface} is not there; {REPAIR} brings it up again"
        case Difference("forgotten"):
            return f"lost its private key; {enrolling} gives it again"
        case Difference("late"):
            return (
                "missed the rollback deadline of an interrupted rollout, and rolled back just now; "
                f"'journalctl -t mesh-{interface}' there may say why"
            )
        case Difference("unsettled"):
            return f"a rollout was cut off here and is not confirmed; {REPAIR} settles it"
        case _:
            return f"{f'{difference.kind} {difference.subject}'.strip()}; {REPAIR} repairs it"


def _purpose(pairs: Pairs, host: str) -> str:
    """Return what the host forwards for."""
    routes = ", ".join(pairs.participants[host].get("routes") or ())
    purposes = {
        "relays": pairs.is_relay(host),
        f"routes {routes}": bool(routes),
        "is an exit node": bool(pairs.exit_users(host)),
    }
    return " and ".join(purpose for purpose, applies in purposes.items() if applies) or "forwards"
