"""How `mesh.remote.host_program` puts the host program together and starts it."""

import re
import shutil
import subprocess

import pytest

from mesh.remote import host_program
from mesh.remote.replies import NOTHING_THERE
from tests.host_program import PARTS


def test_the_program_is_one_text_that_the_shell_accepts() -> None:
    """Every part is there and none breaks another."""
    subprocess.run(["sh", "-n"], input=host_program.text(), text=True, check=True)
    for order in ("stage", "arm", "prove", "confirm", "wipe"):
        assert f"order_{order}()" in host_program.text()


def test_what_is_shipped_is_the_parts_without_their_comments() -> None:
    """A third less for each host; the files that it writes there are whole."""
    source = "".join((PARTS / f"{part}.sh").read_text() for part in host_program.PARTS)
    assert len(host_program.text()) < 0.75 * len(source)
    written = re.findall(r"<<'(\w+)'\n(.*?)\n\1\n", source, re.DOTALL)
    assert written
    for _, text in written:
        assert text in host_program.text()


def test_the_digest_names_the_version() -> None:
    """Sixteen hex digits, which the path on the host carries."""
    assert len(host_program.program_digest()) == 16
    assert f"{host_program.DIRECTORY}/program-{host_program.program_digest()}" in host_program.invocation("testwg")


def test_the_invocation_knows_the_length_of_the_text() -> None:
    """In bytes, so that a cut-off copy never runs."""
    for text in (host_program.text().encode(), host_program.packed()):
        assert f"head -c {len(text)}" in host_program.invocation("testwg")


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_invocation_passes_shellcheck() -> None:
    """It is code too."""
    text = "#!/bin/sh\n" + host_program.invocation("testwg") + "\n"
    subprocess.run(["shellcheck", "-S", "error", "-"], input=text, text=True, check=True)


def test_a_host_that_has_nothing_says_so_in_the_words_that_commands_know() -> None:
    """It is told as one that was reinstalled, and not as one that cannot be asked."""
    assert f".error '{NOTHING_THERE}'; " in host_program.invocation("testwg", only_known=True)
