"""A booted host of a lab, whatever it runs in: its identity, its supervisor, its processes and what must be left of it.

How one is made, booted and talked to is for its kind: `containers` or `machines`.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.lab.network import Network

__all__ = ["Host", "HostSpec"]

# Ends when the SSH server at an address has greeted, and badly if it has not within so many seconds.
_PROBE = """
import socket, sys, time
address, until = sys.argv[1], time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    try:
        with socket.create_connection((address, 22), 1) as line:
            line.settimeout(2)
            if line.recv(4).startswith(b"SSH-"):
                sys.exit()
    except OSError:
        pass
    time.sleep(0.05)
sys.exit(1)
"""
_CGROUPS = [Path("/sys/fs/cgroup") / kind for kind in ("systemd", "unified", "memory", "pids")]


@dataclass(frozen=True)
class HostSpec:
    """What a host is: `nat` puts it behind a symmetric NAT, `firewall` is nftables, ufw or nothing of ours.

    A `container` shares this machine's kernel; a `machine` is a virtual one with a kernel of its own.
    """

    name: str
    number: int
    root: str = "trixie"
    nat: bool = False
    firewall: str = ""
    sudo_user: str = ""
    disk_megabytes: int = 0
    default_max_startups: bool = False
    kind: str = "container"


class Host(ABC):
    """A host of a lab, alive or not; attaching to one again needs only the same arguments."""

    # How many times as long as a container it takes for anything.
    slowness = 1.0

    def __init__(self, spec: HostSpec, folder: Path, network: Network, root: Path) -> None:
        """Describe a host whose files are in `folder`."""
        self.spec = spec
        self.folder = folder
        self.network = network
        self.root = root
        self._supervisor: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """The host's name."""
        return self.spec.name

    @property
    def ssh_address(self) -> str:
        """Where SSH finds it."""
        return self.network.management_address(self.spec.number)

    @property
    def external_address(self) -> str | None:
        """Its public IPv4 address, None behind NAT."""
        return None if self.spec.nat else f"203.0.113.{self.spec.number}"

    @property
    @abstractmethod
    def files(self) -> Path:
        """The host's file system, as seen from outside.

        Raises:
            RuntimeError: If it cannot be seen from there.
        """

    @property
    @abstractmethod
    def host_key(self) -> str:
        """Its SSH host key, type and base64."""

    @property
    def _cgroup(self) -> str:
        return f"{self.network.prefix}-lab-{self.name}"

    @abstractmethod
    def prepare(self, public_key: str) -> None:
        """Lay out the file system and the host's identity."""

    @abstractmethod
    def connect(self) -> None:
        """Make its wires."""

    @abstractmethod
    def boot_once(self) -> int:
        """Run it in this process's cgroup until it ends; 133 means that it wants new wires and another boot."""

    @abstractmethod
    def first_process(self) -> int | None:
        """Return the process whose life is the host's, as numbered outside; None while it is off."""

    def _process_in(self, file: str, word: str) -> int | None:
        """Return the process whose number is in a file of this host, if `word` is among its arguments."""
        try:
            pid = int((self.folder / file).read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        # A stale file must never be trusted: the number may be somebody else's by now.
        return pid if word.encode() in command.split(b"\0") else None

    @abstractmethod
    def run(self, command: str, text: str | None = None, check: bool = True) -> str:
        """Run a shell command inside and return its output; it may outlive a reboot."""

    @abstractmethod
    def remount(self, how: str) -> None:
        """Make the file system of a running host read-only (`ro`), or writable again (`rw`)."""

    @abstractmethod
    def _lets_in(self) -> bool:
        """Tell whether others than root may log in, which sshd greets before."""

    @abstractmethod
    def _boot(self) -> object:
        """Return what is another with each boot."""

    @abstractmethod
    def _power_off(self) -> None:
        """Ask it to power off, if it can be asked."""

    def _unplugged(self) -> list[int]:
        """Return the processes whose end is that of its power."""
        return [process] if (process := self.first_process()) else []

    def _release(self) -> None:
        """Give back what it holds of this machine besides processes and wires."""
        return

    def start(self) -> None:
        """Wire up and boot in the background; a detached supervisor boots it again when the guest reboots."""
        self._reap()
        self.network.disconnect(self.name)
        self.connect()
        arguments = [str(self.folder), self.network.prefix, str(self.root), json.dumps(asdict(self.spec))]
        with (self.folder / "console.log").open("ab") as console:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-m", "tests.lab.supervisor", *arguments],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
                cwd=Path(__file__).parents[2],
            )  # fmt: skip
        (self.folder / "supervisor.pid").write_text(str(self._supervisor.pid))

    def wait_until_ssh(self, seconds: float = 60) -> None:
        """Wait until sshd greets."""
        seconds *= self.slowness
        until = time.monotonic() + seconds
        # One process that waits costs a twentieth of one for each try.
        command = ["nsenter", f"--net=/run/netns/{self.network.space('ctl')}", sys.executable, "-I", "-S", "-c", _PROBE]
        if subprocess.run([*command, self.ssh_address, str(seconds)], check=False, capture_output=True).returncode:
            raise RuntimeError(f"lab: {self.name} does not greet; see {self.folder}/console.log")
        # sshd greets before the boot is over, and until then only root may log in.
        while not self._lets_in():
            if time.monotonic() > until:
                raise RuntimeError(f"lab: {self.name} lets nobody log in; see {self.folder}/console.log")
            time.sleep(0.05)

    def reboot(self) -> None:
        """Reboot cleanly and wait until SSH is back."""
        before = self._boot()
        self.run("systemctl reboot 2>/dev/null || reboot", check=False)
        until = time.monotonic() + 120 * self.slowness
        while self._boot() in (None, before):
            if time.monotonic() > until:
                raise RuntimeError(f"lab: {self.name} did not come back")
            time.sleep(0.1)
        self.wait_until_ssh()

    def power_cut(self) -> None:
        """End the guest at once, as if unplugged; `start` boots it again."""
        for pid in self._unplugged():
            # One may have ended meanwhile.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._wait_for_end()

    def _wait_for_end(self) -> None:
        until = time.monotonic() + 20 * self.slowness
        while self.processes() and time.monotonic() < until:
            time.sleep(0.05)
        self._reap()

    def _reap(self) -> None:
        # Only the process that booted a host is its supervisor's parent; another that attached has nothing to reap.
        if self._supervisor is not None and not self.processes():
            # Killed, since one that has hardly begun is in no control group yet and would go on to boot.
            self._supervisor.kill()
            self._supervisor.wait()
            self._supervisor = None

    def enter_cgroup(self) -> None:
        """Put this process, and what it starts, into the host's control group."""
        for group in _CGROUPS:
            if group.is_dir():
                (group / self._cgroup).mkdir(exist_ok=True)
                (group / self._cgroup / "cgroup.procs").write_text(str(os.getpid()))

    def _groups(self) -> list[Path]:
        # os.walk passes over what vanishes while it looks, deepest first here, so that each can be removed.
        return [
            Path(folder)
            for group in _CGROUPS
            for folder, _, _ in os.walk(group / self._cgroup, topdown=False)
        ]  # fmt: skip

    def processes(self) -> list[int]:
        """Return every process of this host, its supervisor included."""
        found: set[int] = set()
        for folder in self._groups():
            with suppress(OSError):
                found.update(int(pid) for pid in (folder / "cgroup.procs").read_text().split())
        return sorted(found)

    def stop(self) -> None:
        """Power off, cleanly if the guest obeys within seconds, and take its processes and cgroups away."""
        self._power_off()
        for _ in range(50):
            left = self.processes()
            if not left:
                break
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        self._reap()
        self.network.disconnect(self.name)
        (self.folder / "supervisor.pid").unlink(missing_ok=True)
        until = time.monotonic() + 5
        while (groups := self._groups()) and time.monotonic() < until:
            for folder in groups:
                with suppress(OSError):
                    folder.rmdir()

    def remove(self) -> None:
        """Unplug, then remove namespace, router, mounts and files."""
        # Nothing of it is kept, so it need not shut down.
        self.power_cut()
        self.stop()
        self.network.disconnect(f"r-{self.name}")
        self._release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def leftovers(self) -> Sequence[str]:
        """Return what of this host is still there."""
        found = [f"process {pid}" for pid in self.processes()]
        return [*found, *(f"cgroup {group}" for group in self._groups())]
