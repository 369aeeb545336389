"""Draw the picture of the README from the output of a real run.

    PULUMI_OPTION_COLOR=always script -qefc 'stty cols 110; make demo' demo.log
    python -m docs.picture demo.log

It leaves out what repeats and what is about the machine, and changes nothing else.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

__all__ = ["PICTURE", "choose", "draw"]

PICTURE = Path(__file__).parent / "demo.svg"
_WIDTH = 92
_TERMINAL = re.compile(r"\x1b\](.*?)(\x07|\x1b\\)|\x1b\[[0-9;?]*[A-Zac-ln-z]")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_STEP = re.compile(r"^demo: (booting|filling|pulumi up)")
_CREATED = re.compile(r"^ \+  (\S+) (\S+) created")
_NOISE = re.compile(r"^@ |creating|warning: |^\s*$|pulumi:pulumi:Stack|^Diagnostics|^Updating")


def choose(recorded: str) -> Iterator[str]:
    """Yield the lines of a recorded run that the picture shows, with their colours."""
    yield "$ make demo"
    kinds: set[str] = set()
    for line in _TERMINAL.sub("", recorded).replace("\r", "").split("\n"):
        plain = _COLOUR.sub("", line)
        if created := _CREATED.match(plain):
            # One of each kind is enough, and the stack's own line counts the machine's warnings.
            if created[1] not in kinds and not created[1].startswith("pulumi:pulumi:"):
                kinds.add(created[1])
                yield line
        elif _STEP.match(plain) or (kinds and not _NOISE.search(plain)):
            if plain.startswith("demo: ") and kinds:
                return
            yield line


def draw(lines: Iterator[str]) -> str:
    """Return the lines as the SVG of a terminal."""
    with Path("/dev/null").open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=_WIDTH, file=nowhere, force_terminal=True)
        for line in lines:
            console.print(Text.from_ansi(line), soft_wrap=False, no_wrap=True, overflow="ellipsis")
        picture = console.export_svg(title="make demo", unique_id="mesh")
    # A picture that is opened should not ask another server for a font.
    return re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL)


if __name__ == "__main__":
    PICTURE.write_text(draw(choose(Path(sys.argv[1]).read_text(encoding="utf-8"))), encoding="utf-8")
