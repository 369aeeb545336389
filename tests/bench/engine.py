"""What the engine costs by the number of hosts: seconds, changed resources and the size of the state.

Hosts are stand-ins on loopback, so that what is measured is the engine, the program and our fan-out. The lab's part
belongs in `lab`.
"""

import json
import os
import resource
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

from mesh.cli.checkpoints import CHECKPOINTS_VARIABLE
from tests.engine.ssh_hosts import Hosts
from tests.engine.stack import Stack

__all__ = ["Measurement", "measure"]

_INTERFACE = "testwg"
# Above this, a first up that writes the state at every step takes a quarter of an hour and more.
_MOST_WITH_CHECKPOINTS = 300


@dataclass(frozen=True)
class Measurement:
    """One row: times in seconds, `state` in kilobytes of 1000 bytes, `changed` in resources.

    `once` is a first up without checkpoints, as `python -m mesh up` does it; `first` is one with them, or None where
    there are too many hosts for that. `looks` are those commands that ask all hosts, by name. `memory` is the
    most, in megabytes, that the engine and all that it started had at one moment of that first up.
    """

    hosts: int
    preview: float
    first: float | None
    once: float
    nothing: float
    add: float
    rotate: float
    changed: int
    state: float
    memory: float
    looks: dict[str, float]


_LOOKS = (("status", "--json"), ("doctor", "--json"), ("metrics",), ("page", "--output", "-"))


def _new_stack(folder: Path, hosts: Hosts, key: Path, members: Sequence[str]) -> Stack:
    stack = Stack(folder, hosts, key)
    stack.patience = 3600
    stack.hosts_file = "hosts.yaml" if len(members) > 300 else ""
    stack.write(_plan(members))
    return stack


def _plan(names: Sequence[str], **more: Any) -> dict[str, Any]:
    return {_INTERFACE: {"hosts": list(names), "deadline": 600, **more}}


def _measure(count: int, folder: Path) -> Measurement:
    names = [f"h{number}" for number in range(1, count + 2)]
    key, another_key = folder / "operator-key", folder / "another-key"
    first = None
    if count <= _MOST_WITH_CHECKPOINTS:
        with Hosts(names, another_key) as hosts:
            first = _new_stack(folder / "with-checkpoints", hosts, another_key, names[:-1]).up().seconds
    with Hosts(names, key) as hosts:
        stack = _new_stack(folder / "stack", hosts, key, names[:-1])
        preview = stack.must("preview").seconds
        stack.environment[CHECKPOINTS_VARIABLE] = "true"
        with _PeakMemory() as peak:
            once = stack.up().seconds
        del stack.environment[CHECKPOINTS_VARIABLE]
        nothing = stack.up().seconds
        state = len(json.dumps(stack.export(), separators=(",", ":"))) / 1000
        stack.write(_plan(names))
        add = stack.up().seconds
        last = json.loads(stack.must("stack", "history", "--json", "--page-size", "1", "--page", "1").output)[0]
        changed = sum(number for verb, number in last["resourceChanges"].items() if verb != "same")
        stack.write(_plan(names, members={names[0]: {"rotation": 2}}))
        rotate = stack.up().seconds
        looks = {words[0]: _look(stack, *words) for words in _LOOKS}
    return Measurement(count, preview, first, once, nothing, add, rotate, changed, state, peak.megabytes, looks)


class _PeakMemory:
    """Looks, four times a second, at how much memory the sessions that this process began have together."""

    def __init__(self) -> None:
        self.megabytes = 0.0
        self._ended = Event()
        self._looking = Thread(target=self._look)

    def __enter__(self) -> Self:
        self._looking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._looking.join()

    def _look(self) -> None:
        while not self._ended.wait(0.25):
            self.megabytes = max(self.megabytes, _resident() / 1e6)


def _resident() -> int:
    """Return the bytes that the processes of these sessions have in memory; what they share counts for each."""
    pages: dict[int, int] = defaultdict(int)
    leaders = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            parent, session, resident = int(fields[1]), int(fields[3]), int(fields[21])
            pages[session] += resident
            if parent == os.getpid() and session == int(process.name):
                leaders.add(session)
    return sum(pages[session] for session in leaders) * resource.getpagesize()


def _look(stack: Stack, command: str, *options: str) -> float:
    outcome = stack.companion(command, "test", *options)
    assert outcome.code == 0, outcome.text
    return outcome.seconds


def measure(counts: Sequence[int]) -> Iterator[Measurement]:
    """Yield a row for each number of hosts."""
    # A host costs a few file descriptors in each of three processes.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="mesh-bench-") as folder:
            yield _measure(count, Path(folder))
