"""What virtual machines boot from: the kernel of a guest root, a disk, and a guest that has booted already."""

import fcntl
import json
import lzma
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.lab.agent import Agent, connect_in
from tests.lab.qemu import ARCHITECTURE, machine_command, make_overlay

__all__ = ["BOOTED", "STATE", "ensure_image", "make_bootable"]

# The state of a guest that has booted, with its disk beside it.
STATE, BOOTED = "booted.state", "booted.qcow2"
_BOOT_SECONDS = 400
_MODULES = ("virtio_blk", "virtio_net", "ext4")
_ZSTD = b"\x28\xb5\x2f\xfd"

# What comes to nothing in a guest that lives for minutes, and takes an emulated processor long.
_NEEDLESS = (
    "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer e2scrub_reap.service "
    "systemd-journal-catalog-update.service ldconfig.service systemd-update-done.service getty@tty1.service "
    "serial-getty@ttyS0.service serial-getty@ttyAMA0.service "
    "systemd-hwdb-update.service systemd-pstore.service systemd-udev-trigger.service "
    "systemd-binfmt.service systemd-sysusers.service systemd-firstboot.service qemu-guest-agent.service "
    "systemd-logind.service systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket"
)
_NETWORK = """[Unit]
Description=Addresses that the lab gives
DefaultDependencies=no
After=systemd-sysctl.service systemd-tmpfiles-setup-dev.service
Before=network-pre.target network.target
Wants=network-pre.target network.target
ConditionPathExists=/etc/lab-network

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=-/sbin/ip link set eth1 name mgmt0
ExecStart=/sbin/ip -batch /etc/lab-network
"""
_AGENT = """[Unit]
Description=Commands from the lab
DefaultDependencies=no
After=systemd-tmpfiles-setup-dev.service

[Service]
ExecStart=/usr/sbin/qemu-ga -m virtio-serial -p /dev/vport0p1 -t /run
Restart=always
RestartSec=1
"""
_INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*; do /bin/busybox insmod $module; done
/bin/busybox mount -t ext4 /dev/vda /root
exec /bin/busybox switch_root /root /sbin/init
"""


def make_bootable(root: Path) -> None:
    """Let a guest root that has a kernel boot fast as a virtual machine that the lab can talk to."""
    units = root / "etc/systemd/system"
    for name in _NEEDLESS.split():
        (units / name).unlink(missing_ok=True)
        (units / name).symlink_to("/dev/null")
    (units / "sysinit.target.wants").mkdir(exist_ok=True)
    for name, text in {"lab-network.service": _NETWORK, "lab-agent.service": _AGENT}.items():
        (units / name).write_text(text)
        (units / "sysinit.target.wants" / name).symlink_to(f"../{name}")
    # Who logs in costs an emulated processor seconds with it.
    (root / "etc/ssh/sshd_config.d/20-machine.conf").write_text("UsePAM no\n")
    (root / "etc/systemd/journald.conf.d").mkdir(exist_ok=True)
    (root / "etc/systemd/journald.conf.d/10-lab.conf").write_text("[Journal]\nStorage=volatile\n")
    # Without it systemd would take the first boot for an installation.
    (root / "etc/machine-id").write_text(f"{os.urandom(16).hex()}\n")


def ensure_image(root: Path) -> Path:
    """Return the folder of the image of a guest root, making it first if it is not there: a minute or two."""
    image = root.with_name(f"{root.name}.image")
    with root.with_name(f"{root.name}.image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # One that another version of the lab made has no such file.
        if not (image / ARCHITECTURE).is_file():
            shutil.rmtree(image, ignore_errors=True)
            print(f"lab: booting the image of {root.name}, once", flush=True)  # noqa: T201
            building = image.with_suffix(".building")
            shutil.rmtree(building, ignore_errors=True)
            building.mkdir()
            _extract_kernel(root, building)
            _make_initrd(root, building)
            disk = building / "disk.img"
            with disk.open("wb") as file:
                file.truncate(1 << 30)
            subprocess.run(["mkfs.ext4", "-q", "-F", "-d", str(root), str(disk)], check=True)
            # By a path that stays.
            building.rename(image)
            try:
                _boot_once(image)
            except BaseException:
                shutil.rmtree(image)
                raise
    return image


def _extract_kernel(root: Path, building: Path) -> None:
    """Take the kernel out of its self-extracting file, since a guest that is emulated takes seconds for that."""
    (packed,) = (root / "boot").glob("vmlinuz-*")
    kernel = building / "kernel"
    (building / ARCHITECTURE).write_text(packed.name.rpartition("-")[2])
    data = packed.read_bytes()
    # What follows the kernel is no part of it, of which zstd complains at the end. An arm64 kernel is not packed.
    done = subprocess.run(["zstd", "-dc"], input=data[data.find(_ZSTD) :], capture_output=True, check=False)
    kernel.write_bytes(done.stdout if done.stdout.startswith(b"\x7fELF") else data)


def _make_initrd(root: Path, building: Path) -> None:
    tree = building / "initrd.tree"
    for name in ("bin", "dev", "modules", "root"):
        (tree / name).mkdir(parents=True)
    shutil.copy(root / "usr/bin/busybox", tree / "bin/busybox")
    (version,) = (entry.name for entry in (root / "usr/lib/modules").iterdir())
    command = ["modprobe", "-d", str(root), "-S", version, "-a", "--show-depends", *_MODULES]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    paths = [line.split()[1] for line in listing.splitlines() if line.startswith("insmod")]
    for number, path in enumerate(dict.fromkeys(paths)):
        data = Path(path).read_bytes()
        (tree / f"modules/{number:02}").write_bytes(lzma.decompress(data) if path.endswith(".xz") else data)
    (tree / "init").write_text(_INIT)
    (tree / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    with (building / "initrd").open("wb") as file:
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=tree, input=names.encode(), stdout=file, check=True)
    shutil.rmtree(tree)


def _boot_once(image: Path) -> None:
    """Boot a guest, and keep its state: a host of the lab then begins as one that has booted."""
    # By its name alone, so that the folder can be moved.
    make_overlay(image / BOOTED, Path("disk.img"), "raw")
    command = machine_command(image, BOOTED, image.name, {})
    (image / "accelerator").write_text(command[command.index("-accel") + 1])
    guest = subprocess.Popen(command, cwd=image, stdin=subprocess.DEVNULL)
    try:
        agent = Agent(image)
        agent.wait(_BOOT_SECONDS)
        code, out, errors = agent.run("systemctl is-system-running --wait && sync", seconds=_BOOT_SECONDS)
        if code:
            raise RuntimeError(f"lab: the guest of {image.name} did not boot well: {out}{errors}")
        _save(image)
    finally:
        guest.kill()
        guest.wait()


def _save(image: Path) -> None:
    """Write the state of an image's guest, which stops with that; one that was stopped before would begin as such."""
    with socket.socket(socket.AF_UNIX) as line:
        connect_in(line, image, "control.sock")
        answers = line.makefile("rb")

        def order(name: str, **arguments: str) -> Any:
            line.sendall(json.dumps({"execute": name, "arguments": arguments}).encode())
            while "return" not in (answer := json.loads(answers.readline())):
                if "error" in answer:
                    raise RuntimeError(f"lab: qemu refuses {name}: {answer['error']}")
            return answer["return"]

        order("qmp_capabilities")
        order("migrate", uri=f"exec:cat >{STATE}")
        while (status := order("query-migrate").get("status")) != "completed":
            if status == "failed":
                raise RuntimeError("lab: qemu could not save the state of a guest")
            time.sleep(0.2)
