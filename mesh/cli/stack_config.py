"""Keys in a stack's configuration, encrypted by the engine: they reach it on standard input and lie in no other file.

The Automation API gives values to the engine as arguments, which every user of the machine can read; so it is not used.
"""

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mesh.cli.engine import find_engine
from mesh.errors import MeshError

__all__ = ["ADOPTED", "StackConfig"]

ADOPTED = "mesh:adopted"

_FILE_NAME = re.compile(r"Pulumi\.([A-Za-z0-9_.-]+)\.ya?ml")
_KEY = re.compile(r"[A-Za-z0-9+/]{42,43}=*")
_SECONDS = 120


@dataclass(frozen=True)
class StackConfig:
    """The configuration of the stack whose file is `file`, in the project in `folder`."""

    file: Path
    folder: Path
    command: Path = field(init=False)

    def __post_init__(self) -> None:
        """Find the engine.

        Raises:
            MeshError: If there is none.
        """
        engine = find_engine()
        if engine is None:
            raise MeshError("engine: no pulumi from 3.244 up on PATH; run python -m mesh engine")
        object.__setattr__(self, "command", engine.command)

    @property
    def stack(self) -> str:
        """The name of the stack.

        Raises:
            MeshError: If the file is not named after one.
        """
        found = _FILE_NAME.fullmatch(self.file.name)
        if found is None:
            raise MeshError(f"{self.file.name}: names no stack; call it Pulumi.NAME.yaml")
        return found.group(1)

    def read_adopted(self) -> dict[str, Any]:
        """Return what `mesh:adopted` holds, decrypted; empty where it is not set.

        Raises:
            MeshError: If the stack is not there, or its passphrase is missing or wrong.
        """
        done = self._run("get", ADOPTED, check=False)
        if done.returncode and "not found for stack" in done.stderr:
            return {}
        self._check(done)
        try:
            held = json.loads(done.stdout)
        except ValueError:
            held = None
        if not isinstance(held, dict):
            raise MeshError(f"{ADOPTED}: not a mapping; remove it with: {self.removal}")
        return held

    def write_adopted(self, keys: Mapping[str, str]) -> None:
        """Make `keys` all that `mesh:adopted` holds, at once, so that an interruption leaves what was there.

        Raises:
            MeshError: As `read_adopted`, or if the file cannot be written.
        """
        self._run("set", "--secret", ADOPTED, text=json.dumps(keys))

    @property
    def removal(self) -> str:
        """The command that takes the keys out of the stack file again."""
        return f"pulumi config rm {ADOPTED} --stack {self.stack}"

    def _run(self, verb: str, *words: str, text: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        place = ("--stack", self.stack, "--config-file", self.file, "--cwd", self.folder, "--non-interactive")
        try:
            done = subprocess.run(
                [self.command, "config", verb, *words, *place, "--color", "never"],
                input=text,
                capture_output=True,
                text=True,
                check=False,
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise MeshError(f"{self.stack}: pulumi config did not end within {_SECONDS} seconds; run again") from None
        if check:
            self._check(done)
        return done

    def _check(self, done: subprocess.CompletedProcess[str]) -> None:
        if not done.returncode:
            return
        said = _KEY.sub("[key]", done.stderr.strip().removeprefix("error: ")).splitlines() or ["pulumi config failed"]
        advice = f"run pulumi stack init {self.stack}" if "no stack named" in said[0] else "see what pulumi says"
        if "passphrase" in done.stderr:
            advice = "set PULUMI_CONFIG_PASSPHRASE_FILE to the file with the stack's passphrase"
        raise MeshError(f"{self.stack}: {said[0]}; {advice}")
