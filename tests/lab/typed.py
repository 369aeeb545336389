"""A stack called `office`, as the pages call it: its file lies in its checkout, and lines are typed there."""

import os
import shlex
import subprocess
from pathlib import Path

from tests.lab.lab import Lab
from tests.lab.stack import Stack, UnexpectedEndError

__all__ = ["TypedStack"]

_QUESTION = b"[y/N]: "


class TypedStack(Stack):
    """A stack of which a test types lines at a terminal, in its checkout, as a reader of the pages does."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        """Make a checkout without a stack, where the pages begin."""
        super().__init__(lab, folder, "office")

    def _make_stack(self) -> None:
        self.file.unlink()
        self.file = self.project / "stacks" / self.file.name
        self.file.parent.mkdir()
        self.environment["PULUMI_OPTION_CONFIG_FILE"] = str(self.file)

    def type_in(self, lines: str) -> str:
        """Return what a terminal shows of lines, up to the first that fails; whatever is asked there gets a yes.

        Raises:
            UnexpectedEndError: If a line fails.
        """
        script = self.folder / "typed"
        script.write_text(f"set -e\n. .venv/bin/activate\n{lines}")
        environment = {**self.environment, "TERM": "xterm", "PULUMI_OPTION_YES": "true"}
        # A reader's pulumi finds the file by the name of the stack.
        del environment["PULUMI_OPTION_CONFIG_FILE"]
        shown = b""
        with subprocess.Popen(
            self.lab.command("timeout", "300", "script", "-qefc", f"bash {shlex.quote(str(script))}", os.devnull),
            cwd=self.project, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            bufsize=0,
        ) as terminal:  # fmt: skip
            assert terminal.stdin
            assert terminal.stdout
            while part := terminal.stdout.read(65536):
                # Not before: what is typed too early, pulumi throws away.
                if (shown + part).count(_QUESTION) > shown.count(_QUESTION):
                    terminal.stdin.write(b"y\n")
                shown += part
        if terminal.returncode:
            raise UnexpectedEndError(f"{lines}ended with {terminal.returncode}:\n{shown.decode()}")
        return shown.decode()

    def lose_state(self) -> None:
        """Delete the folder of the backend; what is in it is lost."""
        subprocess.run(["rm", "-r", str(self.folder / "state")], check=True)
        (self.folder / "state").mkdir()
