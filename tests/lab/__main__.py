"""`python -m tests.lab`: prepare, roots, up, status, enter and down."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import typer

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


@app.command()
def prepare() -> None:
    """Install what the lab needs on this machine."""
    if packages := missing_tools():
        if os.geteuid() != 0:
            raise SystemExit(f"lab: needs root to install {' '.join(packages)}")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *packages]):
            subprocess.run(["apt-get", *command], check=True, env=environment, stdout=subprocess.DEVNULL)


@app.command()
def roots() -> None:
    """Make every guest root that is not there yet, as many at a time as there are processors."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda name: ensure_root(name, lab_directory() / "roots"), RECIPES))


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
