"""How a command ends."""

import subprocess
import sys

_INTERRUPTED = """
from mesh.cli import app
def interrupted(): raise KeyboardInterrupt
app.app = interrupted
app.main()
"""


def test_ctrl_c_before_typer_looks_after_it_ends_a_command_in_a_word_too() -> None:
    """As while the commands are put together. In a process of its own, since it may end with the command."""
    ended = subprocess.run([sys.executable, "-c", _INTERRUPTED], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (130, "interrupted\n")
