"""A stack of the real engine in a folder of its own, against hosts that `ssh_hosts` stands for."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.engine.ssh_hosts import Hosts

__all__ = ["Outcome", "Stack", "record_pip"]

_ROOT = Path(__file__).parents[2]
# What leaves a stack as it was.
_READS = {"preview", "version", ("stack", "export"), ("stack", "history"), ("stack", "output")}


_PYTHON = """#!/bin/sh
case "$*" in "-m pip --version" | "-m pip list --format json") exec cat "{place}/pip$3" ;; esac
exec "{python}" "$@"
"""


def record_pip(environment: Path, place: Path) -> Path:
    """Return a virtual environment at `place` that is the other one, but pip says there what it said at first.

    The engine asks pip the same in every run, which takes a fifth of the run's processor time.
    """
    if place.exists():
        return place
    (place / "bin").mkdir(parents=True)
    python = environment / "bin/python"
    for path in (*environment.iterdir(), *python.parent.iterdir()):
        if path.name not in {"bin", "python"}:
            (place / path.relative_to(environment)).symlink_to(path)
    for words in (["--version"], ["list", "--format", "json"]):
        said = subprocess.run([python, "-m", "pip", *words], capture_output=True, check=True)
        (place / f"pip{words[0]}").write_bytes(said.stdout)
    stand_in = place / "bin/python"
    stand_in.write_text(_PYTHON.format(place=place, python=python))
    stand_in.chmod(0o755)
    return place


class Outcome:
    """How one run of pulumi ended: exit status, everything it printed, and how long it took in seconds."""

    def __init__(self, code: int, output: str, errors: str, seconds: float) -> None:
        """Keep it."""
        self.code, self.output, self.errors, self.seconds = code, output, errors, seconds

    @property
    def text(self) -> str:
        """Return what it printed on both streams."""
        return self.output + self.errors


class Stack:
    """One project folder, state and stack; every verb of pulumi is run in it."""

    def __init__(self, folder: Path, hosts: Hosts, client_key: Path) -> None:
        """Make the project, the state's folder and an empty stack."""
        self.hosts = hosts
        self._sessions: set[int] = set()
        # How many seconds one run may take.
        self.patience = 600.0
        # Where to keep the hosts instead of in the stack file, if anywhere.
        self.hosts_file = ""
        self.folder = folder / "project"
        self.state = folder / "state"
        self.state.mkdir(parents=True)
        (self.folder / "stacks").mkdir(parents=True)
        for name in ("Pulumi.yaml", "__main__.py"):
            shutil.copy(_ROOT / name, self.folder / name)
        (self.folder / "mesh").symlink_to(_ROOT / "mesh")
        (self.folder / ".venv").symlink_to(_ROOT / ".venv")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "SSH_", "MESH_"))}
        home = folder.parent / "pulumi-home"
        home.mkdir(exist_ok=True)
        self.environment = {
            **kept,
            "PULUMI_HOME": str(home),
            "PULUMI_BACKEND_URL": f"file://{self.state}",
            "PULUMI_CONFIG_PASSPHRASE": "of the test",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "MESH_SSH_KEY_FILE": str(client_key),
        }
        # The stack file of the last up, while nothing was run since that could leave hosts or state otherwise.
        self._settled_by = ""
        self._make_stack()

    def _make_stack(self) -> None:
        self.must("stack", "init", "test")

    def spare_pip(self) -> None:
        """Have pip answer from a record, for all stacks of this process."""
        environment = self.folder / ".venv"
        recorded = record_pip(_ROOT / ".venv", self.folder.parents[1] / "environment")
        environment.unlink()
        environment.symlink_to(recorded)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start pulumi in a session of its own."""
        self._note(words)
        return self._begin("pulumi", *words, "--non-interactive", "--color", "never")

    def start_up(self, *options: str) -> subprocess.Popen[str]:
        """Start `python -m mesh up` in a session of its own."""
        self._settled_by = ""
        pulumis = ("--yes", "--skip-preview", "--non-interactive", "--color", "never")
        return self._begin(sys.executable, "-m", "mesh", "up", *options, "--", *pulumis)

    def start_shell(self, script: str) -> subprocess.Popen[str]:
        """Start lines of a shell in a session of its own, which say yes to pulumi themselves."""
        self._settled_by = ""
        return self._begin("sh", "-ec", script)

    def _begin(self, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            words,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._sessions.add(process.pid)
        return process

    def _note(self, words: Sequence[str]) -> None:
        if words[0] not in _READS and tuple(words[:2]) not in _READS:
            self._settled_by = ""

    def end_orphans(self) -> None:
        """End what a killed engine left behind: providers and plugins of the sessions that it had."""
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if int((process / "stat").read_text().rpartition(")")[2].split()[3]) in self._sessions:
                    os.kill(int(process.name), signal.SIGKILL)

    def run(self, *words: str, seconds: float | None = None) -> Outcome:
        """Run pulumi and return how it ended, whichever way."""
        began = time.monotonic()
        process = self.start(*words)
        try:
            output, errors = process.communicate(timeout=seconds or self.patience)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, errors = process.communicate()
            raise AssertionError(f"pulumi {' '.join(words)}: no end\n{(output + errors)[-5000:]}") from None
        return Outcome(process.returncode, output, errors, time.monotonic() - began)

    def must(self, *words: str) -> Outcome:
        """Run pulumi, which has to succeed."""
        outcome = self.run(*words)
        assert outcome.code == 0, f"pulumi {' '.join(words)} ended with {outcome.code}\n{outcome.text}"
        return outcome

    def up(self, *words: str) -> Outcome:
        """Bring the mesh up, which has to succeed."""
        outcome = self.must("up", "--yes", "--skip-preview", *words)
        if not {"--target", "--exclude"} & set(words):
            self._settled_by = self.stack_file.read_text()
        return outcome

    @property
    def is_settled(self) -> bool:
        """Tell whether the last thing that was run on this stack brought the mesh up by the same stack file."""
        return self._settled_by == self.stack_file.read_text()

    def settle(self) -> None:
        """Bring the mesh up, unless it is settled."""
        if not self.is_settled:
            self.up()

    @property
    def stack_file(self) -> Path:
        """Where `write` writes."""
        return self.folder / "stacks/Pulumi.test.yaml"

    def companion(self, *words: str) -> Outcome:
        """Run `python -m mesh` and return how it ended, whichever way."""
        began = time.monotonic()
        if words[0] in {"adopt", "up"}:
            self._settled_by = ""
        done = subprocess.run(
            [sys.executable, "-m", "mesh", *words],
            cwd=self.folder,
            env={**self.environment, "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        return Outcome(done.returncode, done.stdout, done.stderr, time.monotonic() - began)

    def shell(self, script: str, **variables: str) -> Outcome:
        """Run lines of a document as somebody does who has the environment of the checkout, and says yes to pulumi."""
        began = time.monotonic()
        self._settled_by = ""
        home = self.folder.parent / "home"
        home.mkdir(exist_ok=True)
        path = f"{self.folder}/.venv/bin:{self.environment['PATH']}"
        environment = {**self.environment, "HOME": str(home), "PATH": path, "PULUMI_OPTION_YES": "true", **variables}
        done = subprocess.run(
            ["bash", "-ec", script], cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False, timeout=self.patience,
        )  # fmt: skip
        return Outcome(done.returncode, done.stdout, done.stderr, time.monotonic() - began)

    def write(
        self,
        interfaces: dict[str, Any],
        hosts: Iterable[str] | None = None,
        endpoints: Mapping[str, str] | None = None,
        entries: Mapping[str, Mapping[str, Any]] | None = None,
        **ssh: dict[str, Any],
    ) -> None:
        """Write the stack file, keeping what pulumi wrote there; the rest overrides by host name."""
        config: dict[str, Any] = {"mesh:interfaces": interfaces}
        config["mesh:hosts"] = {
            name: {
                "externalIps": [(endpoints or {}).get(name, f"198.18.{number // 250}.{number % 250 + 1}")],
                "ssh": {
                    "address": "127.0.0.1",
                    "port": self.hosts[name].port,
                    "hostKey": self.hosts.host_key,
                    **ssh.get(name, {}),
                },
                **(entries or {}).get(name, {}),
            }
            for number, name in enumerate(hosts or self.hosts.by_name)
        }
        if self.hosts_file:
            with (self.folder / self.hosts_file).open("w") as text:
                YAML().dump(config.pop("mesh:hosts"), text)
            config["mesh:hostsFile"] = self.hosts_file
        self._write(config)

    def _write(self, config: Mapping[str, Any]) -> None:
        file, yaml = self.stack_file, YAML()
        content = yaml.load(file.read_text()) if file.exists() else None
        content = content or {}
        content.setdefault("config", {}).update(config)
        with file.open("w") as text:
            yaml.dump(content, text)

    def export(self) -> dict[str, Any]:
        """Return the state as `stack export` shows it."""
        exported: dict[str, Any] = json.loads(self.must("stack", "export").output)
        return exported

    def resources(self) -> dict[str, dict[str, Any]]:
        """Return what the state holds by logical name, without the stack and the providers."""
        return {
            resource["urn"].split("::")[-1]: resource
            for resource in self._held()
            if not resource["type"].startswith("pulumi:")
        }

    def _held(self) -> list[dict[str, Any]]:
        # From the backend's file, which takes no run of pulumi.
        stored = json.loads((self.state / ".pulumi/stacks/mesh/test.json").read_text())
        found: list[dict[str, Any]] = (stored["checkpoint"]["latest"] or {}).get("resources", [])
        return found

    def age_keys(self, days: int, host: str = "") -> None:
        """Set the creation of all keys in the state, or of one host's, back by so many days."""
        state = self.export()
        for resource in state["deployment"]["resources"]:
            outputs = resource.get("outputs", {})
            if "createdAt" in outputs and host in resource["urn"]:
                made = datetime.fromisoformat(outputs["createdAt"]) - timedelta(days=days)
                outputs["createdAt"] = made.isoformat(timespec="seconds").replace("+00:00", "Z")
        file = self.folder / "state.json"
        file.write_text(json.dumps(state))
        self.must("stack", "import", "--file", str(file))
        file.unlink()

    def public_keys(self, interface: str = "testwg") -> dict[str, str]:
        """Return the public keys of the state by host."""
        return {
            name.split("/")[1]: resource["outputs"]["publicKey"]
            for name, resource in self.resources().items()
            if name.startswith(f"{interface}/") and name.endswith("/key")
        }

    def plan(self, interface: str = "testwg") -> Any:
        """Return the stack's output of that name, None for none."""
        (stack,) = (resource for resource in self._held() if resource["type"] == "pulumi:pulumi:Stack")
        return stack["outputs"].get(interface)

    def changed(self, *words: str) -> dict[str, int]:
        """Run `up` and return how many resources were created, updated, replaced or deleted, by verb."""
        self.up(*words)
        # As `stack history` has it, which takes another run of pulumi.
        last = max((self.state / ".pulumi/history/mesh/test").glob("*.history.json"))
        changes = json.loads(last.read_text())["resourceChanges"]
        return {verb: count for verb, count in changes.items() if verb != "same"}

    @staticmethod
    def updated(preview: Outcome) -> set[str]:
        """Return the names of the resources that a preview would update."""
        # The dots by which the engine shows that it waits may stand before a line.
        return set(re.findall(r" ~ +\S+ (\S+/\S+) update\b", preview.output))

    def files(self) -> str:
        """Return the text of every file of the state: checkpoints, history and backups."""
        paths = (path for path in self.state.rglob("*") if path.is_file())
        return "\n".join(path.read_text(errors="replace") for path in paths)
