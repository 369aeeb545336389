"""A stack of the real engine against a lab: the stack file, pulumi's verbs, and what hosts run.

Making hosts and wires belongs to `lab`, measuring loss to `loss`; what must hold is for the tests to say.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import IO, Any, Protocol

from mesh.wireguard.addressing import derive_subnet, host_address
from tests.lab.hosts import Host
from tests.lab.lab import Lab
from tests.rehearsal.state import in_clear

__all__ = ["Outcome", "Run", "Stack", "UnexpectedEndError", "is_settled", "mesh_address", "plug_in", "wait_until"]

_PROJECT = Path(__file__).parents[2]
_SECONDS = 300


# What a failure shows of a run: its end, without the steps that went well.
_SHOWN = 40


def _end_of(output: str) -> str:
    lines = [line for line in output.splitlines() if not line.startswith("rehearsal: ")]
    return "\n".join(lines[-_SHOWN:])


class UnexpectedEndError(AssertionError):
    """Pulumi ended otherwise than the test expected; the message holds its output."""


@dataclass(frozen=True)
class Outcome:
    """How one run of pulumi ended."""

    code: int | None
    output: str
    seconds: float


def mesh_address(host: str, interface: str) -> str:
    """Return the address of a host inside a mesh."""
    return str(host_address(derive_subnet(host, interface)).ip)


def wait_until(condition: Callable[[], object], seconds: float = 60, every: float = 0.3) -> None:
    """Wait for a condition, and fail if it does not come true in time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"did not come true within {seconds:.0f} seconds: {condition.__name__}")
        time.sleep(every)


def is_settled(host: Host, interface: str = "testwg") -> bool:
    """Tell whether a host has nothing of a change that is neither confirmed nor rolled back."""
    # From outside, since a process in the host for each look costs more than all that is waited for.
    folder = host.files / "var/lib/mesh" / interface
    return not any(os.path.lexists(folder / name) for name in ("deadline", "next", "previous"))


def plug_in(host: Host) -> None:
    """Boot a host again that was powered off, with wires that carry nothing over from before."""
    host.start()
    host.wait_until_ssh()


class Process(Protocol):
    """What a run needs of the process that does it, such as `subprocess.Popen`."""

    @property
    def stdout(self) -> IO[str] | None:
        """What it prints."""

    @property
    def pid(self) -> int:
        """Its number, and that of its session."""

    @property
    def returncode(self) -> int | None:
        """Its exit code, None before its end."""

    def send_signal(self, number: int, /) -> None:
        """Send it a signal."""

    def wait(self, seconds: float, /) -> int | None:
        """Wait until it has ended."""


class Run:
    """Pulumi while it runs: its lines as they come, and the end of it, wanted or not."""

    def __init__(self, process: Process) -> None:
        """Follow a process that leads a session of its own."""
        self._process = process
        self._lines: list[str] = []
        self._asleep: list[int] = []
        self._began = time.monotonic()

    def lines(self) -> Iterator[str]:
        """Yield each line as it is printed."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)
            yield line

    def wait_for(self, *texts: str) -> str:
        """Return the first of `texts` that is in a line, as soon as that is printed."""
        for line in self.lines():
            if found := next((text for text in texts if text in line), None):
                return found
        raise UnexpectedEndError(f"{' or '.join(texts)} was never printed:\n{''.join(self._lines)}")

    def is_running(self) -> bool:
        """Tell whether the pulumi command still runs."""
        return self._process.pid in self.processes()

    def wait(self) -> None:
        """Wait for the pulumi command alone; what it started may live on."""
        self._process.wait(_SECONDS)

    def kill_engine(self) -> None:
        """End the pulumi command alone, as an impatient operator or the kernel would; what it started lives on."""
        self._process.send_signal(signal.SIGKILL)
        self._close()

    def kill_all(self) -> None:
        """End everything that the run started, as a machine that loses power."""
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in self.processes():
                with suppress(ProcessLookupError):
                    os.kill(process, number)
        self._close()

    def _close(self) -> None:
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process.wait(_SECONDS)

    def wait_for_remains(self, served: Callable[[], bool]) -> None:
        """Wait until what is left of the run has had no session on a host for five seconds, then end it."""
        quiet = time.monotonic()

        def is_quiet() -> bool:
            nonlocal quiet
            if served():
                quiet = time.monotonic()
            return time.monotonic() - quiet > 5

        wait_until(is_quiet, 180, every=0.5)
        # A provider whose engine was killed waits for orders for good.
        self.kill_all()

    def end(self) -> Outcome:
        """Return how it ended, waiting for it."""
        list(self.lines())
        self._close()
        return Outcome(self._process.returncode, "".join(self._lines), time.monotonic() - self._began)

    @property
    def number(self) -> int:
        """The process of the pulumi command."""
        return self._process.pid

    def processes(self) -> list[int]:
        """Return every process that the run started and that still lives, the pulumi command included."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with suppress(OSError):
                    fields = (folder / "stat").read_text().rpartition(")")[2].split()
                    if int(fields[3]) == self._process.pid and fields[0] != "Z":
                        found.append(int(folder.name))
        return found

    def suspend(self) -> None:
        """Let every process of the run stand still, as on a machine that is suspended."""
        self._asleep = self.processes()
        for process in self._asleep:
            os.kill(process, signal.SIGSTOP)

    def resume(self) -> None:
        """Let those go on."""
        for process in self._asleep:
            os.kill(process, signal.SIGCONT)


