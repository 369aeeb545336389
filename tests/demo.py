"""The demo: a lab of four hosts, a stack of its own, the real program, and a table of what came of it."""

import json
import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from mesh.cli.stack_file import StackFile
from mesh.config.reader import read_configuration
from mesh.plan.topology import MeshPlan, plan_meshes
from tests.lab.lab import Lab, LabUnavailableError, default_hosts, lab_directory
from tests.own_ssh import write_own_ssh

app = typer.Typer(help="The demo of make demo.", no_args_is_help=True, pretty_exceptions_enable=False)
console = Console(highlight=False)

ROOT = Path(__file__).parents[1]
HERE = lab_directory() / "demo"
STACK = HERE / "Pulumi.lab.yaml"
# Hosts that a rehearsal has set up belong to no state, so the program would refuse them.
REHEARSED = HERE / "rehearsed"
PREFIX = os.environ.get("MESH_DEMO_PREFIX", "demo")
PLUGINS = ("command", "random")


def say(text: str) -> None:
    """Print one step."""
    console.print(f"[bold]demo:[/] {text}", soft_wrap=True)


def environment(lab: Lab) -> dict[str, str]:
    """Return what the program needs to find the demo's stack, state and hosts."""
    return {
        "PULUMI_BACKEND_URL": f"file://{HERE}/state",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(HERE / "passphrase"),
        "PULUMI_STACK": "lab",
        "PULUMI_OPTION_CONFIG_FILE": str(STACK),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "SSH_AUTH_SOCK": agent(lab),
    }


def agent(lab: Lab) -> str:
    """Return the socket of the demo's own ssh-agent, which holds the key of its hosts, starting it if need be."""
    record = HERE / "agent"
    if record.exists():
        socket = record.read_text().split()[0]
        held = subprocess.run(
            ["ssh-add", "-l"], env={**os.environ, "SSH_AUTH_SOCK": socket}, capture_output=True, check=False
        )
        if held.returncode == 0:
            return socket
    said = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    socket, process = re.findall(r"SSH_(?:AUTH_SOCK|AGENT_PID)=([^;]+);", said)
    record.write_text(f"{socket} {process}\n")
    subprocess.run(["ssh-add", "-q", str(lab.ssh_key)], env={**os.environ, "SSH_AUTH_SOCK": socket}, check=True)
    return str(socket)


def end_agent() -> None:
    """End the demo's ssh-agent, which takes its socket away."""
    if (HERE / "agent").exists():
        socket, process = (HERE / "agent").read_text().split()
        subprocess.run(
            ["ssh-agent", "-k"],
            env={**os.environ, "SSH_AUTH_SOCK": socket, "SSH_AGENT_PID": process},
            capture_output=True,
            check=False,
        )


def variables(lab: Lab) -> dict[str, str]:
    """Return the environment of the demo's commands: the caller's, but for the caller's own SSH keys."""
    inherited = {name: value for name, value in os.environ.items() if name != "MESH_SSH_KEY_FILE"}
    return inherited | environment(lab)


