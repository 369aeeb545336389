"""The history of a stack as one JSON document, and the JSON schema of that."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import Field

from mesh.cli.history import Run
from mesh.cli.json_document import Document, Entry, now

__all__ = ["HistoryDocument", "show_history"]


class RunEntry(Entry):
    began: datetime
    kind: str = Field(description="up, refresh, destroy, import or what else the engine has.")
    result: str = Field(description="succeeded, failed or in-progress.")
    author: str = Field(description="Who made the commit that was checked out; empty without a repository.")
    commit: str = Field(description="That commit; empty without a repository.")
    edited: bool = Field(description="Whether files differed from it.")
    message: str = Field(description="The first line of the run's own, else the title of the commit.")
    changes: tuple[str, ...] = Field(description="In words of the mesh, as the command prints them.")


class HistoryDocument(Document):
    """The runs of a stack, as `mesh history` shows them."""

    runs: tuple[RunEntry, ...] = Field(description="The latest first.")


def show_history(runs: Sequence[Run]) -> str:
    """Return the runs as JSON."""
    entries = tuple(
        RunEntry(
            began=datetime.fromisoformat(run.began), kind=run.kind, result=run.result, author=run.author,
            commit=run.commit, edited=run.edited, message=run.message, changes=run.lines,
        )
        for run in runs
    )  # fmt: skip
    return HistoryDocument(generated_at=now(), runs=entries).text()
