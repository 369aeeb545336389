"""One booted host: a guest root under an overlay, its identity, and the supervisor that boots and reboots it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.lab.network import Network

__all__ = ["Host", "HostSpec"]

_CGROUPS = [Path("/sys/fs/cgroup") / kind for kind in ("systemd", "unified", "memory", "pids")]

_NFTABLES = """#!/usr/sbin/nft -f
flush ruleset
table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		iif lo accept
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept
		tcp dport 22 accept
	}
}
"""


@dataclass(frozen=True)
class HostSpec:
    """What a host is: `nat` puts it behind a symmetric NAT, `firewall` is nftables, ufw or nothing of ours."""

    name: str
    number: int
    root: str = "trixie"
    nat: bool = False
    firewall: str = ""
    sudo_user: str = ""
    disk_megabytes: int = 0
    default_max_startups: bool = False


class Host:
    """A host of a lab, alive or not; attaching to one again needs only the same arguments."""

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
    def files(self) -> Path:
        """The host's file system, as seen from outside."""
        return self.folder / "m"

    @property
    def ssh_address(self) -> str:
        """Where SSH finds it."""
        return self.network.management_address(self.spec.number)

    @property
    def external_address(self) -> str | None:
        """Its public IPv4 address, None behind NAT."""
        return None if self.spec.nat else f"203.0.113.{self.spec.number}"

    @property
    def host_key(self) -> str:
        """Its SSH host key, type and base64."""
        return " ".join((self.files / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2])

    @property
    def _cgroup(self) -> str:
        return f"{self.network.prefix}-lab-{self.name}"

    @property
    def _machine(self) -> str:
        # systemd-nspawn keeps folders by this name, and another lab may have a host of the same name.
        return f"{self.network.prefix}-{self.name}"

    @property
    def _machine_option(self) -> str:
        return f"--machine={self._machine}"

    def prepare(self, public_key: str) -> None:
        """Lay out the file system and the host's identity."""
        for part in ("layer", "m"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        layer = self.folder / "layer"
        if self.spec.disk_megabytes:
            _mount("-t", "tmpfs", "-o", f"size={self.spec.disk_megabytes}m", "tmpfs", str(layer))
        (layer / "up").mkdir(exist_ok=True)
        (layer / "work").mkdir(exist_ok=True)
        options = f"lowerdir={self.root},upperdir={layer}/up,workdir={layer}/work"
        _mount("-t", "overlay", "overlay", "-o", options, str(self.files))
        if (self.files / "etc/lab-ready").exists():
            return
        self._write("etc/hostname", f"{self.name}\n")
        self._write("etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n")
        self._write("etc/machine-id", f"{os.urandom(16).hex()}\n")
        for old in (self.files / "etc/ssh").glob("ssh_host_*"):
            old.unlink()
        key = self.files / "etc/ssh/ssh_host_ed25519_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", str(key)], check=True)
        if self.spec.disk_megabytes:
            # Journals would fill the disk, and an open one would keep it from becoming read-only.
            self._write("etc/systemd/journald.conf.d/10-lab.conf", "[Journal]\nStorage=volatile\n")
        limits = "" if self.spec.default_max_startups else "MaxStartups 100:30:200\nMaxSessions 50\n"
        self._write(
            "etc/ssh/sshd_config.d/10-lab.conf",
            "HostKey /etc/ssh/ssh_host_ed25519_key\nPermitRootLogin prohibit-password\n"
            f"PasswordAuthentication no\nUseDNS no\n{limits}",
        )
        self._write("root/.ssh/authorized_keys", public_key, mode=0o600)
        (self.files / "root/.ssh").chmod(0o700)
        if self.spec.sudo_user:
            self._add_sudo_user(self.spec.sudo_user, public_key)
        self._set_firewall()
        self._write("etc/lab-ready", "")

    def _write(self, path: str, text: str, mode: int = 0o644) -> None:
        file = self.files / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.is_symlink():
            file.unlink()
        file.write_text(text)
        file.chmod(mode)

    def _chroot(self, *command: str) -> None:
        subprocess.run(["chroot", str(self.files), *command], check=True, capture_output=True)

    def _add_sudo_user(self, user: str, public_key: str) -> None:
        # Without a group of its own: Debian has a group called operator, and useradd would stop at it.
        self._chroot("useradd", "-m", "-N", "-s", "/bin/sh", user)
        self._write(f"home/{user}/.ssh/authorized_keys", public_key, mode=0o600)
        self._chroot("chown", "-R", user, f"/home/{user}/.ssh")
        self._write(f"etc/sudoers.d/{user}", f"{user} ALL=(ALL) NOPASSWD: ALL\n", mode=0o440)

    def _set_firewall(self) -> None:
        wants = self.files / "etc/systemd/system/multi-user.target.wants"
        if self.spec.firewall == "nftables":
            self._write("etc/nftables.conf", _NFTABLES, mode=0o755)
            target = self.files / "etc/systemd/system/sysinit.target.wants"
            target.mkdir(parents=True, exist_ok=True)
            (target / "nftables.service").symlink_to("/usr/lib/systemd/system/nftables.service")
        elif self.spec.firewall == "ufw":
            self._write("etc/ufw/user.rules", (self.files / "etc/ufw/user.rules").read_text().replace(
                "### RULES ###\n",
                "### RULES ###\n\n### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in\n"
                "-A ufw-user-input -p tcp --dport 22 -j ACCEPT\n",
            ), mode=0o640)  # fmt: skip
            self._write("etc/ufw/ufw.conf", "ENABLED=yes\nLOGLEVEL=off\n")
            wants.mkdir(parents=True, exist_ok=True)
            link = wants / "ufw.service"
            if not link.is_symlink():
                link.symlink_to("/usr/lib/systemd/system/ufw.service")

    def start(self) -> None:
        """Wire up and boot in the background; a detached supervisor boots it again when the guest reboots."""
        self._reap()
        self.network.disconnect(self.name)
        self.network.connect(self.name, self.spec.number, nat=self.spec.nat)
        arguments = [self.folder, self.network.prefix, self.root]
        with (self.folder / "console.log").open("ab") as console:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-m", "tests.lab.supervisor", *map(str, [*arguments, *asdict(self.spec).values()])],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
                cwd=Path(__file__).parents[2],
            )  # fmt: skip
        (self.folder / "supervisor.pid").write_text(str(self._supervisor.pid))

    def boot_once(self) -> int:
        """Run one boot in this process's cgroup until the guest ends; 133 means that it asked for a reboot."""
        for group in _CGROUPS:
            if group.is_dir():
                (group / self._cgroup).mkdir(exist_ok=True)
                (group / self._cgroup / "cgroup.procs").write_text(str(os.getpid()))
        command = [
            "systemd-nspawn", "-q", "-D", str(self.files), "--boot", self._machine_option,
            f"--hostname={self.name}", "--register=no", "--keep-unit", "--console=pipe",
            f"--network-namespace-path=/run/netns/{self.network.space(self.name)}",
            "--capability=CAP_NET_ADMIN,CAP_NET_RAW", "--bind=/dev/net/tun", "--resolv-conf=off", "--timezone=off",
            "--link-journal=no",
        ]  # fmt: skip
        guest = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, env={**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}
        )
        (self.folder / "nspawn.pid").write_text(str(guest.pid))
        signal.signal(signal.SIGTERM, lambda *_: guest.terminate())
        return guest.wait()

    def _nspawn(self) -> int | None:
        try:
            pid = int((self.folder / "nspawn.pid").read_text())
            # A stale file must never be trusted: the number may be somebody else's by now.
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if self._machine_option.encode() in command.split(b"\0") else None

    def first_process(self) -> int | None:
        """Return the guest's process 1, as numbered outside."""
        parent = self._nspawn()
        if parent is None:
            return None
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return int(children[0]) if children else None

    def run(self, command: str, text: str | None = None, check: bool = True) -> str:
        """Run a shell command inside the guest and return its output; it may outlive a reboot of the guest."""
        process = self.first_process()
        if process is None:
            raise RuntimeError(f"lab: {self.name} is not running")
        inside = subprocess.Popen(
            ["nsenter", "-t", str(process), "-m", "-u", "-i", "-n", "-p", "-r", "-w", "sh", "-c", command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        while True:
            try:
                out, errors = inside.communicate(text, timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                text = None
                # A guest that shuts down stops every process before it kills it, and nsenter then stops itself too:
                # its child would never be reaped, and the guest's process 1 waits for that without end.
                inside.send_signal(signal.SIGCONT)
        if check and inside.returncode:
            raise RuntimeError(f"lab: {self.name}: {command}: {out}{errors}")
        return out

    def wait_until_ssh(self, seconds: float = 60) -> None:
        """Wait until sshd greets."""
        probe = (
            "import socket,sys; s=socket.create_connection((sys.argv[1],22),1); s.settimeout(2); "
            "sys.exit(not s.recv(4).startswith(b'SSH-'))"
        )
        command = ["ip", "netns", "exec", self.network.space("ctl"), sys.executable, "-c", probe, self.ssh_address]
        until = time.monotonic() + seconds
        while subprocess.run(command, check=False, capture_output=True).returncode:
            if time.monotonic() > until:
                raise RuntimeError(f"lab: {self.name} does not greet; see {self.folder}/console.log")
            time.sleep(0.1)
        # sshd greets before the boot is over, and until then only root may log in.
        while (process := self.first_process()) and Path(f"/proc/{process}/root/run/nologin").exists():
            if time.monotonic() > until:
                raise RuntimeError(f"lab: {self.name} lets nobody log in; see {self.folder}/console.log")
            time.sleep(0.05)

    def reboot(self) -> None:
        """Reboot cleanly and wait until SSH is back."""
        before = self._nspawn()
        self.run("systemctl reboot 2>/dev/null || reboot", check=False)
        # Not by asking inside: systemd stops every process before it ends it, and nsenter would stay stopped for good.
        until = time.monotonic() + 120
        while self._nspawn() in (None, before):
            if time.monotonic() > until:
                raise RuntimeError(f"lab: {self.name} did not come back")
            time.sleep(0.1)
        self.wait_until_ssh()

    def power_cut(self) -> None:
        """End the guest at once, as if unplugged; `start` boots it again."""
        process, parent = self.first_process(), self._nspawn()
        for pid in (process, parent):
            if pid:
                os.kill(pid, signal.SIGKILL)
        self._wait_for_end()

    def _wait_for_end(self) -> None:
        until = time.monotonic() + 20
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
        parent = self._nspawn()
        if parent is not None and "openrc" not in self.spec.root:
            os.kill(parent, signal.SIGTERM)
            self._wait_for_end()
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
        with suppress(OSError):
            Path("/run/systemd/nspawn/propagate", self._machine).rmdir()
        for file in ("nspawn.pid", "supervisor.pid"):
            (self.folder / file).unlink(missing_ok=True)
        until = time.monotonic() + 5
        while (groups := self._groups()) and time.monotonic() < until:
            for folder in groups:
                with suppress(OSError):
                    folder.rmdir()

    def remove(self) -> None:
        """Stop, then remove namespace, router, mounts and files."""
        self.stop()
        self.network.disconnect(f"r-{self.name}")
        for mount in (self.files, self.folder / "layer"):
            if mount.is_mount():
                subprocess.run(["umount", str(mount)], check=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def remount(self, how: str) -> None:
        """Make the file system of a running host read-only (`ro`), or writable again (`rw`)."""
        until = time.monotonic() + 10
        command = ["mount", "-o", f"remount,{how}", str(self.files)]
        # A file that is just being written keeps it busy.
        while (done := subprocess.run(command, capture_output=True, text=True, check=False)).returncode:
            if time.monotonic() > until:
                raise RuntimeError(f"lab: {self.name}: {done.stderr.strip()}")
            time.sleep(0.01)

    def leftovers(self) -> Sequence[str]:
        """Return what of this host is still there."""
        found = [f"process {pid}" for pid in self.processes()]
        found += [f"mount {path}" for path in (self.files, self.folder / "layer") if path.is_mount()]
        found += [f"cgroup {group}" for group in self._groups()]
        return found


def _mount(*arguments: str) -> None:
    if not Path(arguments[-1]).is_mount():
        subprocess.run(["mount", *arguments], check=True)
