"""`python -m mesh doctor`: what it is given, and what it prints; what it asks and finds is in `mesh.doctor`."""

import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.text import Text

from mesh.cli.chosen import check_hosts, choose_meshes
from mesh.cli.parameters import OnlyHosts, OnlyMeshes, SelectedStack
from mesh.cli.project import find_project
from mesh.cli.pulumi_cli import PulumiCli
from mesh.doctor.causes import CAUSES

if TYPE_CHECKING:
    from mesh.doctor.concerning import Diagnosis

__all__ = ["doctor_command", "show_diagnosis"]


def doctor_command(console: Console) -> Callable[..., None]:
    """Return the command."""

    def doctor(
        stack: SelectedStack = None,
        interface: OnlyMeshes = None,
        only: OnlyHosts = None,
        as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
    ) -> None:
        """Find out why hosts or pairs are silent, and how that is repaired; exit status 1 if anything is found.

        All hosts are asked at once. Where a pair is silent, both ends count for some seconds how far its packets come.
        Nothing is changed, except a table of counters in nftables, which is gone afterwards.
        """
        from mesh.cli.doctor_json import show_findings  # noqa: PLC0415
        from mesh.doctor.asking import ask_mesh  # noqa: PLC0415
        from mesh.doctor.concerning import diagnosis_of  # noqa: PLC0415
        from mesh.remote.concurrency import run  # noqa: PLC0415

        chosen = choose_meshes(PulumiCli(find_project(), stack).recorded(), "doctor", interface)
        check_hosts(only or (), {host for mesh in chosen.values() for host in mesh.members}, "doctor")
        found = [
            diagnosis_of(run(partial(ask_mesh, mesh.rollout)), only or ())
            for mesh in chosen.values()
            if not only or mesh.members & set(only)
        ]
        if as_json:
            sys.stdout.write(show_findings(found) + "\n")
        else:
            console.print(Group(*map(show_diagnosis, found)))
        if any(each.findings for each in found):
            raise typer.Exit(1)

    return doctor


def show_diagnosis(diagnosis: "Diagnosis") -> RenderableType:
    """Return a sentence on a mesh, and each finding with its evidence and its repair."""
    findings, directions = diagnosis.findings, diagnosis.directions
    up = sum(diagnosis.answers.answers(*direction) for direction in directions)
    asked = f"{len(set(diagnosis.hosts) & diagnosis.answers.facts.keys())} of {len(diagnosis.hosts)} hosts were asked"
    what = "is healthy" if not findings else "has 1 finding" if len(findings) == 1 else f"has {len(findings)} findings"
    about = f" as far as {' and '.join(diagnosis.hosts)} {'is' if len(diagnosis.hosts) == 1 else 'are'} concerned"
    about = about if diagnosis.only else ""
    sentence = f"{diagnosis.interface} {what}{about}: {asked}, and {up} of {len(directions)} directions answer"
    parts: list[RenderableType] = [Text(sentence, style="red" if findings else "green")]
    for finding in findings:
        parts.append(Text(f"{finding.code} {finding.place}: {CAUSES[finding.code].title}", style="red"))
        parts.append(Text(f"    {finding.words}"))
        parts.extend(Text(f"    {line}", style="dim") for line in finding.evidence)
        parts.append(Text(f"    repair: {finding.repair}"))
    return Group(*parts)
