"""The real ssh-agent, for one test."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["run_agent"]

# What ssh-add says where no agent answers; one that holds no key is 1.
_NOBODY = 2


@contextmanager
def run_agent(socket: Path) -> Iterator[None]:
    """Run an ssh-agent that holds no key, and answers, at `socket`."""
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        # Its socket is there a moment before it listens.
        while _listed(socket) == _NOBODY:
            assert time.monotonic() < until, f"{socket}: no agent answers"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def _listed(socket: Path) -> int:
    environment = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
    return subprocess.run(["ssh-add", "-l"], env=environment, capture_output=True, check=False).returncode
