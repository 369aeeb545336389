"""Hosts in virtual machines, with a kernel of their own: qemu on the wires of a namespace without addresses."""

import io
import os
import signal
import subprocess
import tarfile
import time
from contextlib import suppress
from pathlib import Path

from tests.lab.agent import Agent, AgentSilentError
from tests.lab.hosts import Host, HostSpec
from tests.lab.identity import identity_of
from tests.lab.images import BOOTED, STATE, ensure_image
from tests.lab.network import Network
from tests.lab.qemu import machine_command, make_overlay

__all__ = ["VirtualMachine"]

_DISK = "disk.qcow2"


class VirtualMachine(Host):
    """A host that is first found booted, as its image was saved, and boots in earnest from then on."""

    # With an emulated processor.
    slowness = 10.0

    def __init__(self, spec: HostSpec, folder: Path, network: Network, root: Path) -> None:
        """Describe a host whose files are in `folder`."""
        super().__init__(spec, folder, network, root)
        self._agent = Agent(folder)
        self._public_key = ""

    @property
    def files(self) -> Path:
        """Its files are on a disk of its own."""
        raise RuntimeError(f"lab: {self.name} is a virtual machine; read its files with run()")

    @property
    def host_key(self) -> str:
        """Its SSH host key, type and base64."""
        return " ".join((self.folder / "ssh_host_ed25519_key.pub").read_text().split()[:2])

    @property
    def _name_option(self) -> str:
        return f"guest={self.network.prefix}-{self.name}"

    def prepare(self, public_key: str) -> None:
        """Make its disk, and keep whom it lets in for when it runs."""
        image = ensure_image(self.root)
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / _DISK).exists():
            make_overlay(self.folder / _DISK, image / BOOTED, "qcow2")
            self._public_key = public_key

    def connect(self) -> None:
        """Make its wires, which lead to taps."""
        self.network.connect(self.name, self.spec.number, nat=self.spec.nat)
        self.network.make_taps(self.name)

    def start(self) -> None:
        """Boot in the background; the first time, return when it is who it is to be."""
        super().start()
        if self._public_key:
            self._agent.wait(60)
            self._become(self._public_key)
            self._public_key = ""

    def _become(self, public_key: str) -> None:
        """Give a guest that has booted as another its identity, its addresses and the time."""
        identity = identity_of(self.spec, public_key, self.folder)
        hardware = self.network.hardware_addresses(self.spec.number)
        lines = [f"link set {device} address {hardware[device]}" for device in ("mgmt0", "eth0")]
        lines += self.network.addresses(self.spec.number, nat=self.spec.nat)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for path, (text, mode) in {**identity.files, "etc/lab-network": ("\n".join(lines) + "\n", 0o644)}.items():
                entry = tarfile.TarInfo(path)
                entry.size, entry.mode = len(text.encode()), mode
                archive.addfile(entry, io.BytesIO(text.encode()))
        script = (
            f"set -e; tar -x -C /; date -s @{time.time():.3f}; hostname {self.name}; {identity.script}\n"
            "systemctl daemon-reload; systemctl restart lab-network ssh"
        )
        code, out, errors = self._agent.run(script, packed.getvalue())
        if code:
            raise RuntimeError(f"lab: {self.name} did not become what it is to be: {out}{errors}")

    def boot_once(self) -> int:
        """Run one life of the machine in this process's cgroup; a reboot is a part of it."""
        self.enter_cgroup()
        image = ensure_image(self.root)
        command = machine_command(image, _DISK, self._name_option.partition("=")[2], self.network.taps())
        begun = self.folder / "begun"
        if not begun.exists():
            command += ["-incoming", f"exec:cat {image / STATE}"]
            begun.touch()
        inside = ["nsenter", f"--net=/run/netns/{self.network.space(self.name)}", *command]
        # nsenter becomes qemu.
        guest = subprocess.Popen(inside, stdin=subprocess.DEVNULL, cwd=self.folder)
        (self.folder / "qemu.pid").write_text(str(guest.pid))
        signal.signal(signal.SIGTERM, lambda *_: guest.terminate())
        return guest.wait()

    def first_process(self) -> int | None:
        """Return qemu's process."""
        return self._process_in("qemu.pid", self._name_option)

    def run(self, command: str, text: str | None = None, check: bool = True) -> str:
        """Run a shell command as root and return its output; a reboot ends it."""
        if self.first_process() is None:
            raise RuntimeError(f"lab: {self.name} is not running")
        code, out, errors = self._agent.run(command, (text or "").encode())
        if check and code:
            raise RuntimeError(f"lab: {self.name}: {command}: {out}{errors}")
        return out

    def remount(self, how: str) -> None:
        """Make the file system read-only (`ro`), or writable again (`rw`)."""
        self.run(f"mount -o remount,{how} /")

    def _lets_in(self) -> bool:
        return not self.run("ls /run/nologin 2>/dev/null", check=False)

    def _boot(self) -> str | None:
        try:
            self._agent.wait(1)
            return self._agent.run("cat /proc/sys/kernel/random/boot_id", seconds=10)[1] or None
        except AgentSilentError:
            return None

    def _power_off(self) -> None:
        """Pull the plug: what is on its disk is nobody's afterwards."""
        for process in self._unplugged():
            # One may have ended meanwhile.
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._wait_for_end()
