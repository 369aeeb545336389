"""A stack without an engine: the same program and the same providers against the same hosts, in a forked process.

What is about the engine itself (targets, locks, secrets in the state, kills between two of its steps) needs `Stack`.
"""

import ctypes
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

from tests.lab.stack import Outcome, Run, Stack
from tests.rehearsal.state import State

__all__ = ["RehearsedStack"]

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET in sched.h
# What becomes pulumi, or changes what pulumi keeps.
_WITH_ENGINE = {"adopt", "up"}

# One process has everything imported and forks for each verb, which costs a second less than a new interpreter.
_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(["tests.rehearsal.verbs", "mesh.component.library", "mesh.rollout.apply"])


def _act(
    output: Connection, namespace: Path, project: Path, environment: Mapping[str, str], words: Sequence[str]
) -> None:
    from tests.rehearsal.verbs import end, rehearse  # noqa: PLC0415 - not in the process of the tests

    os.setsid()
    for stream in (1, 2):
        os.dup2(output.fileno(), stream)
    output.close()
    with namespace.open() as network:
        if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), _NEW_NETWORK):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    os.chdir(project)
    os.environ.clear()
    os.environ.update(environment)
    # No engine listens anywhere whose end would be an end of the run.
    sys.argv = ["rehearsal"]
    verb, *options = words
    file = Path(environment["PULUMI_OPTION_CONFIG_FILE"])
    end(rehearse(verb, options, file, State.load(_state_file(project)), project / "__main__.py"))


def _state_file(project: Path) -> Path:
    return project.parent / "rehearsal.json"


class _Forked:
    """A forked process, with what `Run` needs of one."""

    def __init__(self, *arguments: object) -> None:
        reading, writing = _FORKING.Pipe(duplex=False)
        self._process = _FORKING.Process(target=_act, args=(writing, *arguments))
        self._process.start()
        writing.close()
        self.stdout: IO[str] | None = os.fdopen(os.dup(reading.fileno()), errors="replace")
        reading.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, seconds: float) -> int | None:
        self._process.join(seconds)
        if self._process.exitcode is None:
            self.send_signal(signal.SIGKILL)
            raise TimeoutError(f"no end within {seconds:.0f} seconds")
        return self._process.exitcode


class RehearsedStack(Stack):
    """A stack whose state is a file; verbs, files, hosts and outcomes are as with the engine."""

    def _make_stack(self) -> None:
        self._state = _state_file(self.project)
        tools = self.folder / "bin"
        tools.mkdir()
        script = Path(__file__).parents[1] / "rehearsal" / "reading.py"
        (tools / "pulumi").write_text(f'#!/bin/sh\nexec {sys.executable} -S -E {script} "$@"\n')
        (tools / "pulumi").chmod(0o755)
        self.environment |= {
            "PATH": f"{tools}:{self.environment['PATH']}",
            "MESH_REHEARSAL_STATE": str(self._state),
        }

    def take_over(self, other: Stack) -> None:
        """Go on from the state of an engine's stack, with its stack file."""
        State.of_engine(other.state(), self._state).save()
        self.file.write_text(other.file.read_text())
        self.interfaces = other.interfaces

    def start(self, verb: str, *options: str) -> Run:
        """Start a verb and return at once."""
        assert (self.project / "mesh").is_symlink(), "another checkout needs the engine: engine_stack"
        namespace = Path("/run/netns", self.lab.control_namespace)
        return Run(_Forked(namespace, self.project, self.environment, (verb, *options)))

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
