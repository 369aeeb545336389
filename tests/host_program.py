"""Run functions of the host program as a host would, in a namespace of its own: its own /etc, /run and network.

What stands for a host's commands (apt-get, ufw, systemctl, …) are stubs that log how they were called. Every test runs
under dash with the GNU tools and under busybox with its own, since both kinds of hosts exist.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from mesh.remote import host_program

PARTS = Path(__file__).parents[1] / "mesh" / "host"
# These work with a real interface and real peers; tests that need one of them take it by itself.
_LEFT_OUT = (
    *("core/header", "core/transaction", "core/switch", "core/verify", "core/rollback", "core/watchdog"),
    *("core/recovery", "core/main", "wireguard/interface"),
)
PROGRAM_PARTS = [part for part in host_program.PARTS if part not in _LEFT_OUT]
TOOLS = [
    "awk",
    "cat",
    "cp",
    "chmod",
    "cut",
    "date",
    "dd",
    "env",
    "false",
    "grep",
    "head",
    "ln",
    "ls",
    "mkdir",
    "mv",
    "readlink",
    "cksum",
    "seq",
    "rm",
    "rmdir",
    "sed",
    "sha256sum",
    "sleep",
    "sort",
    "stat",
    "tail",
    "timeout",
    "touch",
    "tr",
    "true",
    "uname",
]
_NAMESPACE = ("unshare", "--mount", "--net") if os.geteuid() == 0 else ("unshare", "--user", "--map-root-user", "-mn")

# The parts need of the rest of the program only this.
_HEADER = (
    f"""
{(PARTS / "core/header.sh").read_text().partition("# at_once")[2].partition("# shared")[0].join(["# at_once", ""])}
"""
    """
set -euf
umask 077
export LC_ALL=C
fail() { printf '%s\\n' "$*" >&2; exit 1; }
say() { :; }
open_lock() { exec 9>"$home/lock"; }
shared() (
	! command -v flock >/dev/null || { exec 8>"$base/lock"; flock -n 8 || exit 1; }
	shift
	"$@" 8<&-
)
persist() { :; }
interface=${interface:-testwg}
home=$base/$interface
planned() { echo run; }
mkdir -p "$home"
"""
)
# For tests alone: the recorded ports that are open now; one that is missing was closed by another.
_DESCRIBE = """
firewall_describe() {
	for describe_port in $(firewall_ports); do
		if firewall_is_open "$describe_port"; then printf '%s\\n' "$describe_port"; fi
	done
}
"""
_MOUNTS = """
set -e
mount -t tmpfs none /mnt
mkdir /mnt/upper /mnt/work
mount -t overlay none -o lowerdir="$DIRECTORY/etc:/etc",upperdir=/mnt/upper,workdir=/mnt/work /etc
mount --bind "$DIRECTORY/run" /run
mount --bind "$DIRECTORY/module" /sys/module
[ ! -d /var/lib/pacman ] || mount -t tmpfs none /var/lib/pacman
umask 022
"$@"
"""


@cache
def what_is_missing() -> str | None:
    """Return why no namespace can be made on this machine, or None."""
    if not shutil.which("unshare"):
        return "there is no unshare"
    tried = subprocess.run(
        [*_NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, text=True, check=False
    )
    return None if tried.returncode == 0 else f"no namespaces here: {tried.stderr.strip()}"


@dataclass
class HostProgram:
    """A host on which nothing is installed but what a test gives it."""

    directory: Path
    shell: tuple[str, ...]

    @property
    def base(self) -> Path:
        """Where the program keeps its files."""
        return self.directory / "mesh"

    @property
    def home(self) -> Path:
        """Where it keeps those of the interface testwg."""
        return self.base / "testwg"

    @property
    def shared(self) -> Path:
        """Where it keeps what interfaces share."""
        return self.base / "shared-by-interfaces"

    def stub(self, name: str, body: str = "") -> None:
        """Give the host a command that logs its arguments, then does `body`."""
        log = self.directory / "calls"
        script = self.directory / "bin" / name
        script.unlink(missing_ok=True)
        script.write_text(f'#!/bin/sh\nprintf "%s\\n" "{name}${{*:+ $*}}" >>{log}\n{body}\n')
        script.chmod(0o755)

    def real(self, *names: str) -> None:
        """Give the host these commands of the machine, or skip the test where one is not to be had."""
        for name in names:
            found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
            if found is None:
                pytest.skip(f"there is no {name} on this machine")
            link = self.directory / "bin" / name
            link.unlink(missing_ok=True)
            link.symlink_to(found)

    def without(self, *names: str) -> None:
        """Take commands from the host."""
        for name in names:
            (self.directory / "bin" / name).unlink()

    def etc(self, path: str, text: str = "") -> None:
        """Lay a file below the host's /etc."""
        file = self.directory / "etc" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def boots(self, init: str) -> None:
        """Make the host one that systemd or OpenRC has booted."""
        (self.directory / "run" / {"systemd": "systemd/system", "openrc": "openrc/softlevel"}[init]).mkdir(parents=True)

    def calls(self) -> list[str]:
        """Return the stubs' calls since the last time this was asked."""
        log = self.directory / "calls"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    def run(self, script: str, *, fails: bool = False, counted: bool = False) -> subprocess.CompletedProcess[str]:
        """Run shell text with the program's functions; assert that it ends as expected.

        If `counted`, its processes have numbers of their own, one after another.
        """
        parts = "".join((PARTS / f"{part}.sh").read_text() for part in PROGRAM_PARTS)
        program = self.directory / "program"
        program.write_text(f"{_HEADER}\n{parts}\n{_DESCRIBE}\n{script}\n")
        numbers = ["--pid", "--fork"] if counted else []
        mounted = [*_NAMESPACE, *numbers, "/bin/sh", "-c", _MOUNTS, "sh", *self.shell, str(program)]
        environment = {
            "PATH": f"{self.directory / 'bin'}:{self.directory / 'tools'}",
            "DIRECTORY": str(self.directory),
            "base": str(self.base),
        }
        # unshare and mount come from the machine; the program sees only its host's commands.
        mounted[mounted.index("sh") + 1 : mounted.index("sh") + 1] = ["/usr/bin/env", f"PATH={environment['PATH']}"]
        ended = subprocess.run(
            mounted,
            env={**environment, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert (ended.returncode != 0) == fails, f"exit {ended.returncode}: {ended.stdout}\n{ended.stderr}"
        return ended


@pytest.fixture(params=["dash", pytest.param("busybox", marks=pytest.mark.thorough)])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> HostProgram:
    """Give a host with a shell, its tools and nothing else."""
    missing = what_is_missing()
    if missing:
        pytest.skip(missing)
    interpreter = shutil.which(request.param)
    if interpreter is None:
        pytest.skip(f"there is no {request.param} on this machine")
    for folder in (
        "bin",
        "tools",
        "etc/systemd/system",
        "etc/init.d",
        "etc/runlevels/default",
        "run",
        "module",
        "mesh/shared-by-interfaces",
    ):
        (tmp_path / folder).mkdir(parents=True)
    for tool in TOOLS:
        target = interpreter if request.param == "busybox" else shutil.which(tool)
        assert target is not None
        (tmp_path / "tools" / tool).symlink_to(target)
    return HostProgram(tmp_path, (interpreter, "sh") if request.param == "busybox" else (interpreter,))
