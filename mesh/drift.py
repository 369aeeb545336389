"""Say in words how a host differs from what was confirmed there, and what becomes of the difference.

Collecting the reports belongs to `rollout`. Nothing here talks to a host, and no line holds a secret.
"""

from mesh.pairs import Pairs, allowed_ips
from mesh.proof import Facts, kernel_faults
from mesh.roster import Roster

__all__ = ["describe_drift"]

_REPAIR = "pulumi up --refresh"


def describe_drift(roster: Roster, host: str, report: Facts, plan: str) -> list[str]:
    """Return what `host` has or runs otherwise than the state says, a line each; empty where all is as confirmed.

    `plan` is the digest that the state holds. A handshake's age and an endpoint that the kernel learned never differ.
    """
    found = report.differences
    if "forgotten" in found and "absent" in found:
        # A host that lost everything lacks each thing; one line says so.
        return [f"{host}: was reinstalled, or lost all of {roster['interface']} otherwise; {_REPAIR} sets it up again"]
    lines = [f"{host}: {_say(roster, difference)}" for difference in found]
    if "absent" in found or "down" in found:
        return lines
    lines.extend(kernel_faults(roster, host, report))
    if report.confirmed != plan:
        lines.append(f"{host}: the last rollout was not confirmed here; run {_REPAIR}")
    return lines


def _say(roster: Roster, difference: str) -> str:
    interface = roster["interface"]
    match difference.split(" ", 1):
        case ["edited", path]:
            return f"{path} was edited by hand; {_REPAIR} writes it again"
        case ["missing", path]:
            return f"{path} is missing; {_REPAIR} writes it again"
        case ["readable", path]:
            return f"{path} can be read by others than root; {_REPAIR} writes it again, and then rotate its key"
        case ["disabled"]:
            return f"{interface} does not come up at the next boot; {_REPAIR} enables it again"
        case ["firewall", port]:
            return f"the firewall no longer lets in UDP port {port} or pings from the mesh; {_REPAIR} opens it again"
        case ["route", prefix]:
            everyone = Pairs(roster).participants
            owner = next((name for name, entry in everyone.items() if prefix in allowed_ips(entry)), "a peer")
            return f"has no route to {owner}, {prefix}; {_REPAIR} sets it again"
        case ["forwarding"]:
            return f"no longer relays, since forwarding is off or denied; {_REPAIR} allows it again"
        case ["names"]:
            return f"/etc/hosts lacks the names of {interface} or has others; {_REPAIR} writes them again"
        case ["timer"]:
            return f"no longer looks where names of peers lead, since mesh-endpoints is off; {_REPAIR} starts it again"
        case ["down"]:
            return f"interface {interface} is set down; {_REPAIR} sets it up again"
        case ["absent"]:
            return f"interface {interface} is not there; {_REPAIR} brings it up again"
        case ["forgotten"]:
            return f"lost its private key; {_REPAIR} gives it again"
        case ["unsettled"]:
            return f"a rollout was cut off here and is not confirmed; {_REPAIR} settles it"
        case _:
            return f"{difference}; {_REPAIR} repairs it"
