"""The userland of Alpine on a Debian root: every tool that busybox has is busybox's, the shell too."""

import subprocess
from pathlib import Path

__all__ = ["ASIDE", "settle_for_busybox"]

# Where the tools that were there before are, for what tests ask of a host.
ASIDE = "/opt/gnu"
# What the host program installs where it is missing, and what boots and ends a host here.
_KEPT = [
    "busybox",
    "flock",
    "ip",
    "ping",
    "ping6",
    "init",
    "halt",
    "poweroff",
    "reboot",
    "start-stop-daemon",
    "run-parts",
    "login",
    "getty",
]


def settle_for_busybox(root: Path) -> None:
    """Put links to busybox in the places of what a root has, and leave that aside."""
    (root / ASIDE[1:]).mkdir(parents=True)
    listed = subprocess.run(["chroot", str(root), "busybox", "--list"], check=True, capture_output=True, text=True)
    for applet in {*listed.stdout.split()} - {*_KEPT}:
        for folder in ("usr/bin", "usr/sbin"):
            tool = root / folder / applet
            if tool.is_symlink() or tool.exists():
                tool.rename(root / ASIDE[1:] / applet)
                tool.symlink_to("/bin/busybox")
    (root / "usr/bin/ash").symlink_to("/bin/busybox")
    accounts = root / "etc/passwd"
    accounts.write_text(accounts.read_text().replace(":/root:/bin/bash", ":/root:/bin/ash"))
