"""The `pulumi` command on one stack of this checkout: what it answers without a secret, and running it for the user."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from mesh.cli.engine import find_engine
from mesh.cli.stack_file import find_stack_file
from mesh.config.hosts_file import read_hosts
from mesh.config.models import Configuration
from mesh.config.reader import read_configuration
from mesh.errors import MeshError
from mesh.stored.forms import RecordedRollout
from mesh.stored.reader import read_peer_files, read_recorded

__all__ = ["Cli", "Recorded"]

_FILE_VARIABLE = "PULUMI_OPTION_CONFIG_FILE"
# What ends the name of a stack's output that holds the files of peers.
PEERS = "-peers"
_ROLLOUT = ":dynamic/mesh:Rollout"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the state says of one mesh: who is in it since its last proven rollout, and who left and is not wiped."""

    members: frozenset[str]
    not_wiped: frozenset[str]
    rollout: RecordedRollout = field(repr=False)


class Cli:
    """Pulumi on the stack of that name, or on the one that is selected."""

    def __init__(self, folder: Path, stack: str | None) -> None:
        """Find the engine; `folder` is the project's.

        Raises:
            MeshError: If there is no engine that fits.
        """
        engine = find_engine()
        if engine is None:
            raise MeshError("pulumi: not found in a version that fits; run make setup")
        self._command = str(engine.command)
        self._folder = folder
        self._stack = ["--stack", stack] if stack else []

    def _ask(self, *words: str) -> str:
        done = subprocess.run(
            [self._command, *words, *self._stack, "--non-interactive"],
            cwd=self._folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["it failed without a word"]
            raise MeshError(f"pulumi {' '.join(words)}: {said[-1].removeprefix('error: ')}; name a stack that exists")
        return done.stdout

    def stack_file(self) -> Path:
        """Return the stack's file: the one that Pulumi's own variable names, else the one in stacks/."""
        if named := os.environ.get(_FILE_VARIABLE):
            return find_stack_file(named, self._folder)
        name = self._stack[1] if self._stack else self._ask("stack", "--show-name").strip()
        return find_stack_file(name.rpartition("/")[2], self._folder)

    def configuration(self) -> Configuration:
        """Return what the stack file asks for.

        Raises:
            ConfigurationError: With every fault of the file.
        """
        values = json.loads(self._ask("config", "--json"))
        hosts, interfaces = (values.get(name, {}).get("objectValue") for name in ("mesh:hosts", "mesh:interfaces"))
        file = values.get("mesh:hostsFile", {}).get("value")
        return read_configuration(read_hosts(hosts, file, self._folder), interfaces)

    def recorded(self) -> dict[str, Recorded]:
        """Return what the state says of each mesh that was ever rolled out, by interface."""
        exported: Mapping[str, Any] = json.loads(self._ask("stack", "export"))
        found = {}
        for resource in exported["deployment"].get("resources") or []:
            if resource["type"].endswith(_ROLLOUT):
                last = read_recorded(str(resource.get("id")), resource.get("outputs") or {})
                members = frozenset(last["roster"]["members"])
                found[last["roster"]["interface"]] = Recorded(members, frozenset(last["notWiped"]), last)
        return found

    def peer_files(self) -> dict[str, dict[str, str]]:
        """Return the files of the peers that are not managed here, in clear, by interface and name."""
        outputs: Mapping[str, Any] = json.loads(self._ask("stack", "output", "--json", "--show-secrets"))
        found = {name: files for name, files in outputs.items() if name.endswith(PEERS) and files}
        return {name.removesuffix(PEERS): read_peer_files(name, files) for name, files in found.items()}

    def become(self, verb: str, options: Sequence[str], variables: Mapping[str, str]) -> NoReturn:
        """Go on as pulumi, with this terminal; so its display, its signals and its exit code are the user's."""
        sys.stdout.flush()
        sys.stderr.flush()
        os.chdir(self._folder)
        os.execvpe(self._command, [self._command, verb, *self._stack, *options], {**os.environ, **variables})  # noqa: S606
