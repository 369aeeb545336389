"""A rehearsal in a process of its own, forked from one that has everything imported.

That costs a second less than a new interpreter.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

from tests.rehearsal.state import State

__all__ = ["Forked", "stand_for_pulumi"]

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET in sched.h

_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(["tests.rehearsal.verbs", "mesh.component.library", "mesh.rollout.apply"])


def _act(
    output: Connection,
    namespace: Path | None,
    project: Path,
    state: Path,
    environment: Mapping[str, str],
    words: Sequence[str],
) -> None:
    from tests.rehearsal.verbs import end, rehearse  # noqa: PLC0415 - not in the process of the tests

    os.setsid()
    for stream in (1, 2):
        os.dup2(output.fileno(), stream)
    output.close()
    if namespace:
        _enter(namespace)
    os.chdir(project)
    os.environ.clear()
    os.environ.update(environment)
    # No engine listens anywhere whose end would be an end of the run.
    sys.argv = ["rehearsal"]
    verb, *options = words
    file = Path(environment["PULUMI_OPTION_CONFIG_FILE"])
    end(rehearse(verb, options, file, State.load(state), project / "__main__.py"))


def _enter(namespace: Path) -> None:
    with namespace.open() as network:
        if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), _NEW_NETWORK):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")


class Forked:
    """A rehearsal that runs, with what a test needs of a process.

    It runs in the network `namespace`, or in this one; it is of the program in `project`, and `state` is its file.
    """

    def __init__(
        self, namespace: Path | None, project: Path, state: Path, environment: Mapping[str, str], words: Sequence[str]
    ) -> None:
        """Start a verb with its options."""
        reading, writing = _FORKING.Pipe(duplex=False)
        arguments = (writing, namespace, project, state, dict(environment), words)
        self._process = _FORKING.Process(target=_act, args=arguments)
        self._process.start()
        writing.close()
        self.stdout: IO[str] | None = os.fdopen(os.dup(reading.fileno()), errors="replace")
        reading.close()

    @property
    def pid(self) -> int:
        """Its number, and that of its session."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, None before its end."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def wait(self, seconds: float) -> int | None:
        """Return its exit code once it has ended; end it after so many seconds.

        Raises:
            TimeoutError: If it had to be ended.
        """
        self._process.join(seconds)
        if self._process.exitcode is None:
            self.send_signal(signal.SIGKILL)
            raise TimeoutError(f"no end within {seconds:.0f} seconds")
        return self._process.exitcode


def stand_for_pulumi(folder: Path, state: Path) -> dict[str, str]:
    """Return what to put into the environment so that `python -m mesh` reads `state`, where it asks pulumi.

    The command that stands for pulumi lies in the new `folder`.
    """
    folder.mkdir()
    script = Path(__file__).parent / "reading.py"
    command = folder / "pulumi"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E {script} "$@"\n')
    command.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "MESH_REHEARSAL_STATE": str(state)}
