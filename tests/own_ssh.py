"""The real ssh with files of a test: it takes its own from the user database, whatever HOME says."""

import shutil
from pathlib import Path

__all__ = ["write_own_ssh"]

_SSH = shutil.which("ssh") or "ssh"


def write_own_ssh(folder: Path, options: str) -> None:
    """Write a program called ssh, for PATH, that has these options, quoted for a shell."""
    program = folder / "ssh"
    program.write_text(f'#!/bin/sh\nexec {_SSH} {options} "$@"\n')
    program.chmod(0o755)
