"""`python -m tests.lab`: prepare, roots, up, status, enter and down."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import typer

from tests.lab.images import ensure_image
from tests.lab.lab import Lab, LabUnavailableError, default_hosts, ensure_root, lab_directory, missing_tools
from tests.lab.roots import RECIPES

app = typer.Typer(
    help="A lab of booted Linux hosts in network namespaces.", no_args_is_help=True, pretty_exceptions_enable=False
)


def _find(prefix: str) -> Lab:
    try:
        return Lab.attach(prefix=prefix)
    except FileNotFoundError:
        raise SystemExit(f"lab: {prefix} is not up; python -m tests.lab up boots it") from None


Prefix = Annotated[str, typer.Option(help="what the lab's namespaces begin with")]


Machines = Annotated[bool, typer.Option("--machines", help="for virtual machines too")]


@app.command()
def prepare(machines: Machines = False) -> None:
    """Install what the lab needs on this machine."""
    if packages := missing_tools(machines=machines):
        if os.geteuid() != 0:
            raise SystemExit(f"lab: needs root to install {' '.join(packages)}")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        # A machine that has just started may be busy with upgrades of its own.
        apt_get = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
        for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            tried = subprocess.run([*apt_get, *command], check=False, env=environment, stdout=subprocess.DEVNULL)
            if tried.returncode:
                raise SystemExit(f"lab: apt-get {command[0]} failed, see above; install {' '.join(packages)} by hand")


@app.command()
def roots(machines: Machines = False) -> None:
    """Make every guest root that is not there yet, as many at a time as there are processors."""
    names = [name for name, recipe in RECIPES.items() if machines or not recipe.boots]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = list(pool.map(lambda name: ensure_root(name, lab_directory() / "roots"), names))
    for name, root in zip(names, made, strict=True):
        if RECIPES[name].boots:
            ensure_image(root)


@app.command()
def up(hosts: int = 4, nat: int = 1, prefix: Prefix = "mesh") -> None:
    """Boot HOSTS hosts, NAT of them behind NAT."""
    lab = Lab(default_hosts(hosts, nat), prefix=prefix)
    if (lab.directory / "lab.json").exists() and any(h.processes() for h in Lab.attach(prefix=prefix).hosts.values()):
        raise SystemExit(f"lab: {prefix} is up and may be in use; take it away first: python -m tests.lab down")
    try:
        lab.__enter__()
    except LabUnavailableError as error:
        raise SystemExit(f"lab: {error}") from None
    for host in lab.hosts.values():
        print(f"{host.name:12} {host.ssh_address:14} {host.external_address or 'behind NAT'}")


@app.command()
def status(prefix: Prefix = "mesh") -> None:
    """Show the hosts and whether they run."""
    for host in _find(prefix).hosts.values():
        print(f"{host.name:12} {host.ssh_address:14} {'running' if host.first_process() else 'off'}")


@app.command()
def enter(host: str, prefix: Prefix = "mesh") -> None:
    """Open a shell on HOST."""
    known = _find(prefix).hosts
    if host not in known:
        raise SystemExit(f"lab: {host} is no host of {prefix}; there are {', '.join(known)}")
    process = known[host].first_process()
    if process is None:
        raise SystemExit(f"lab: {host} is not running")
    os.execvp("nsenter", ["nsenter", "-t", str(process), "-a", "-r", "-w", "sh", "-l"])


@app.command()
def down(prefix: Prefix = "mesh") -> None:
    """Take the lab away, leaving nothing behind."""
    _find(prefix).down()


app()
