"""The same mesh from nothing on booted hosts, side by side: this program, pyinfra, and parallel ssh.

The other two get their keys and files made beforehand and prove nothing; pyinfra is installed in an environment of its
own. All three run in the same lab, taking turns, since machines are noisy.
"""

import os
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from mesh.addressing import derive_subnet, host_address
from mesh.keys import generate_key_pair, generate_preshared_key
from tests.lab.lab import Lab, default_hosts
from tests.lab.stack import Stack

__all__ = ["compare"]

_INTERFACE = "testwg"
_PORT = 51825

# What anybody would write for this job, packages included.
_DEPLOY = f"""
from pyinfra import host
from pyinfra.operations import apt, files, systemd

apt.packages(name="WireGuard", packages=["wireguard-tools", "iputils-ping"])
files.directory(name="folder", path="/etc/wireguard", mode="700", user="root", group="root")
files.put(
    name="configuration",
    src=f"{{host.data.folder}}/{{host.data.title}}.conf",
    dest="/etc/wireguard/{_INTERFACE}.conf",
    mode="600",
)
systemd.service(name="interface", service="wg-quick@{_INTERFACE}", running=True, enabled=True)
"""


def _write_configurations(lab: Lab, folder: Path) -> None:
    keys = {name: generate_key_pair() for name in lab.hosts}
    preshared = generate_preshared_key()
    for name, host in lab.hosts.items():
        text = [
            "[Interface]",
            f"PrivateKey = {keys[name].private_key}",
            f"ListenPort = {_PORT}",
            f"Address = {host_address(derive_subnet(name, _INTERFACE))}",
            "MTU = 1420",
        ]
        for peer, other in lab.hosts.items():
            if peer == name:
                continue
            text += ["[Peer]", f"PublicKey = {keys[peer].public_key}", f"PresharedKey = {preshared}"]
            text.append(f"AllowedIPs = {derive_subnet(peer, _INTERFACE)}")
            if other.external_address:
                text.append(f"Endpoint = {other.external_address}:{_PORT}")
            if host.external_address is None:
                text.append("PersistentKeepalive = 25")
        (folder / f"{name}.conf").write_text("\n".join(text) + "\n")


def _parallel_ssh(lab: Lab, folder: Path) -> None:
    script = (
        f"umask 077; mkdir -p /etc/wireguard; cat >/etc/wireguard/{_INTERFACE}.conf; "
        f"systemctl enable --now wg-quick@{_INTERFACE}"
    )
    options = ["-i", str(lab.ssh_key), "-o", f"UserKnownHostsFile={folder}/known_hosts", "-o", "BatchMode=yes"]
    running = []
    for name, host in lab.hosts.items():
        with (folder / f"{name}.conf").open() as text:
            command = lab.command("ssh", *options, f"root@{host.ssh_address}", script)
            running.append(subprocess.Popen(command, stdin=text, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    ended = [process.wait() for process in running]
    if any(ended):
        raise RuntimeError("bench: parallel ssh failed")


def _pyinfra(lab: Lab, folder: Path, python: Path) -> None:
    command = [str(python.with_name("pyinfra")), "-y", str(folder / "inventory.py"), str(folder / "deploy.py")]
    environment = {**os.environ, "HOME": str(folder)}
    subprocess.run(lab.command(*command), check=True, capture_output=True, cwd=folder, env=environment)


def _prepare_peers(lab: Lab, folder: Path) -> Path:
    _write_configurations(lab, folder)
    known = "".join(f"{host.ssh_address} {host.host_key}\n" for host in lab.hosts.values())
    for file in (folder / "known_hosts", folder / ".ssh/known_hosts"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(known)
    data = {"ssh_user": "root", "ssh_key": str(lab.ssh_key), "folder": str(folder)}
    hosts = [(host.ssh_address, {**data, "title": name}) for name, host in lab.hosts.items()]
    (folder / "inventory.py").write_text(f"hosts = {hosts!r}\n")
    (folder / "deploy.py").write_text(_DEPLOY)
    python = lab.directory.parent / "pyinfra/bin/python"
    if not python.exists():
        venv.create(python.parents[1], with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "pyinfra>=3.10,<4"], check=True)
    return python


def _clear(lab: Lab) -> None:
    for host in lab.hosts.values():
        stop = f"systemctl disable -q --now wg-quick@{_INTERFACE}; rm -f /etc/wireguard/{_INTERFACE}.conf"
        host.run(stop, check=False)


def _time(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def compare(hosts: int, rounds: int) -> dict[str, list[float]]:
    """Return the seconds that each way takes from nothing to a running mesh of `hosts`, for each of `rounds`."""
    seconds: dict[str, list[float]] = {"parallel ssh, prepared files": [], "pyinfra": [], "pulumi up, proven": []}
    with Lab(default_hosts(hosts), prefix="bench") as lab, TemporaryDirectory() as scratch:
        folder = Path(scratch) / "peers"
        folder.mkdir()
        python = _prepare_peers(lab, folder)
        stack = Stack(lab, Path(scratch) / "stack")
        stack.write({_INTERFACE: {"hosts": list(lab.hosts), "port": _PORT}})
        for number in range(rounds + 1):
            taken = {
                "parallel ssh, prepared files": _time(lambda: _parallel_ssh(lab, folder)),
            }
            _clear(lab)
            taken["pyinfra"] = _time(lambda: _pyinfra(lab, folder, python))
            _clear(lab)
            taken["pulumi up, proven"] = _time(stack.up)
            stack.destroy()
            # The first round fills caches and is not counted.
            if number:
                for way, value in taken.items():
                    seconds[way].append(value)
            shown = ", ".join(f"{way} {value:.1f} s" for way, value in taken.items())
            sys.stderr.write(f"bench: round {number} of {rounds}: {shown}\n")
    return seconds
