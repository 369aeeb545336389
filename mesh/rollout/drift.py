"""Say in words how a host differs from what was confirmed there, and what becomes of the difference.

`facts` collects the reports. Nothing here talks to a host, and no fault holds a secret.
"""

from mesh.plan.roster import Roster
from mesh.remote.reports import Facts
from mesh.rollout.fault import Fault
from mesh.rollout.host_differences import REPAIR, describe_difference
from mesh.rollout.verification import kernel_faults

__all__ = ["describe_drift", "unconfirmed_faults"]


def describe_drift(roster: Roster, host: str, report: Facts, plan: str) -> list[Fault]:
    """Return what `host` has or runs that the state does not say; empty where all is as confirmed.

    `plan` is the digest that the state holds. A handshake's age and an endpoint that the kernel learned never differ.
    """
    found = report.differences
    kinds = {difference.kind for difference in found}
    if {"forgotten", "absent"} <= kinds:
        # A host that lost everything lacks each thing; one line says so.
        cause = f"was reinstalled, or lost all of {roster['interface']} otherwise; {REPAIR} sets it up again"
        return [Fault(host, cause)]
    faults = [Fault(host, describe_difference(roster, host, difference)) for difference in found]
    if {"absent", "down"} & kinds:
        return faults
    return [*faults, *kernel_faults(roster, host, report), *unconfirmed_faults(host, report, plan)]


def unconfirmed_faults(host: str, report: Facts, plan: str) -> list[Fault]:
    """Return that `host` missed the last rollout, if it did."""
    return (
        []
        if report.confirmed == plan
        else [Fault(host, "the last rollout was not confirmed here; run pulumi up --refresh")]
    )
