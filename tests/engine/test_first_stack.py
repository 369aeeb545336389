"""The first steps of a user, as the README and the messages tell them, against hosts that answer a scan."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import ROOT, shell_of
from tests.engine.ssh_hosts import Hosts
from tests.own_ssh import write_own_ssh

_NEW = "python -m mesh new office bernard root@78.11.11.11"
_TOOLS = ("pulumi-resource-command", "pulumi-resource-random")


class Operator:
    """Somebody with a checkout, a home folder, an SSH configuration that knows the hosts, and no pulumi on PATH."""

    def __init__(self, folder: Path, hosts: Hosts, key: Path) -> None:
        """Prepare the checkout as far as setup fetches it; its engine is where an earlier setup installed it."""
        self.hosts, self.checkout, home = hosts, folder / "checkout", folder / "home"
        (self.checkout / "stacks").mkdir(parents=True)
        for name in ("Pulumi.yaml", "__main__.py", "Makefile", "pyproject.toml", "requirements.lock", "mesh"):
            (self.checkout / name).symlink_to(ROOT / name)
        self._make_environment()
        engine, tools = Path(shutil.which("pulumi") or ""), folder / "tools"
        tools.mkdir()
        (home / ".pulumi/bin").mkdir(parents=True)
        for part in engine.parent.glob("pulumi*"):
            place = tools if part.name in _TOOLS else home / ".pulumi/bin"
            # Not a link by name, since an engine looks for its parts beside where that leads.
            try:
                os.link(part, place / part.name)
            except OSError:
                shutil.copy(part, place)
        self.environment = {
            "HOME": str(home),
            "PATH": f"{self._ssh(folder)}:{tools}:/usr/bin:/bin",
            "MESH_SSH_KEY_FILE": str(key),
            "PULUMI_BACKEND_URL": f"file://{home}",
            "PULUMI_HOME": str(home / ".pulumi"),
            "PULUMI_OPTION_YES": "true",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "COLUMNS": "200",
        }

    def _make_environment(self) -> None:
        """Make a virtual environment that has the packages of ours, and that make takes for complete."""
        place = self.checkout / ".venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
        packages = next(place.glob("lib/python*/site-packages"))
        (packages / "ours.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
        locked = (ROOT / "requirements.lock").read_bytes()
        lock = subprocess.run(["cksum"], input=locked, capture_output=True, check=True)
        (place / f".lock-{lock.stdout.decode().split()[0]}").touch()
        (place / "bin/mesh").touch()

    def _ssh(self, folder: Path) -> Path:
        """Return a folder with the real ssh, which takes its files from the home folder of the user database."""
        tools, known = folder / "ssh", folder / "ssh/known_hosts"
        tools.mkdir()
        ports = {name: host.port for name, host in self.hosts.by_name.items()}
        lines = [f"Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  User root\n" for name, port in ports.items()]
        (tools / "config").write_text("".join(lines) + f"Host *\n  UserKnownHostsFile {known}\n")
        known.write_text("".join(f"[127.0.0.1]:{port} {self.hosts.host_key}\n" for port in ports.values()))
        write_own_ssh(tools, f"-F {tools}/config")
        return tools

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run lines of a shell in the checkout."""
        return subprocess.run(
            ["bash", "-ec", script], cwd=self.checkout, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    """Return an operator of two hosts."""
    with Hosts(["h1", "h2"], tmp_path / "key") as hosts:
        yield Operator(tmp_path, hosts, tmp_path / "key")


def test_the_five_minutes_of_the_readme_are_enough_with_an_engine_that_setup_installed(operator: Operator) -> None:
    """It is not on PATH; and a second stack leaves the passphrase of the first one as it was."""
    lines = shell_of("README.md", "Your own hosts in five minutes")
    assert _NEW in lines
    first = operator.run(lines.replace(_NEW, "python -m mesh new office h1 h2"))
    assert first.returncode == 0, first.stdout + first.stderr
    assert all(operator.hosts[name].confirmed("mesh0") for name in ("h1", "h2"))
    second = operator.run(lines.replace(_NEW, "python -m mesh new lan h1 h2 --interface lanwg"))
    assert second.returncode == 0, second.stdout + second.stderr
    ready = lines.partition("python -m mesh new")[0]
    again = operator.run(f"{ready}pulumi up --stack office")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "unchanged" in again.stdout


def test_what_new_says_comes_next_works_after_a_host_was_mended(operator: Operator) -> None:
    """In the order in which it says it."""
    operator.hosts.become("h2", "dead")
    ready = "make setup\n. .venv/bin/activate\nexport PULUMI_CONFIG_PASSPHRASE=of-the-test\n"
    made = operator.run(f"{ready}python -m mesh new office h1 h2")
    assert made.returncode == 1
    assert "error: host 'h2': cannot be reached" in made.stderr
    said = made.stdout.partition("next, when that is mended:\n")[2]
    steps = [line.removeprefix("    ") for line in said.splitlines() if line.startswith("    ")]
    assert steps[0] == "python -m mesh scan office"
    operator.hosts.become("h2", "well")
    done = operator.run(ready + "\n".join(steps))
    assert done.returncode == 0, done.stdout + done.stderr
    assert operator.hosts["h2"].confirmed("mesh0")


def test_without_a_passphrase_what_new_says_comes_next_is_complete(operator: Operator) -> None:
    """Also where no host has failed."""
    ready = "make setup\n. .venv/bin/activate\n"
    made = operator.run(f"{ready}python -m mesh new stacks/Pulumi.office.yaml h1 h2")
    assert made.returncode == 0, made.stdout + made.stderr
    steps = "\n".join(line.strip() for line in made.stdout.partition("next:\n")[2].splitlines())
    file = operator.checkout / "secret"
    file.write_text("of the test\n")
    done = operator.run(ready + re.sub(r"=FILE\b", f"={file}", steps))
    assert done.returncode == 0, done.stdout + done.stderr
    assert operator.hosts["h2"].confirmed("mesh0")
