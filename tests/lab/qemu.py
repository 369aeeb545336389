"""What a virtual machine of the lab is made of, as qemu is told, and whether this machine can run one."""

import functools
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ARCHITECTURE", "MACHINE_TOOLS", "machine_command", "make_overlay"]

MACHINE_TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-img": "qemu-utils",
    "cpio": "cpio",
    "mkfs.ext4": "e2fsprogs",
    "zstd": "zstd",
    "depmod": "kmod",
}
# The file of an image that says, in Debian's word, for which processor it is.
ARCHITECTURE = "architecture"


@dataclass(frozen=True)
class _Processor:
    """How qemu makes a machine with one: by KVM where this machine's kernel calls its own so."""

    name: str
    options: tuple[str, ...]
    # The model that is emulated.
    emulated: str
    console: str

    @property
    def program(self) -> str:
        return f"qemu-system-{self.name}"


_PROCESSORS = {
    "amd64": _Processor("x86_64", (), "qemu64", "ttyS0"),
    "arm64": _Processor("aarch64", ("-M", "virt"), "cortex-a72", "ttyAMA0"),
}
_KERNEL_SECONDS = 20
# What guards a guest against others costs an emulated processor as much as a real one, or more: where a program is at
# other addresses each time that it runs, each time it is translated anew.
_KERNEL_WORDS = (
    "quiet net.ifnames=0 systemd.show_status=no mitigations=off lsm=capability init_on_alloc=0 audit=0 norandmaps"
)


def make_overlay(disk: Path, below: Path, form: str) -> None:
    """Make a disk that begins as another, of this form, which stays as it is."""
    options = ["-q", "-f", "qcow2", "-F", form, "-b", str(below)]
    subprocess.run(["qemu-img", "create", *options, str(disk)], check=True)


def _processor(image: Path) -> _Processor:
    return _PROCESSORS[(image / ARCHITECTURE).read_text()]


@functools.cache
def _accelerator(image: Path) -> str:
    """Return `kvm` if the kernel of an image gets to its first line with it, else `tcg`: on some hosts it hangs."""
    processor = _processor(image)
    if processor.name != platform.machine() or not Path("/dev/kvm").exists():
        return "tcg"
    command = [
        *(processor.program, *processor.options, "-accel", "kvm", "-cpu", "host", "-m", "256", "-nodefaults"),
        *("-nographic", "-no-user-config", "-no-reboot", "-serial", "stdio", "-kernel", str(image / "kernel")),
        *("-append", f"console={processor.console} panic=-1"),
    ]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_KERNEL_SECONDS, check=False
        )
        printed = done.stdout
    except subprocess.TimeoutExpired as cut:
        printed = cut.stdout or b""
    return "kvm" if b"Linux version" in printed else "tcg"


def machine_command(image: Path, disk: str, name: str, taps: Mapping[str, str]) -> list[str]:
    """Return what boots a machine, to be run in a folder for its sockets; `taps` are its wires by device, if any."""
    processor = _processor(image)
    accelerator = (image / "accelerator").read_text() if (image / "accelerator").exists() else _accelerator(image)
    wires = []
    for device in ("eth0", "mgmt0"):
        back = f"tap,ifname={taps[device]},script=no,downscript=no" if taps else "hubport,hubid=0"
        # What can be put off to the other end depends on what that is, and a saved state must fit every one.
        front = (
            "virtio-net-pci,csum=off,guest_csum=off,gso=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off"
        )
        wires += ["-netdev", f"{back},id={device}", "-device", f"{front},netdev={device},romfile="]
    return [
        *(processor.program, *processor.options, "-name", f"guest={name}", "-accel", accelerator),
        *("-cpu", "host" if accelerator == "kvm" else processor.emulated, "-smp", "1", "-m", "512"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-serial", "file:serial.log"),
        *("-kernel", str(image / "kernel"), "-initrd", str(image / "initrd")),
        *("-append", f"console={processor.console} {_KERNEL_WORDS}"),
        *("-drive", f"if=virtio,format=qcow2,file={disk}", "-device", "virtio-serial-pci"),
        *("-chardev", "socket,id=agent,path=agent.sock,server=on,wait=off"),
        *("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
        *("-qmp", "unix:control.sock,server=on,wait=off", *wires),
    ]
