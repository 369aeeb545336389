"""Mistakes of the user that only a whole process can make: each is told in a line, without a trace."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.scanned import OTHER_KEY

# Each starts processes of its own.
pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]
FILE = f"""\
config:
  mesh:hosts:
    bernard: {{externalIps: [78.11.11.11], ssh: {{address: 10.0.0.1, hostKey: {OTHER_KEY}}}}}
  mesh:interfaces:
    testwg: {{hosts: [bernard]}}
"""
WITH_IPV4 = "sed -i 's#{hosts#{ipv4: 10.20.0.0/24, hosts#' stacks/*"
MESH = shlex.join([sys.executable, "-m", "mesh"])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project with the stack `test`."""
    (tmp_path / "stacks").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: mesh\nruntime: python\n")
    (tmp_path / "stacks/Pulumi.test.yaml").write_text(FILE)
    return tmp_path


def run(project: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell there, in which MESH is the command."""
    line = script.replace("MESH", MESH)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["bash", "-c", line], cwd=project, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("MESH export hosts test >/dev/full", "standard output: No space left on device; see that it can be used"),
        ("MESH export hosts test >&-", "standard output: Bad file descriptor; see that it can be used"),
        ("mkdir gone; cd gone; rmdir ../gone; MESH export hosts test", "mesh: the working directory no longer exists"),
        ("MESH engine --record /nonexistent/x", "/nonexistent/x: No such file or directory; choose another path"),
        ("MESH engine --record stacks", "stacks: is a folder; name a file in it"),
        ("MESH metrics test --output .", ".: is a folder; name a file in it"),
        ("MESH metrics test --output ''", ".: is a folder; name a file in it"),
        ("MESH page test --output /", "/: is a folder; name a file in it"),
        ("MESH bundle test --output stacks", "stacks: is a folder; name a file in it"),
        ("MESH peer phone test --output stacks", "stacks: is a folder; name a file in it"),
        (
            f"{WITH_IPV4}; chmod 444 stacks/*; MESH allocate test",
            "stacks/Pulumi.test.yaml: is read-only; run chmod u+w",
        ),
        ("rm stacks/*; mkdir stacks/Pulumi.test.yaml; MESH plan test", "no such stack file; give its path"),
        (
            """printf 'config: {mesh:hostsFile: "\\\\0"}' >stacks/Pulumi.test.yaml; MESH export hosts test""",
            "hostsFile",
        ),
    ],
)
def test_a_mistake_is_told_in_one_line(project: Path, script: str, told: str) -> None:
    """And has the exit code of a failure that is expected."""
    done = run(project, script)
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.returncode == 1
    assert [path.name for path in (project / "stacks").iterdir()] == ["Pulumi.test.yaml"]


@pytest.mark.skipif(os.geteuid() != 0, reason="root gives its rights away here, others have none")
@pytest.mark.parametrize(
    ("place", "mode", "told"),
    [
        ("stacks/Pulumi.test.yaml", 0o000, "Pulumi.test.yaml: Permission denied; see that you can read it"),
        ("stacks", 0o555, "stacks/Pulumi.test.yaml: Permission denied; choose another path"),
        ("stacks", 0o000, "stacks/Pulumi.test.yaml: Permission denied; give a stack, or the path of its file"),
    ],
)
def test_a_file_without_rights_is_told(project: Path, place: str, mode: int, told: str) -> None:
    """Whether it is to be read or written."""
    file = project / "stacks/Pulumi.test.yaml"
    file.write_text(FILE.replace("hosts: [", "ipv4: 10.20.0.0/24, hosts: ["))
    (project / place).chmod(mode)
    lost = "-dac_override,-dac_read_search"
    done = run(project, f"setpriv --inh-caps={lost} --bounding-set={lost} MESH allocate test")
    (project / place).chmod(0o755)
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == 1


def test_an_empty_standard_input_and_error_are_no_reason_to_fail(project: Path) -> None:
    """As a service may be started."""
    done = run(project, "MESH export hosts test <&- 2>&-")
    assert done.returncode == 0
    assert "bernard.testwg" in done.stdout


@pytest.mark.parametrize("wait", [0.1, 0.3, 0.6])
def test_an_interrupt_leaves_no_trace(project: Path, wait: float) -> None:
    """Also while modules are still being read."""
    with subprocess.Popen(
        [sys.executable, "-m", "mesh", "engine", "--record", "/dev/null"],
        cwd=project, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        time.sleep(wait)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    # Before our own code is read, Python says what it says.
    assert "mesh/cli" not in told
