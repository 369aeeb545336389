"""Say in words how a host differs from what was confirmed there, and what becomes of the difference.

Collecting the reports belongs to `rollout`. Nothing here talks to a host, and no line holds a secret.
"""

from mesh.plan.roster import Roster
from mesh.remote.reports import Facts
from mesh.rollout.host_differences import REPAIR, describe_difference
from mesh.rollout.verification import kernel_faults

__all__ = ["describe_drift"]


def describe_drift(roster: Roster, host: str, report: Facts, plan: str) -> list[str]:
    """Return what `host` has or runs otherwise than the state says, a line each; empty where all is as confirmed.

    `plan` is the digest that the state holds. A handshake's age and an endpoint that the kernel learned never differ.
    """
    found = report.differences
    if "forgotten" in found and "absent" in found:
        # A host that lost everything lacks each thing; one line says so.
        return [f"{host}: was reinstalled, or lost all of {roster['interface']} otherwise; {REPAIR} sets it up again"]
    lines = [f"{host}: {describe_difference(roster, host, difference)}" for difference in found]
    if "absent" in found or "down" in found:
        return lines
    lines.extend(kernel_faults(roster, host, report))
    if report.confirmed != plan:
        lines.append(f"{host}: the last rollout was not confirmed here; run {REPAIR}")
    return lines
