"""What a rehearsal remembers between runs: the resources in the order in which they were made, and the stack's outputs.

It is kept in clear, so it is for hosts of the lab only.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Entry", "State", "in_clear"]

_SIGNATURE, _SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"


@dataclass
class Entry:
    """One resource that takes properties and has some."""

    urn: str
    type: str
    id: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]

    @property
    def name(self) -> str:
        """The logical name."""
        return self.urn.rpartition("::")[2]


@dataclass
class State:
    """All resources by URN, whoever depends on others after them, and what the stack tells."""

    file: Path | None = None
    entries: dict[str, Entry] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, file: Path) -> "State":
        """Return what the last run left in `file`, or an empty state that is kept there."""
        if not file.exists():
            return cls(file)
        stored = json.loads(file.read_text())
        return cls(file, {entry["urn"]: Entry(**entry) for entry in stored["resources"]}, stored["outputs"])

    @classmethod
    def of_engine(cls, exported: Mapping[str, Any], file: Path) -> "State":
        """Return what `pulumi stack export --show-secrets` printed, to go on from there."""
        resources = in_clear(exported["deployment"]["resources"])
        entries = [
            Entry(each["urn"], each["type"], each["id"], each.get("inputs", {}), each.get("outputs", {}))
            for each in resources
            if each.get("custom") and not each["type"].startswith("pulumi:")
        ]
        stack = next(each for each in resources if each["type"] == "pulumi:pulumi:Stack")
        return cls(file, {entry.urn: entry for entry in entries}, stack.get("outputs", {}))

    def save(self) -> None:
        """Write everything down, at once."""
        if self.file is None:
            return
        text = {"resources": [asdict(entry) for entry in self.entries.values()], "outputs": self.outputs}
        fresh = self.file.with_name(f"{self.file.name}.new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
            json.dump(text, stream)
        fresh.replace(self.file)


def in_clear(value: Any) -> Any:
    """Return a value as providers get it, which take no secrets as such."""
    if isinstance(value, Mapping):
        if value.get(_SIGNATURE) == _SECRET:
            return in_clear(json.loads(value["plaintext"]) if "plaintext" in value else value["value"])
        return {name: in_clear(item) for name, item in value.items()}
    return [in_clear(item) for item in value] if isinstance(value, list) else value
