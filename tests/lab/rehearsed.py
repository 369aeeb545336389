"""A stack without an engine: the same program and the same providers against the same hosts, in a forked process.

What is about the engine itself (targets, locks, secrets in the state, kills between two of its steps) needs `Stack`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.lab.stack import Outcome, Run, Stack
from tests.rehearsal.forked import Forked, stand_for_pulumi
from tests.rehearsal.state import State

__all__ = ["RehearsedStack"]

# What becomes pulumi, or changes what pulumi keeps.
_WITH_ENGINE = {"adopt", "up"}


class RehearsedStack(Stack):
    """A stack whose state is a file; verbs, files, hosts and outcomes are as with the engine."""

    def _make_stack(self) -> None:
        self._state = self.folder / "rehearsal.json"
        self.environment |= stand_for_pulumi(self.folder / "bin", self._state)

    def take_over(self, other: Stack) -> None:
        """Go on from the state of an engine's stack, with its stack file."""
        State.of_engine(other.state(), self._state).save()
        self.file.write_text(other.file.read_text())
        self.interfaces = other.interfaces

    def start(self, verb: str, *options: str) -> Run:
        """Start a verb and return at once."""
        assert (self.project / "mesh").is_symlink(), "another checkout needs the engine: engine_stack"
        namespace = Path("/run/netns", self.lab.control_namespace)
        return Run(Forked(namespace, self.project, self._state, self.environment, (verb, *options)))

    def companion(self, *words: str, succeeds: bool | None = True) -> Outcome:
        """Run `python -m mesh`, which asks a stand-in for pulumi what the state holds."""
        assert words[0] not in _WITH_ENGINE, f"python -m mesh {words[0]} needs the engine: engine_stack"
        return super().companion(*words, succeeds=succeeds)

    def cancel(self) -> None:
        """Do nothing: there are no locks."""

    def swap_state(self, folder: Path) -> None:
        """Put the state into `folder` and take what is there instead; without any, the state is lost."""
        folder.mkdir(exist_ok=True)
        kept, between = folder / self._state.name, folder / "between"
        self._state.rename(between)
        if kept.exists():
            kept.rename(self._state)
        between.rename(kept)

    def set_adopted(self, keys: Mapping[str, str]) -> None:
        """Put keys into the stack file, in the form of a secret."""
        self._set("mesh:adopted", {"secure": json.dumps(dict(keys))})

    def forget_adopted(self) -> None:
        """Take adopted keys out of the stack file."""
        self._set("mesh:adopted", None)

    def _set(self, name: str, value: Any) -> None:
        *salt, line = self.file.read_text().splitlines()
        config = {**json.loads(line.removeprefix("config: ")), name: value}
        kept = {name: value for name, value in config.items() if value is not None}
        self.file.write_text("\n".join([*salt, f"config: {json.dumps(kept)}", ""]))

    def state(self, *, secrets: bool = True) -> dict[str, Any]:
        """Return the state in the form of an export; keys are in clear."""
        assert secrets, "what is secret in the state is for the engine: engine_stack"
        stored = json.loads(self._state.read_text()) if self._state.exists() else {"resources": []}
        return {"deployment": {"resources": stored["resources"]}}
