"""A stack without an engine against hosts on loopback: the same program and providers, in a forked process."""

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.engine.stack import Outcome, Stack
from tests.rehearsal.forked import Forked, stand_for_pulumi

__all__ = ["RehearsedStack"]

# What is about a person at a terminal, or about what the engine shows.
_IDLE = {"--yes", "--skip-preview"}


class RehearsedStack(Stack):
    """A stack whose state is a file; stack files, hosts and outcomes are as with the engine."""

    def _make_stack(self) -> None:
        self._kept = self.state / "rehearsal.json"
        self.environment |= stand_for_pulumi(self.folder / "bin", self._kept)
        self.environment["PULUMI_OPTION_CONFIG_FILE"] = str(self.stack_file)

    @property
    def stack_file(self) -> Path:
        """Where `write` writes."""
        return self.folder / "stacks/Pulumi.lab.yaml"

    def run(self, *words: str, seconds: float | None = None) -> Outcome:
        """Run a verb and return how it ended, whichever way."""
        began = time.monotonic()
        self._note(words)
        options = [word for word in words if word not in _IDLE]
        process = Forked(None, self.folder, self._kept, self.environment, options)
        assert process.stdout is not None
        with process.stdout as lines:
            text = lines.read()
        code = process.wait(seconds or self.patience)
        assert code is not None
        return Outcome(code, text, "", time.monotonic() - began)

    def _write(self, config: Mapping[str, Any]) -> None:
        # In JSON, which is YAML, for what stands for pulumi.
        self.stack_file.write_text(f"config: {json.dumps(config)}\n")

    def _held(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self._kept.read_text())["resources"] if self._kept.exists() else []
        return found

    def plan(self, interface: str = "testwg") -> Any:
        """Return the stack's output of that name, None for none."""
        return json.loads(self._kept.read_text())["outputs"].get(interface)

    def changed(self, *words: str) -> dict[str, int]:
        """Run `up` and return how many resources were created, updated or deleted, by verb."""
        counts = re.findall(r"(\d+) (create|update|delete)\b", self.up(*words).text.rpartition("rehearsal: ")[2])
        return {verb: int(count) for count, verb in counts}

    @staticmethod
    def updated(preview: Outcome) -> set[str]:
        """Return the names of the resources that a preview would update."""
        return set(re.findall(r"^rehearsal: update (\S+)$", preview.text, re.MULTILINE))