class Stack:
    """One stack with a state, a stack file and a project of its own, all below `folder`."""

    def __init__(self, lab: Lab, folder: Path, name: str = "lab") -> None:
        """Make the stack; nothing is known of hosts before `write`."""
        self.lab = lab
        self.folder = folder
        self.name = name
        self.file = folder / f"Pulumi.{name}.yaml"
        self.project = folder / "project"
        self.project.mkdir(parents=True)
        # A folder of its own, since the program keeps the way to its agent there; the text is the checkout's.
        for part in ("Pulumi.yaml", "__main__.py", "mesh", ".venv"):
            (self.project / part).symlink_to(_PROJECT / part)
        (folder / "state").mkdir()
        self.environment = {
            **{key: value for key, value in os.environ.items() if key != "SSH_AUTH_SOCK"},
            "PULUMI_BACKEND_URL": f"file://{folder}/state",
            "PULUMI_HOME": os.environ.get("PULUMI_HOME") or str(lab.directory.parent / "pulumi"),
            "PULUMI_CONFIG_PASSPHRASE": "lab",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "MESH_SSH_KEY_FILE": str(lab.ssh_key),
            "PULUMI_OPTION_CONFIG_FILE": str(self.file),
        }
        self.file.write_text("config: {}\n")
        self.interfaces: dict[str, Any] = {}
        self.before: dict[str, str] = {}
        self._make_stack()

    def _make_stack(self) -> None:
        self._plain("stack", "init", self.name)

    def describe(self, host: Host, **ssh: Any) -> dict[str, Any]:
        """Return what the stack file says of a host; `ssh` changes how it is reached."""
        entry: dict[str, Any] = {"ssh": {"address": host.ssh_address, "hostKey": host.host_key, **ssh}}
        if host.spec.sudo_user:
            entry["ssh"].setdefault("user", host.spec.sudo_user)
        if host.external_address:
            entry["externalIps"] = [host.external_address]
        return entry

    def write(
        self,
        interfaces: Mapping[str, Any],
        hosts: Mapping[str, Any] | None = None,
        adopted: Mapping[str, str] | None = None,
    ) -> None:
        """Write the stack file: `interfaces` as it stands there, and every host of the lab unless told which."""
        self.interfaces = dict(interfaces)
        described = hosts or {name: self.describe(host) for name, host in self.lab.hosts.items()}
        config = {"mesh:hosts": described, "mesh:interfaces": self.interfaces}
        salt = [line for line in self.file.read_text().splitlines() if line.startswith("encryptionsalt:")]
        # JSON is YAML, and says exactly which values are texts.
        self.file.write_text("\n".join([*salt, f"config: {json.dumps(config)}", ""]))
        if adopted:
            self.set_adopted(adopted)

    def set_adopted(self, keys: Mapping[str, str]) -> None:
        """Put keys into the stack file, encrypted."""
        self._plain("config", "set", "--secret", "mesh:adopted", "--stack", self.name, text=json.dumps(keys))

    def own_program(self, text: str) -> None:
        """Give the stack another program, which can import `mesh`."""
        (self.project / "__main__.py").unlink()
        (self.project / "__main__.py").write_text(text)

    def own_checkout(self) -> Path:
        """Give the stack a copy of the program that a test may change, and return its folder."""
        link = self.project / "mesh"
        if link.is_symlink():
            link.unlink()
            shutil.copytree(_PROJECT / "mesh", link)
        return link

    def _command(self, *words: str) -> list[str]:
        return self.lab.command("pulumi", *words, "--stack", self.name, "--non-interactive", "--color", "never")

    def _plain(self, *words: str, text: str = "") -> str:
        command = self.lab.command("pulumi", *words, "--non-interactive")

        def act() -> "subprocess.CompletedProcess[str]":
            return subprocess.run(
                command, cwd=self.project, env=self.environment, input=text, capture_output=True, text=True, check=False
            )

        done = act()
        if "failed to load checkpoint: EOF" in done.stderr:
            # As the page of troubleshooting says of an engine that was killed while it wrote.
            clear = ["find", ".pulumi/stacks", "-name", "*.attrs", "-empty", "-delete"]
            subprocess.run(clear, cwd=self.folder / "state", check=True)
            done = act()
        if done.returncode:
            raise UnexpectedEndError(f"pulumi {' '.join(words)}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def swap_state(self, folder: Path) -> None:
        """Put the state into `folder` and take what is there instead; without any, the state is lost."""
        state = self.folder / "state"
        between = folder.with_name("between")
        state.rename(between)
        if folder.exists():
            folder.rename(state)
        else:
            state.mkdir()
            self._plain("stack", "init", self.name)
        between.rename(folder)

    def start(self, verb: str, *options: str) -> Run:
        """Start a verb of pulumi and return at once."""
        if verb in {"up", "destroy", "refresh"}:
            options = ("--yes", "--skip-preview", *options)
        return self._start(self._command(verb, *options))

    def start_companion(self, *words: str) -> Run:
        """Start `python -m mesh` and return at once; `mesh up` becomes pulumi."""
        return self._start(self.lab.command(str(self.project / ".venv/bin/python"), "-m", "mesh", *words))

    def _start(self, command: list[str]) -> Run:
        process = subprocess.Popen(
            command, cwd=self.project, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        return Run(process)

    @contextmanager
    def held_at(self, run: Run, phase: str = "verifying", member: str = "") -> Iterator[None]:
        """Wait until a run prints `phase`, and let it not come to its confirmation meanwhile.

        A member, the first unless one is named, answers no new SSH connection, which the verification needs. Else a run
        could confirm before a test that was late for a processor strikes.
        """
        member = member or next(iter(self.interfaces.values()))["hosts"][0]
        printed = run.wait_for("staging", phase)
        self.lab.network.ignore_ssh(member)
        try:
            if printed != phase:
                run.wait_for(phase)
            yield
        finally:
            self.lab.network.accept_ssh(member)

    def run(self, verb: str, *options: str, succeeds: bool = True) -> Outcome:
        """Run a verb of pulumi to its end.

        Raises:
            UnexpectedEndError: If it ends otherwise than `succeeds` says.
        """
        outcome = self.start(verb, *options).end()
        if (outcome.code == 0) != succeeds:
            raise UnexpectedEndError(f"pulumi {verb} ended with {outcome.code}:\n{_end_of(outcome.output)}")
        return outcome

    def up(self, *options: str) -> Outcome:
        """Run `pulumi up`, which has to succeed."""
        return self.run("up", *options)

    def fail(self, *options: str) -> str:
        """Run `pulumi up`, which has to fail, and return what it says."""
        return self.run("up", *options, succeeds=False).output

    def companion(self, *words: str, succeeds: bool | None = True) -> Outcome:
        """Run `python -m mesh`, which has to end as `succeeds` says; None for whichever way."""
        began = time.monotonic()
        done = subprocess.run(
            self.lab.command(str(self.project / ".venv/bin/python"), "-m", "mesh", *words), cwd=self.project,
            env=self.environment, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, check=False, timeout=_SECONDS,
        )  # fmt: skip
        if succeeds is not None and (done.returncode == 0) != succeeds:
            raise UnexpectedEndError(f"mesh {' '.join(words)} ended with {done.returncode}:\n{_end_of(done.stdout)}")
        return Outcome(done.returncode, done.stdout, time.monotonic() - began)

    def destroy(self) -> Outcome:
        """Run `pulumi destroy`, which has to succeed."""
        return self.run("destroy")

    def heal(self) -> Outcome:
        """Do what the messages tell after an engine was killed: cancel, then up with a refresh."""
        self.cancel()
        return self.up("--refresh")

    def cancel(self) -> None:
        """Take away the lock that an ended engine left."""
        self._plain("cancel", "--yes", "--stack", self.name)

    def wait_until_settled(self, seconds: float) -> None:
        """Wait until no host of `testwg` has a deadline any more: each is confirmed, or has gone back."""
        armed = "ls /var/lib/mesh/testwg/deadline 2>/dev/null"
        wait_until(lambda: not any(host.run(armed, check=False) for host in self.lab.hosts.values()), seconds, every=1)

    def is_sound(self, interface: str) -> bool:
        """Tell whether the members of a mesh run the keys of the state, all confirmed, and answer each other."""
        if not self.interfaces or not all(host.first_process() for host in self.lab.hosts.values()):
            return False
        keys = {name: key for name, key in self.public_keys().items() if name.startswith(f"{interface}/")}
        running = {f"{interface}/{name}/key": key for name, key in self.running_public_keys(interface).items()}
        members = self.interfaces[interface]["hosts"]
        settled = all(is_settled(self.lab.hosts[name], interface) for name in members)
        return settled and len(keys) == len(members) and running == keys and not self.silent(interface)

    def is_served(self) -> bool:
        """Tell whether any host has a session with a run open."""
        return any(host.run("pgrep -f '[p]rogram.* serve '", check=False) for host in self.lab.hosts.values())

    def forget_adopted(self) -> None:
        """Take adopted keys out of the stack file, as `python -m mesh adopt` tells at its end."""
        self._plain("config", "rm", "mesh:adopted", "--stack", self.name)

    def state(self, *, secrets: bool = True) -> dict[str, Any]:
        """Return the state as exported."""
        shown = ["--show-secrets"] if secrets else []
        exported: dict[str, Any] = json.loads(self._plain("stack", "export", *shown, "--stack", self.name))
        return exported

    def resources(self) -> dict[str, Any]:
        """Return the outputs of every resource by its name, secrets in clear."""
        found = self.state()["deployment"].get("resources", [])
        return {entry["urn"].rpartition("::")[2]: in_clear(entry.get("outputs", {})) for entry in found}

    def public_keys(self) -> dict[str, str]:
        """Return the public key of each key resource by its name."""
        return {name: out["publicKey"] for name, out in self.resources().items() if name.endswith("/key")}

    def running_keys(self, interface: str) -> dict[str, str]:
        """Return the private key that each host runs; hosts without the interface are left out."""
        keys = {name: host.run(f"wg show {interface} private-key 2>/dev/null", check=False).strip()
                for name, host in self.lab.hosts.items() if host.first_process()}  # fmt: skip
        return {name: key for name, key in keys.items() if key}

    def running_public_keys(self, interface: str) -> dict[str, str]:
        """Return the public key that each host runs; hosts without the interface are left out."""
        keys = {name: host.run(f"wg show {interface} public-key 2>/dev/null", check=False).strip()
                for name, host in self.lab.hosts.items() if host.first_process()}  # fmt: skip
        return {name: key for name, key in keys.items() if key}

    def address(self, host: str, interface: str) -> str:
        """Return the address of a host inside a mesh: as the stack file fixes it, else the derived one."""
        members = self.interfaces.get(interface, {}).get("members", {})
        fixed = members.get(host, {}).get("address")
        return str(fixed).partition("/")[0] if fixed else mesh_address(host, interface)

    def pairs(self, interface: str) -> list[tuple[str, str]]:
        """Return every direction of a mesh in which packets can go."""
        members = self.interfaces[interface]["hosts"]
        nat = {name for name in members if self.lab.hosts[name].spec.nat}
        return [pair for pair in permutations(members, 2) if not set(pair) <= nat]

    def silent(self, interface: str, seconds: float = 5) -> list[tuple[str, str]]:
        """Return the directions of a mesh in which one ping, tried for `seconds`, is not answered."""
        missing = []
        for name in self.interfaces[interface]["hosts"]:
            targets = [(other, self.address(other, interface)) for one, other in self.pairs(interface) if one == name]
            script = "".join(
                f"{{ ping -6 -q -c 1 -W 1 {address} || ping -6 -q -i 0.2 -c 1 -w {seconds:.0f} {address}; }} "
                f">/dev/null 2>&1 || echo {other} & "
                for other, address in targets
            )
            missing += [(name, other) for other in self.lab.hosts[name].run(f"{script}wait").split()]
        return missing
