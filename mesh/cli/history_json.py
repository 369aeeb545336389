"""The history of a stack as one JSON document, and the JSON schema of that.

What a field means stays while `schemaVersion` does; fields may be added to it.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from mesh.cli.history import Run

__all__ = ["HISTORY_SCHEMA_FILE", "history_schema_text", "show_history"]

HISTORY_SCHEMA_FILE = "docs/reference/history.schema.json"


class _Told(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class RunEntry(_Told):
    began: datetime
    kind: str = Field(description="up, refresh, destroy, import or what else the engine has.")
    result: str = Field(description="succeeded, failed or in-progress.")
    author: str = Field(description="Who made the commit that was checked out; empty without a repository.")
    commit: str = Field(description="That commit; empty without a repository.")
    edited: bool = Field(description="Whether files differed from it.")
    message: str = Field(description="The first line of the run's own, else the title of the commit.")
    changes: tuple[str, ...] = Field(description="In words of the mesh, as the command prints them.")


class HistoryDocument(_Told):
    schema_version: Literal[1] = 1
    generated_at: datetime
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
    document = HistoryDocument(generated_at=datetime.now(UTC).replace(microsecond=0), runs=entries)
    return document.model_dump_json(by_alias=True, indent=2)


def history_schema_text() -> str:
    """Return the schema as it is in the repository."""
    schema = HistoryDocument.model_json_schema(mode="serialization")
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"
