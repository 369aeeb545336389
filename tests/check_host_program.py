"""Check the host program as one text, in the order in which its parts are shipped: shellcheck as dash, and shfmt.

    python -m tests.check_host_program

prints what is found, by the file and line of its part, and ends with 1 if there is anything. `make check` runs it.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from mesh.remote.host_program import PARTS

_FOLDER = Path(__file__).parents[1] / "mesh/host"
# Globals of a part are set in subshells of others on purpose: each order is served in one.
_PASSED_OVER = "SC2030,SC2031"


def _tool(name: str) -> str:
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{Path('/usr/bin')}")
    if found is None:
        sys.exit(f"check: no {name}; run make setup")
    return found


def _faults() -> Iterator[str]:
    lines = [
        (path, number, line)
        for path in (_FOLDER / f"{part}.sh" for part in PARTS)
        for number, line in enumerate(path.read_text().splitlines(keepends=True), 1)
    ]
    done = subprocess.run(
        [_tool("shellcheck"), "-s", "dash", "-f", "json1", "-e", _PASSED_OVER, "-"],
        input="".join(line for _, _, line in lines),
        capture_output=True,
        text=True,
        check=False,
    )
    for comment in json.loads(done.stdout)["comments"]:
        path, number, _ = lines[comment["line"] - 1]
        yield f"{path.relative_to(Path.cwd())}:{number}: SC{comment['code']} {comment['message']}"


def main() -> int:
    """Return 0 if nothing is found."""
    faults = list(_faults())
    sys.stdout.writelines(f"{fault}\n" for fault in faults)
    formatted = subprocess.run([_tool("shfmt"), "-ln=posix", "-d", str(_FOLDER)], check=False)
    return int(bool(faults or formatted.returncode))


if __name__ == "__main__":
    sys.exit(main())
