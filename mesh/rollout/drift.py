"""Say in words how a host differs from what was confirmed there, and what becomes of the difference.

`facts` collects the reports. Nothing here talks to a host, and no fault holds a secret.
"""

from mesh.plan.pairs import Pairs
from mesh.plan.roster import Roster
from mesh.remote.reports import Facts
from mesh.rollout.fault import Fault
from mesh.rollout.host_differences import REPAIR, describe_difference
from mesh.rollout.verification import kernel_faults

__all__ = ["describe_drift", "unconfirmed_faults"]


def describe_drift(
    roster: Roster, host: str, report: Facts, plan: str, pairs: Pairs | None = None, *, surveyed: bool = True
) -> list[Fault]:
    """Return what `host` has or runs that the state does not say; empty where all is as confirmed.

    `plan` is the digest that the state holds. Where hosts are not `surveyed`, a refresh alone enrols none again. A
    handshake's age and an endpoint that the kernel learned never differ. `pairs` are those of the roster, which serve
    for all hosts.
    """
    found, pairs = report.differences, pairs or Pairs(roster)
    kinds = {difference.kind for difference in found}
    interface = roster["interface"]
    enrolling = REPAIR if surveyed else f"{REPAIR} --replace '**::{interface}/{host}/enrol'"
    if {"forgotten", "absent"} <= kinds:
        # A host that lost everything lacks each thing; one line says so.
        return [Fault(host, f"was reinstalled, or has lost all of {interface}; {enrolling} sets it up again")]
    faults = [Fault(host, describe_difference(roster, host, difference, pairs, enrolling)) for difference in found]
    if report.is_gone:
        return faults
    return [*faults, *kernel_faults(roster, host, report, pairs), *unconfirmed_faults(host, report, plan)]


def unconfirmed_faults(host: str, report: Facts, plan: str) -> list[Fault]:
    """Return that `host` missed the last rollout, if it did."""
    return (
        []
        if report.confirmed == plan
        else [Fault(host, "the last rollout was not confirmed here; run pulumi up --refresh")]
    )
