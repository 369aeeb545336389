"""Who a host of a lab is, whatever it runs in: its names, its SSH keys, who may log in, and its firewall."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.lab.hosts import HostSpec

__all__ = ["Identity", "identity_of"]

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


# Without a group of its own: Debian has a group called operator, and useradd would stop at it.
_ADD_USER = (
    "useradd -m -N -s /bin/sh {user}; install -d -o {user} -m 700 /home/{user}/.ssh; "
    "install -o {user} -m 600 /root/.ssh/authorized_keys /home/{user}/.ssh/authorized_keys\n"
)
_ENABLE = (
    "mkdir -p /etc/systemd/system/{target}.wants; "
    "ln -sf /usr/lib/systemd/system/{unit} /etc/systemd/system/{target}.wants/\n"
)
_UFW = (
    "sed -i 's/^### RULES ###$/&\\n\\n### tuple ### allow tcp 22 0.0.0.0\\/0 any 0.0.0.0\\/0 in\\n"
    "-A ufw-user-input -p tcp --dport 22 -j ACCEPT/' /etc/ufw/user.rules; chmod 640 /etc/ufw/user.rules\n"
)


@dataclass(frozen=True)
class Identity:
    """Files by their path from the root, with text and mode, and what a shell does in the host after they are there."""

    files: dict[str, tuple[str, int]]
    script: str


def identity_of(spec: HostSpec, public_key: str, folder: Path) -> Identity:
    """Return a new identity for a host; `public_key` may log in, and its own SSH key is kept in `folder` too."""
    key = folder / "ssh_host_ed25519_key"
    for old in (key, key.with_suffix(".pub")):
        old.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", spec.name, "-f", str(key)], check=True)
    limits = "" if spec.default_max_startups else "MaxStartups 100:30:200\nMaxSessions 50\n"
    sshd = (
        "HostKey /etc/ssh/ssh_host_ed25519_key\nPermitRootLogin prohibit-password\n"
        f"PasswordAuthentication no\nUseDNS no\n{limits}"
    )
    files = {
        "etc/hostname": (f"{spec.name}\n", 0o644),
        "etc/hosts": (f"127.0.0.1 localhost\n127.0.1.1 {spec.name}\n", 0o644),
        "etc/machine-id": (f"{os.urandom(16).hex()}\n", 0o444),
        "etc/ssh/ssh_host_ed25519_key": (key.read_text(), 0o600),
        "etc/ssh/ssh_host_ed25519_key.pub": (key.with_suffix(".pub").read_text(), 0o644),
        "etc/ssh/sshd_config.d/10-lab.conf": (sshd, 0o644),
        "root/.ssh/authorized_keys": (public_key, 0o600),
    }
    script = "chmod 700 /root/.ssh; rm -f /etc/ssh/ssh_host_rsa* /etc/ssh/ssh_host_ecdsa*\n"
    if spec.root == "trixie":
        # What it greets with costs five processes at each login, and commands do not show it (decision 95).
        script += "rm -r /etc/update-motd.d\n"
    if spec.disk_megabytes:
        # Journals would fill the disk, and an open one would keep it from becoming read-only.
        files["etc/systemd/journald.conf.d/10-lab.conf"] = ("[Journal]\nStorage=volatile\n", 0o644)
    if spec.sudo_user:
        files[f"etc/sudoers.d/{spec.sudo_user}"] = (f"{spec.sudo_user} ALL=(ALL) NOPASSWD: ALL\n", 0o440)
        script += _ADD_USER.format(user=spec.sudo_user)
    if spec.firewall == "nftables":
        files["etc/nftables.conf"] = (_NFTABLES, 0o755)
        script += _ENABLE.format(target="sysinit.target", unit="nftables.service")
    elif spec.firewall == "ufw":
        files["etc/ufw/ufw.conf"] = ("ENABLED=yes\nLOGLEVEL=off\n", 0o644)
        script += _UFW + _ENABLE.format(target="multi-user.target", unit="ufw.service")
    return Identity(files, script)
