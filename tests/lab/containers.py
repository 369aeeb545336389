"""Hosts in containers: a guest root under an overlay, booted by systemd-nspawn in a namespace of its own."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.lab.hosts import Host
from tests.lab.identity import identity_of

__all__ = ["Container"]


class Container(Host):
    """A host in a container of systemd-nspawn: an overlay on its root, and the kernel of this machine."""

    @property
    def files(self) -> Path:
        """The host's file system, as seen from outside."""
        return self.folder / "m"

    @property
    def host_key(self) -> str:
        """Its SSH host key, type and base64."""
        return " ".join((self.files / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2])

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
        identity = identity_of(self.spec, public_key, self.folder)
        for path, (text, mode) in identity.files.items():
            file = self.files / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.is_symlink():
                file.unlink()
            file.write_text(text)
            file.chmod(mode)
        subprocess.run(["chroot", str(self.files), "sh", "-ec", identity.script], check=True, capture_output=True)
        # Nothing is updated at the first boot, which costs a fifth of it (systemd-update-done.service(8)).
        for name in ("etc/.updated", "var/.updated", "etc/lab-ready"):
            (self.files / name).touch()

    def connect(self) -> None:
        """Make its wires, which have its addresses."""
        self.network.connect(self.name, self.spec.number, nat=self.spec.nat)
        self.network.ip(self.name, *self.network.addresses(self.spec.number, nat=self.spec.nat))

    def boot_once(self) -> int:
        """Run one boot in this process's cgroup until the guest ends; 133 means that it asked for a reboot."""
        self.enter_cgroup()
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
        return self._process_in("nspawn.pid", self._machine_option)

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

    def _lets_in(self) -> bool:
        process = self.first_process()
        return process is None or not Path(f"/proc/{process}/root/run/nologin").exists()

    def _boot(self) -> int | None:
        # Not by asking inside: systemd stops every process before it ends it, and nsenter would stay stopped for good.
        return self._nspawn()

    def _unplugged(self) -> list[int]:
        # systemd-nspawn ends with its guest, and then leaves no file of its own.
        process = self.first_process() or self._nspawn()
        return [process] if process else []

    def _power_off(self) -> None:
        parent = self._nspawn()
        if parent is not None and "openrc" not in self.spec.root:
            os.kill(parent, signal.SIGTERM)
            self._wait_for_end()

    def stop(self) -> None:
        """Power off, and take away what systemd-nspawn keeps of it too."""
        super().stop()
        with suppress(OSError):
            Path("/run/systemd/nspawn/propagate", self._machine).rmdir()
        (self.folder / "nspawn.pid").unlink(missing_ok=True)

    def _mounts(self) -> list[Path]:
        return [path for path in (self.files, self.folder / "layer") if path.is_mount()]

    def _release(self) -> None:
        for mount in self._mounts():
            subprocess.run(["umount", str(mount)], check=True)

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
        return [*super().leftovers(), *(f"mount {path}" for path in self._mounts())]


def _mount(*arguments: str) -> None:
    if not Path(arguments[-1]).is_mount():
        subprocess.run(["mount", *arguments], check=True)
