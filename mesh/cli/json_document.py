"""What the JSON documents of all commands have in common, and their JSON schemas.

What a field means stays while `schemaVersion` does; fields may be added to it.
"""

import json
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

__all__ = ["Document", "Entry", "now", "schema_of"]


class Entry(BaseModel):
    """A part of a document, with the names of its fields in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


def now() -> datetime:
    """Return this moment, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


class Document(Entry):
    """A whole document."""

    schema_version: Literal[1] = 1
    generated_at: datetime

    def text(self) -> str:
        """Return it as JSON."""
        return self.model_dump_json(by_alias=True, indent=2)


def schema_of(document: type[Document]) -> str:
    """Return the JSON schema of a document, as it is in the repository."""
    schema = document.model_json_schema(mode="serialization")
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"
