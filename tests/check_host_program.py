"""Check the host program as one text, in the order in which its parts are shipped: shellcheck as dash, and shfmt.

    python -m tests.check_host_program

prints what is found, by the file and line of its part, and ends with 1 if there is anything. `make check` runs it.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from mesh.remote.host_program import PARTS

_FOLDER = Path(__file__).parents[1] / "mesh/host"
# Each order is served in a subshell, so that what it sets is gone with it (SC2030, SC2031). Lists of files of ours are
# words, and with `set -f` no word is ever a pattern (SC2046). The rest is taste: `A && B || C` where B cannot
# fail, `ls` of our own folder, `cat` of several files.
_PASSED_OVER = "SC2002,SC2012,SC2013,SC2015,SC2030,SC2031,SC2046,SC2119,SC2120,SC2181"


def _tool(name: str) -> str:
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
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
