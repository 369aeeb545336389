"""Ask the hosts of a stack once for a page: what doctor asks them, beside what the state and the stack file say."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from functools import partial

from mesh.cli.chosen import choose_meshes
from mesh.cli.names_to_hide import learn_roster
from mesh.cli.page.content import Page, every_text
from mesh.cli.page.describe import describe_mesh
from mesh.cli.pulumi_cli import PulumiCli, RecordedMesh
from mesh.cli.redaction import Redaction
from mesh.cli.stack_file import StackFile
from mesh.cli.words_of_everybody import words_of_everybody
from mesh.config.peering import TagsByName, tags_of
from mesh.doctor.asking import ask_mesh
from mesh.errors import MeshError
from mesh.keyring.expiry import show_moment
from mesh.remote.concurrency import run

__all__ = ["ask_page", "redaction_of"]


def _tags(pulumi: PulumiCli) -> Mapping[str, TagsByName]:
    """Return the tags of all participants by mesh; the state has none, and a program of your own no stack file."""
    try:
        configuration = StackFile(pulumi.stack_file()).configuration()
    except MeshError:
        return {}
    return {name: tags_of(mesh, configuration.hosts) for name, mesh in configuration.interfaces.items()}


def ask_page(pulumi: PulumiCli, interfaces: Collection[str] | None, *, redact: bool) -> Page:
    """Return what there is to see of the meshes that are chosen, or of all.

    Raises:
        MeshError: If one was never rolled out.
    """
    chosen = choose_meshes(pulumi.recorded(), "page", interfaces)
    stack, tags = pulumi.stack.rpartition("/")[2], _tags(pulumi)
    meshes = []
    for name, mesh in chosen.items():
        answers = run(partial(ask_mesh, mesh.rollout))
        meshes.append(describe_mesh(mesh, answers, tags.get(name, {}), datetime.now(UTC)))
    page = Page(stack, tuple(meshes), show_moment(datetime.now(UTC)))
    if not redact:
        return page
    return every_text(page, redaction_of(stack, chosen, tags).text)


def redaction_of(stack: str, meshes: Mapping[str, RecordedMesh], tags: Mapping[str, TagsByName]) -> Redaction:
    """Return what takes every name that a page of these meshes may have out of a text."""
    redaction = Redaction(words_of_everybody())
    for name, mesh in meshes.items():
        learn_roster(redaction, mesh.rollout)
        for own in tags.get(name, {}).values():
            redaction.learn("tag", own)
    # Last, since where a host or a mesh is called like its stack, it is the host or the mesh.
    redaction.learn("stack", [stack])
    return redaction