def run(lab: Lab, *command: str) -> None:
    """Run a command of the demo among the hosts; a failure ends the demo."""
    done = subprocess.run(lab.command(*command), cwd=ROOT, env=variables(lab), stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise SystemExit(f"demo: {' '.join(command[:3])} failed; see above, then make demo-down and try again")


def running_lab() -> Lab | None:
    """Return the lab of an earlier run if all its hosts are up."""
    try:
        lab = Lab.attach(prefix=PREFIX)
    except FileNotFoundError:
        return None
    return lab if all(host.first_process() for host in lab.hosts.values()) else None


def prepare_files(lab: Lab) -> None:
    """Write the stack file, a passphrase, the environment and an SSH configuration that knows the hosts' keys."""
    HERE.mkdir(parents=True)
    (HERE / "state").mkdir()
    (HERE / "passphrase").write_text(secrets.token_hex(16))
    (HERE / "passphrase").chmod(0o600)
    # Making a stack writes beside the project, whatever PULUMI_OPTION_CONFIG_FILE says; so this is a project.
    (HERE / "Pulumi.yaml").write_text("name: mesh\nruntime: python\n")
    shutil.copy(ROOT / "stacks" / "Pulumi.lab.yaml", STACK)
    exports = [f"export {name}={shlex.quote(value)}\n" for name, value in environment(lab).items()]
    (HERE / "env").write_text("".join([*exports, "unset MESH_SSH_KEY_FILE\n"]))


def install_plugins(pulumi: str) -> None:
    """Get the engine's plugins where there is internet; the lab's namespaces have none."""
    for name in PLUGINS:
        if shutil.which(f"pulumi-resource-{name}") is None:
            command = [pulumi, "plugin", "install", "resource", name, version(f"pulumi-{name}")]
            if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode:
                raise SystemExit(f"demo: the plugin {name} could not be installed; check the internet connection")


def read_plans() -> dict[str, MeshPlan]:
    """Return the plans of the demo's stack file."""
    config = json.loads(json.dumps(StackFile(STACK).content["config"]))
    return plan_meshes(read_configuration(config["mesh:hosts"], config["mesh:interfaces"]))


def tell_tunnels(lab: Lab) -> bool:
    """Print a line for each direction of each pair, as the hosts see it, and return whether all answer."""
    table = Table("from", "to", "endpoint in use", "latest handshake", "ping")
    good = True
    for name, plan in read_plans().items():
        addresses = {member.name: str(member.address).partition("/")[0] for member in plan.members}
        # Pings first: they make the handshake of a tunnel that was idle.
        script = "".join(f"ping -c 1 -W 2 {address}; " for address in addresses.values())
        script += f"for what in public-key endpoints latest-handshakes; do echo; echo; wg show {name} $what; done"
        with ThreadPoolExecutor(4) as pool:
            answers = pool.map(lambda host, script=script: lab.hosts[host].run(script), addresses)
            said = dict(zip(addresses, answers, strict=True))
        parts = {host: text.rsplit("\n\n", 3) for host, text in said.items()}
        names = {key.strip(): host for host, (_, key, _, _) in parts.items()}
        for host, (pings, _, wires, ages) in parts.items():
            endpoints = dict(line.split("\t") for line in wires.splitlines())
            times = dict(re.findall(r"bytes from (\S+?): .*time=(\S+)", pings))
            for line in ages.splitlines():
                key, stamp = line.split("\t")
                other = names.get(key, "?")
                answer = times.get(addresses.get(other, ""))
                good = good and answer is not None and stamp != "0"
                age = f"{max(0, int(time.time()) - int(stamp))} s ago" if stamp != "0" else "[red]never[/]"
                table.add_row(host, other, endpoints[key], age, f"{answer} ms" if answer else "[red]none[/]")
    console.print(table)
    return good


@app.command()
def up() -> None:
    """Bring up the lab and the mesh; a second run changes nothing."""
    lab, pulumi = running_lab(), shutil.which("pulumi")
    if lab and pulumi and REHEARSED.exists():
        say("pulumi is here now; what was rehearsed has no state, so the hosts are regenerated")
        lab.down()
        lab = None
    if lab is None:
        say("booting four hosts: bernard, carol and dora are public, edgeworth is behind NAT")
        end_agent()
        shutil.rmtree(HERE, ignore_errors=True)
        try:
            lab = Lab(default_hosts(4, 1), prefix=PREFIX).up()
        except LabUnavailableError as error:
            raise SystemExit(f"demo: {error}") from None
    if not HERE.exists():
        prepare_files(lab)
    say("filling in host keys and systems: python -m mesh scan --yes")
    run(lab, sys.executable, "-m", "mesh", "scan", str(STACK), "--yes")
    if pulumi:
        install_plugins(pulumi)
        say("pulumi up")
        # Not selected: which stack the user works on in this checkout stays as it was.
        if not (HERE / "state" / ".pulumi" / "stacks" / "mesh" / "lab.json").exists():
            run(lab, "pulumi", "-C", str(HERE), "stack", "init", "lab", "--no-select")
        run(lab, "pulumi", "up", "--yes", "--suppress-outputs")
    elif REHEARSED.exists():
        say("[yellow]this was a rehearsal already, without state; there is nothing to do")
    else:
        say("[yellow]there is no pulumi on this machine, so this is a rehearsal: the same program, without state:")
        say("[yellow]no preview, nothing to update or destroy. Where there is internet, make setup installs pulumi.")
        run(lab, sys.executable, "-m", "tests.rehearsal", str(STACK))
        REHEARSED.touch()
    good = tell_tunnels(lab)
    if not good:
        raise SystemExit("demo: not every pair has a tunnel; see the table")
    say("the mesh is up. To look around: make demo-shell, and there")
    if pulumi:
        console.print("    pulumi preview\n    pulumi stack output --json")
        console.print(f"    $EDITOR {os.path.relpath(STACK, ROOT)}, and pulumi up to change the mesh")
    console.print("    ssh root@10.99.0.1 wg show")
    say("to take it down: make demo-down")


@app.command()
def tunnels() -> None:
    """Print the table of the tunnels again."""
    if (lab := running_lab()) is None:
        raise SystemExit("demo: not running; make demo")
    tell_tunnels(lab)


@app.command()
def shell() -> None:
    """Open a shell among the hosts, with the demo's stack selected."""
    if (lab := running_lab()) is None:
        raise SystemExit("demo: not running; make demo")
    known = "".join(f"{host.ssh_address} {host.host_key}\n" for host in lab.hosts.values())
    (HERE / "known_hosts").write_text(known)
    # A wrapper, since ssh has no variable that names its configuration.
    tools = HERE / "bin"
    tools.mkdir(exist_ok=True)
    write_own_ssh(tools, f"-o UserKnownHostsFile={shlex.quote(str(HERE / 'known_hosts'))}")
    inside = variables(lab)
    inside["PATH"] = f"{tools}:{ROOT / '.venv' / 'bin'}:{inside['PATH']}"
    os.chdir(ROOT)
    command = lab.command(os.environ.get("SHELL", "/bin/sh"))
    os.execvpe(command[0], command, inside)  # noqa: S606 - a shell is the point


@app.command()
def down() -> None:
    """Take the hosts and the state away."""
    try:
        Lab.attach(prefix=PREFIX).down()
    except FileNotFoundError:
        say("there was none")
    end_agent()
    shutil.rmtree(HERE, ignore_errors=True)


if __name__ == "__main__":
    app()
