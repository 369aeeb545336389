"""The tools that others use for this job, each in an environment of its own: pyinfra and Ansible.

Both push the files of `configurations` and let the running interface take over what changed. They prove nothing.
"""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from tests.bench.configurations import INTERFACE
from tests.lab.lab import Lab

__all__ = ["ROUTES", "install_ansible", "install_pyinfra", "run_ansible", "run_pyinfra", "write_known_hosts"]

# `syncconf`, which a reload is, knows no routes.
ROUTES = f"wg show {INTERFACE} allowed-ips | while read -r _ to; do ip -6 route replace $to dev {INTERFACE}; done"

# What anybody would write for this job, packages included. A reload is `wg syncconf`, which knows no routes.
_PYINFRA = f"""
from pyinfra import host
from pyinfra.operations import apt, files, server, systemd

apt.packages(name="WireGuard", packages=["wireguard-tools", "iputils-ping"])
files.directory(name="folder", path="/etc/wireguard", mode="700", user="root", group="root")
configuration = files.put(
    name="configuration",
    src=f"{{host.data.folder}}/{{host.data.title}}.conf",
    dest="/etc/wireguard/{INTERFACE}.conf",
    mode="600",
)
systemd.service(name="interface", service="wg-quick@{INTERFACE}", running=True, enabled=True)
systemd.service(
    name="reload", service="wg-quick@{INTERFACE}", reloaded=True, _if=configuration.did_change
)
server.shell(
    name="routes",
    commands="{ROUTES}",
    _if=configuration.did_change,
)
"""

_ANSIBLE = [
    {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {
                "name": "configuration",
                "copy": {
                    "src": "{{ folder }}/{{ title }}.conf",
                    "dest": f"/etc/wireguard/{INTERFACE}.conf",
                    "mode": "0600",
                },
                "notify": ["reload", "routes"],
            },
            {
                "name": "interface",
                "systemd_service": {"name": f"wg-quick@{INTERFACE}", "state": "started", "enabled": True},
            },
        ],
        "handlers": [
            {"name": "reload", "systemd_service": {"name": f"wg-quick@{INTERFACE}", "state": "reloaded"}},
            {
                "name": "routes",
                "shell": ROUTES,
            },
        ],
    }
]


def _install(lab: Lab, tool: str, requirement: str) -> Path:
    """Return the folder of commands of an environment that has `requirement`, made first if it is not there."""
    commands = lab.directory.parent / tool / "bin"
    if not commands.exists():
        venv.create(commands.parent, with_pip=True)
        subprocess.run([str(commands / "python"), "-m", "pip", "install", "-q", requirement], check=True)
    return commands


def install_pyinfra(lab: Lab) -> Path:
    """Return the command, installing it first if it is not there."""
    return _install(lab, "pyinfra", "pyinfra>=3.10,<4") / "pyinfra"


def install_ansible(lab: Lab) -> Path:
    """Return the command, installing it first if it is not there."""
    return _install(lab, "ansible", "ansible-core>=2.17,<3") / "ansible-playbook"


def write_known_hosts(lab: Lab, file: Path) -> None:
    """Write the keys of all hosts of a lab."""
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(f"{host.ssh_address} {host.host_key}\n" for host in lab.hosts.values()))


def run_pyinfra(lab: Lab, folder: Path, hosts: Sequence[str]) -> None:
    """Bring the files in `folder` to `hosts`."""
    write_known_hosts(lab, folder / ".ssh/known_hosts")
    data = {"ssh_user": "root", "ssh_key": str(lab.ssh_key), "folder": str(folder)}
    inventory = [(lab.hosts[name].ssh_address, {**data, "title": name}) for name in hosts]
    (folder / "inventory.py").write_text(f"hosts = {inventory!r}\n")
    (folder / "deploy.py").write_text(_PYINFRA)
    command = [str(install_pyinfra(lab)), "-y", "inventory.py", "deploy.py"]
    _run(lab, command, folder)


def run_ansible(lab: Lab, folder: Path, hosts: Sequence[str]) -> None:
    """Bring the files in `folder` to `hosts`, all at once."""
    write_known_hosts(lab, folder / "known_hosts")
    inventory = {
        name: {
            "ansible_host": lab.hosts[name].ssh_address,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(lab.ssh_key),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={folder}/known_hosts",
            "folder": str(folder),
            "title": name,
        }
        for name in hosts
    }
    (folder / "inventory.json").write_text(json.dumps({"all": {"hosts": inventory}}))
    (folder / "playbook.json").write_text(json.dumps(_ANSIBLE))
    command = [str(install_ansible(lab)), "-i", "inventory.json", "-f", str(len(hosts))]
    _run(lab, [*command, "playbook.json"], folder)


def _run(lab: Lab, command: list[str], folder: Path) -> None:
    environment = {**os.environ, "HOME": str(folder)}
    done = subprocess.run(
        lab.command(*command), check=False, capture_output=True, text=True, cwd=folder, env=environment
    )
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        raise RuntimeError(f"bench: {command[0]} failed")
