"""The README's section on a user's own hosts, run word for word by somebody with an agent and an SSH configuration."""

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import shell_of
from tests.lab.lab import Lab
from tests.lab.stack import mesh_address
from tests.own_agent import run_agent

_PROJECT = Path(__file__).parents[2]
# The address that the README names; dora has it for the test.
_ADDRESS = "78.11.11.11"


@pytest.fixture
def somewhere(lab: Lab) -> Iterator[None]:
    """Route the README's address to dora, for the operator and for the other hosts."""
    dora, control = lab.hosts["dora"], lab.command("ip", "route")
    router = ["nsenter", f"--net=/run/netns/{lab.network.space('inet')}", "ip", "route"]
    dora.run(f"ip address add {_ADDRESS}/32 dev lo")
    subprocess.run([*control, "add", _ADDRESS, "via", dora.ssh_address], check=True)
    subprocess.run([*router, "add", _ADDRESS, "via", f"203.0.113.{dora.spec.number}"], check=True)
    yield
    subprocess.run([*router, "del", _ADDRESS], check=True)
    subprocess.run([*control, "del", _ADDRESS], check=True)
    dora.run(f"ip address del {_ADDRESS}/32 dev lo")


@pytest.mark.usefixtures("engine", "somewhere")
def test_the_section_on_your_own_hosts_works_word_for_word(lab: Lab, tmp_path: Path) -> None:
    """A mesh of a host that SSH knows by name and one that has an address only; then it is taken away."""
    checkout, home = tmp_path / "checkout", tmp_path / "home"
    (checkout / "stacks").mkdir(parents=True)
    (home / ".ssh").mkdir(parents=True)
    for name in (
        "Pulumi.yaml",
        "__main__.py",
        "Makefile",
        "README.md",
        "pyproject.toml",
        "requirements.lock",
        "mesh",
        ".venv",
    ):
        (checkout / name).symlink_to(_PROJECT / name)
    (home / ".ssh/config").write_text(f"Host bernard\n  HostName {lab.hosts['bernard'].ssh_address}\n  User root\n")
    words = shell_of("README.md", "Your own hosts in five minutes").splitlines()
    assert f"python -m mesh new office bernard root@{_ADDRESS}" in words
    assert words[-1] == "python -m mesh status"
    script = tmp_path / "script"
    # OpenSSH takes the home folder from the user database, whatever HOME says.
    real_home = Path(os.path.expanduser(f"~{os.environ.get('USER', 'root')}"))
    (real_home / ".ssh").mkdir(mode=0o700, exist_ok=True)
    script.write_text(
        "\n".join(
            [
                "set -e",
                f"mount --bind {shlex.quote(str(home / '.ssh'))} {shlex.quote(str(real_home / '.ssh'))}",
                *words,
                "pulumi destroy",
            ]
        )
    )
    state = tmp_path / "state"
    state.mkdir()
    with run_agent(tmp_path / "agent"):
        environment = {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "TERM": "xterm",
            "SSH_AUTH_SOCK": str(tmp_path / "agent"),
            # So that nobody has to press keys, and nothing is fetched.
            "PULUMI_OPTION_YES": "true",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            # The engine takes the home folder from the user database too, and its state is to end with the test.
            "PULUMI_BACKEND_URL": f"file://{state}",
            "PULUMI_HOME": os.environ.get("PULUMI_HOME") or str(lab.directory.parent / "pulumi"),
        }
        subprocess.run(["ssh-add", "-q", str(lab.ssh_key)], env=environment, check=True)
        done = subprocess.run(
            lab.command("unshare", "-m", "script", "-qefc", f"bash {shlex.quote(str(script))}", "/dev/null"),
            cwd=checkout, env=environment, input="y\n", capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verifying 2 hosts" in done.stdout
    assert mesh_address("dora", "mesh0") in done.stdout
    assert lab.hosts["dora"].run("ls /etc/wireguard/*.conf 2>/dev/null", check=False) == ""
