"""The real wg-meshconf, in an environment of its own: what it writes is what an import of its database stands for."""

import fcntl
import json
import subprocess
import venv
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests.lab.lab import lab_directory

__all__ = ["NotInstalledError", "generate", "run"]

_RELEASE = "wg-meshconf==2.5.1"
# Its own code, as its commands call it, in one process for many meshes.
_GENERATE = """
import json, pathlib, sys
from wg_meshconf.database_manager import DatabaseManager
for number, hosts in enumerate(json.load(sys.stdin)):
    folder = pathlib.Path(str(number))
    folder.mkdir()
    database = DatabaseManager(folder / "database.csv")
    database.init()
    for host in hosts:
        database.addpeer(**host)
    database.genconfig(None, folder / "output")
"""


class NotInstalledError(Exception):
    """This machine does not have it, and cannot fetch it."""


@cache
def _commands() -> Path:
    folder = lab_directory() / "tools" / "wg-meshconf"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "bin" / "wg-meshconf").exists():
            venv.create(folder, with_pip=True)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", _RELEASE]
            done = subprocess.run(pip, capture_output=True, text=True, check=False)
            if done.returncode:
                raise NotInstalledError(f"{_RELEASE} cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
    return folder / "bin"


def run(folder: Path, *words: str) -> None:
    """Run one of its commands in a folder.

    Raises:
        NotInstalledError: If it is not there and cannot be fetched.
    """
    command = [str(_commands() / "wg-meshconf"), *words]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def generate(folder: Path, meshes: Sequence[Sequence[dict[str, Any]]]) -> list[Path]:
    """Return a folder for each mesh of hosts, with its `database.csv` and what that generates in `output`.

    Raises:
        NotInstalledError: If it is not there and cannot be fetched.
    """
    command = [str(_commands() / "python"), "-c", _GENERATE]
    subprocess.run(command, cwd=folder, input=json.dumps(meshes), text=True, check=True, capture_output=True)
    return [folder / str(number) for number in range(len(meshes))]
