"""Stands for the `pulumi` command where `python -m mesh` asks what a rehearsal remembers; it changes nothing.

It imports little, since a test waits for it several times.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

_VERSION = "v3.260.0"


def _answer(words: list[str], resources: list[Any], outputs: dict[str, Any], config: dict[str, Any]) -> str:
    match [word for word in words if not word.startswith("--") and word not in {"lab", "never"}]:
        case ["version"]:
            return _VERSION
        case ["config"]:
            return json.dumps({
                name: {"value": value} if isinstance(value, str) else {"value": json.dumps(value), "objectValue": value}
                for name, value in config.items()
            })  # fmt: skip
        case ["stack", "export"]:
            return json.dumps({"deployment": {"resources": resources}})
        case ["stack", "output"]:
            return json.dumps(outputs)
        case ["stack"]:
            return "lab"
        case _:
            raise SystemExit(f"error: a rehearsal does not know pulumi {' '.join(words)}; use engine_stack")


def main() -> None:
    """Answer one question."""
    state = Path(os.environ["MESH_REHEARSAL_STATE"])
    stored = json.loads(state.read_text()) if state.exists() else {"resources": [], "outputs": {}}
    # A test writes it in JSON, on one line.
    line = Path(os.environ["PULUMI_OPTION_CONFIG_FILE"]).read_text().splitlines()[-1].removeprefix("config: ")
    sys.stdout.write(_answer(sys.argv[1:], stored["resources"], stored["outputs"], json.loads(line)) + "\n")


main()
